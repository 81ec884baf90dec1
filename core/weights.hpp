// Weights, told from activations by staying what they are: the same operand, address, shape and
// content, over calls. Each is sketched and written once.
#pragma once
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/fixed_string.hpp"
#include "core/matrix.hpp"

namespace orch {

class Trace;

using WeightName = FixedString<95>;

/// What is known of the operand in a weight's place.
struct WeightIdentity {
    WeightName id;
    bool changes = false;  ///< this address held something else before: an activation, or a buffer
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

  private:
    struct Slot {
        std::atomic<std::uint64_t> key{0};      ///< of address, shape, layout; 0: free
        std::atomic<std::uint64_t> content{0};  ///< 40 bits of the sample's hash, 24 of the number
    };
    static constexpr std::size_t slot_count = 1U << 14;

    Slot* find(std::uint64_t key) noexcept;

    Slot slots_[slot_count];
    std::atomic<std::uint32_t> numbers_{0};
};

}  // namespace orch
