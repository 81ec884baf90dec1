// The host's end of the ring: reads records in the order of their tickets. One reader; it makes no
// CUDA call, and waits for nothing.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "device/protocol.hpp"

namespace orch::device {

class RingReader {
  public:
    /// Of a ring that nobody has read from yet.
    explicit RingReader(RingHeader* ring) noexcept
        : ring_(ring), slots_(ring->slots), slot_bytes_(ring->slot_bytes) {}

    /// The record at the front, which stays as it is until release(). False: it is not there yet.
    bool next(const Slot*& slot) noexcept {
        Slot* front = slot_at(tail_);
        const std::atomic_ref<std::uint32_t> sequence(front->sequence);
        if (sequence.load(std::memory_order_acquire) != tail_ + 1) return false;
        slot = front;
        return true;
    }

    /// Gives the slot that next() showed back to the device.
    void release() noexcept {
        ++tail_;
        std::atomic_ref<std::uint32_t>(ring_->tail).store(tail_, std::memory_order_release);
    }

    /// Records that found no slot, so far.
    std::uint32_t dropped() noexcept {
        const std::atomic_ref<std::uint32_t> told(ring_->dropped);
        dropped_ = std::max(dropped_, told.load(std::memory_order_relaxed));
        return dropped_;
    }

    /// The `slot->values` floats behind a record.
    static const float* values_of(const Slot* slot) noexcept {
        return reinterpret_cast<const float*>(slot + 1);
    }

  private:
    Slot* slot_at(std::uint32_t ticket) const noexcept {
        char* first = reinterpret_cast<char*>(ring_ + 1);
        const std::size_t at = std::size_t{ticket & (slots_ - 1)} * slot_bytes_;
        return reinterpret_cast<Slot*>(first + at);
    }

    RingHeader* ring_;
    std::uint32_t slots_;
    std::uint32_t slot_bytes_;
    std::uint32_t tail_ = 0;
    std::uint32_t dropped_ = 0;
};

/// Bytes of a slot with room for so many values; of a ring of such slots.
constexpr std::uint32_t slot_bytes_for(std::int32_t values) {
    const std::size_t bytes = sizeof(Slot) + static_cast<std::size_t>(values) * sizeof(float);
    return static_cast<std::uint32_t>((bytes + 63) / 64 * 64);
}

constexpr std::size_t ring_bytes(std::uint32_t slots, std::uint32_t slot_bytes) {
    return sizeof(RingHeader) + std::size_t{slots} * slot_bytes;
}

}  // namespace orch::device
