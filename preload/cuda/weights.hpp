// Weights in device memory: as core/weights does for the host's, but the content is only seen when
// a record comes back, so ids are given then.
#pragma once
#include <atomic>
#include <cstdint>

#include "core/weights.hpp"
#include "device/protocol.hpp"

namespace orch::cuda {

struct WeightEntry {
    std::atomic<std::uint64_t> key{0};          ///< of address, shape, layout; 0: free
    std::atomic<bool> asked{false};             ///< its digest is under way or done
    std::atomic<std::uint32_t> changes{0};      ///< how often it held something else than before
    std::atomic<std::uint64_t> probes{0};       ///< their device address; 0: none
    std::atomic<void*> probes_stream{nullptr};  ///< they are there for what follows on this stream
    std::atomic<bool> probes_ready{false};      ///< and for all others

    // The drain thread's own.
    std::uint64_t sample = 0;           ///< of the content that has the number
    std::uint64_t digested_sample = 0;  ///< of the content that was digested, and probed
    std::uint32_t number = 0;           ///< its id is "w" and this; 0: not seen yet

    /// No id is looked for any more.
    bool is_activation() const noexcept {
        return changes.load(std::memory_order_relaxed) >= changes_of_a_weight;
    }
    /// Its id while it held this content; new content gets a new one. For the drain thread.
    std::uint32_t number_of(std::uint64_t content) noexcept;
};

class DeviceWeights {
  public:
    /// Null: more operands than the table holds, or one that cannot be a weight.
    WeightEntry* find(const device::Operand& operand, int device) noexcept;

  private:
    static constexpr std::size_t size = 1U << 14;

    WeightEntry entries_[size];
};

}  // namespace orch::cuda
