// Weights, told from activations by staying what they are: the same operand, address, shape and
// content, over calls. Each is sketched and written once.
#pragma once
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/fixed_string.hpp"
#include "core/matrix.hpp"
#include "core/proof.hpp"

namespace orch {

class Trace;

using WeightName = FixedString<95>;

/// Rows of a weight that get a sketch of their own: enough to see a permutation, few enough to
/// read.
inline constexpr int weight_rows = 8;
/// An address whose content changed this often holds activations, or weights on their way through:
/// probes of it would not be used twice.
inline constexpr std::uint32_t changes_of_a_weight = 4;

/// What is known of the operand in a weight's place.
struct WeightIdentity {
    WeightName id;
    bool changes = false;  ///< this address held something else before: an activation, or a buffer
    /// To check the product with; no data: there are none. Until this thread's next call.
    Probes probes;
};

/// Knows every weight operand of one trace. Any number of threads.
class WeightTable {
  public:
    /// The id by which a call refers to this operand; writes its weight record when it is new. With
    /// `name` empty the id is "w" and a number. Content is watched through a sample of 32 values:
    /// an operand whose sample changed is a new weight (or, in an attention product, an
    /// activation).
    WeightIdentity identify(Trace& trace, const MatrixView& operand, std::string_view dtype,
                            std::string_view name) noexcept;

    /// After a product that its proof calls wrong by `error`: is it the weight that changed, where
    /// the sample did not show it? Reads all of it, but not again for an error of that size. If so,
    /// `identify` takes it for a new weight.
    bool has_changed(Trace& trace, const MatrixView& operand, double error) noexcept;

    /// A number that no weight of this trace has: for weights that are known elsewhere.
    std::uint32_t take_number() noexcept { return numbers_.fetch_add(1) + 1; }

    ProbeMemory& probe_memory() noexcept { return probe_memory_; }

  private:
    /// Probes of the weight with this number. They stay with the slot, whatever comes to its
    /// address later: that has the same shape.
    struct alignas(64) KeptProbes {
        static constexpr std::uint32_t being_made = ~0U;
        std::atomic<std::uint32_t> number{0};
        bool usable = false;

        float* data() noexcept { return reinterpret_cast<float*>(this + 1); }
    };
    struct Slot {
        std::atomic<std::uint64_t> key{0};      ///< of address, shape, layout; 0: free
        std::atomic<std::uint64_t> content{0};  ///< 40 bits of the sample's hash, 24 of the number
        std::atomic<KeptProbes*> probes{nullptr};
        std::atomic<std::uint32_t> changes{0};
        std::atomic<bool> no_memory{false};
        std::atomic<std::uint64_t> hash{0};  ///< of all its content, from the digest
        std::atomic<double> settled{0};      ///< error of a product that the weight did not explain
    };
    static constexpr std::size_t slot_count = 1U << 14;

    Slot* find(std::uint64_t key) noexcept;
    Probes known_probes(Trace& trace, Slot& slot, const MatrixView& operand,
                        std::uint32_t number) noexcept;
    KeptProbes* kept_probes(Trace& trace, Slot& slot, std::int64_t inputs) noexcept;

    Slot slots_[slot_count];
    std::atomic<std::uint32_t> numbers_{0};
    ProbeMemory probe_memory_;
};

}  // namespace orch
