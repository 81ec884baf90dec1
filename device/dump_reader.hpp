// The host's end of the ring of whole results. One reader; it makes no CUDA call, and waits for
// nothing: a result that is still being copied does not hold up those behind it.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "device/dump_protocol.hpp"

namespace orch::device {

class DumpReader {
  public:
    /// A result; its second part is not empty where the ring goes round.
    struct Result {
        const DumpHeader& header;
        std::span<const char> parts[2];
    };

    /// Of a ring that nobody has read from yet.
    explicit DumpReader(RingHeader* ring) noexcept
        : ring_(ring),
          count_(ring->slots),
          units_(reinterpret_cast<char*>(ring) + first_dump_unit(count_)) {}

    /// take(Result) for each that has come since, then their units are the device's again. True if
    /// there was any.
    template <class Take>
    bool take_all(Take&& take) noexcept {
        bool any = false;
        for (std::uint32_t passed = 0; passed < count_;) {
            const std::uint32_t ticket = tail_ + passed;
            if (!is_whole(ticket)) {
                ++passed;
                continue;
            }
            DumpHeader& header = header_of(ticket);
            if (header.taken == 0) {
                take(result_of(ticket, header));
                header.taken = 1;
                any = true;
            }
            passed += header.units;
        }
        if (any) release();
        return any;
    }

    /// Results that found no room, so far.
    std::uint32_t dropped() noexcept {
        const std::atomic_ref<std::uint32_t> told(ring_->dropped);
        dropped_ = std::max(dropped_, told.load(std::memory_order_relaxed));
        return dropped_;
    }

  private:
    /// A result begins with that ticket, and all of it is there.
    bool is_whole(std::uint32_t ticket) const noexcept {
        auto* sequences = reinterpret_cast<std::uint32_t*>(ring_ + 1);
        const std::atomic_ref<std::uint32_t> sequence(sequences[ticket & (count_ - 1)]);
        return sequence.load(std::memory_order_acquire) == ticket + 1;
    }

    DumpHeader& header_of(std::uint32_t ticket) const noexcept {
        return *reinterpret_cast<DumpHeader*>(units_ + (ticket & (count_ - 1)) * dump_unit);
    }

    Result result_of(std::uint32_t ticket, const DumpHeader& header) const noexcept {
        const std::uint64_t begin = (ticket & (count_ - 1)) * dump_unit + sizeof(DumpHeader);
        const std::uint64_t to_the_end = std::min(header.bytes, count_ * dump_unit - begin);
        return {
            header,
            {std::span{units_ + begin, to_the_end}, std::span{units_, header.bytes - to_the_end}}};
    }

    void release() noexcept {
        while (is_whole(tail_) && header_of(tail_).taken != 0)
            tail_ += header_of(tail_).units;
        std::atomic_ref<std::uint32_t>(ring_->tail).store(tail_, std::memory_order_release);
    }

    RingHeader* ring_;
    std::uint32_t count_;
    char* units_;
    std::uint32_t tail_ = 0;
    std::uint32_t dropped_ = 0;
};

}  // namespace orch::device
