#include "preload/cuda/calls.hpp"

#include <cstring>
#include <type_traits>

namespace orch::cuda {

static_assert(std::is_trivially_copyable_v<CallInfo>);

std::uint32_t CallTable::add(const CallInfo& info) noexcept {
    const bool captured = info.capture != nullptr;
    const std::uint32_t count = (captured ? captured_used_ : eager_used_).fetch_add(1) + 1;
    if (captured && count >= captured_count) {
        captured_used_.store(captured_count);
        return 0;
    }
    const std::uint32_t number = captured ? count | captured_bit : count & ~captured_bit;
    Entry& entry = captured ? captured_[count] : eager_[number % eager_count];
    entry.number.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    std::memcpy(entry.info, &info, sizeof info);
    entry.number.store(number, std::memory_order_release);
    return number;
}

bool CallTable::find(std::uint32_t number, CallInfo& out) noexcept {
    const bool captured = (number & captured_bit) != 0;
    const std::uint32_t index = number & ~captured_bit;
    if (captured && index >= captured_count) return false;
    Entry& entry = captured ? captured_[index] : eager_[index % eager_count];
    if (entry.number.load(std::memory_order_acquire) != number) return false;
    std::memcpy(&out, entry.info, sizeof out);
    std::atomic_thread_fence(std::memory_order_acquire);
    return entry.number.load(std::memory_order_relaxed) == number;
}

}  // namespace orch::cuda
