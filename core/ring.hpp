// A single-producer, single-consumer ring of whole lines.
//
// Invariants
//   1. [tail, head) holds whole lines only; a line never wraps.
//   2. Where a line did not fit before the end, a NUL stands there and the next line starts at 0.
//      (No line starts with NUL: it is no JSON.)
//   3. Only the producer moves head, only the consumer moves tail; both only grow.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/slice.hpp"

namespace orch {

class Ring {
  public:
    /// Twice the longest line (1 MiB): one always fits into an empty ring. Virtual memory; pages
    /// are touched as they are used.
    static constexpr std::size_t capacity = 2U << 20;

    constexpr explicit Ring(char* memory) noexcept : data_(memory) {}

    /// `bytes` of contiguous space, or an empty span when the ring is too full. Producer only.
    std::span<char> reserve(std::size_t bytes) noexcept {
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        const std::uint64_t used = head - tail_.load(std::memory_order_acquire);
        const std::size_t at = head % capacity;
        skip_ = at + bytes > capacity ? capacity - at : 0;
        if (used + skip_ + bytes > capacity) return {};
        return {data_ + (at + skip_) % capacity, bytes};
    }

    /// Publishes the first `bytes` of the last reservation. Producer only.
    void commit(std::size_t bytes) noexcept {
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        if (skip_ != 0) data_[head % capacity] = '\0';
        head_.store(head + skip_ + bytes, std::memory_order_release);
    }

    std::size_t used() const noexcept {
        return static_cast<std::size_t>(head_.load(std::memory_order_acquire) -
                                        tail_.load(std::memory_order_acquire));
    }

    /// The next run of contiguous whole lines; empty when there is none. Consumer only.
    std::string_view peek() noexcept {
        const std::uint64_t head = head_.load(std::memory_order_acquire);
        std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        if (tail == head) return {};
        std::size_t at = tail % capacity;
        if (data_[at] == '\0') {
            tail += capacity - at;
            tail_.store(tail, std::memory_order_release);
            if (tail == head) return {};
            at = 0;
        }
        const std::size_t to_end = capacity - at;
        const std::size_t available = static_cast<std::size_t>(head - tail);
        if (available <= to_end) return {data_ + at, available};
        const std::string_view run{data_ + at, to_end};
        return slice(run, 0, run.find('\0'));  // what follows the NUL is of an earlier lap
    }

    void consume(std::size_t bytes) noexcept {
        tail_.store(tail_.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
    }

  private:
    char* data_;
    std::size_t skip_ = 0;  ///< of the pending reservation; producer only
    alignas(64) std::atomic<std::uint64_t> head_{0};
    alignas(64) std::atomic<std::uint64_t> tail_{0};
};

}  // namespace orch
