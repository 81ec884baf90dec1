#include "preload/cuda/calls.hpp"

#include <cstring>
#include <type_traits>

namespace orch::cuda {

static_assert(std::is_trivially_copyable_v<CallInfo> && sizeof(CallInfo) % 8 == 0);

void CallEntry::set(std::uint32_t number, const CallInfo& info) noexcept {
    std::uint64_t words[info_words];
    std::memcpy(words, &info, sizeof info);
    number_.store(0, std::memory_order_relaxed);
    for (std::size_t i = 0; i < info_words; ++i)
        __atomic_store_n(&info_[i], words[i], __ATOMIC_RELEASE);
    number_.store(number, std::memory_order_release);
}

bool CallEntry::get(std::uint32_t number, CallInfo& out) const noexcept {
    if (number_.load(std::memory_order_acquire) != number) return false;
    std::uint64_t words[info_words];
    for (std::size_t i = 0; i < info_words; ++i)
        words[i] = __atomic_load_n(&info_[i], __ATOMIC_ACQUIRE);
    std::memcpy(&out, words, sizeof out);
    return number_.load(std::memory_order_relaxed) == number;
}

/// The table is larger than a core's caches: a call that wrote to it at once would wait for memory.
void CallEntry::fetch_for_writing() const noexcept {
    constexpr std::size_t line = 64;
    const auto* bytes = reinterpret_cast<const unsigned char*>(this);
    for (std::size_t at = 0; at < sizeof *this; at += line)
        __builtin_prefetch(bytes + at, 1);
    __builtin_prefetch(bytes + sizeof *this - 1, 1);
}

std::uint32_t CallTable::add(const CallInfo& info) noexcept {
    constexpr std::uint32_t of_eager_calls = (1U << 31) - 1;
    std::uint32_t number = 0;
    while (number == 0)
        number = used_.fetch_add(1, std::memory_order_relaxed) & of_eager_calls;
    entries_[number % count].set(number, info);
    entries_[(number + 1) % count].fetch_for_writing();
    return number;
}

bool CallTable::find(std::uint32_t number, CallInfo& out) const noexcept {
    return entries_[number % count].get(number, out);
}

}  // namespace orch::cuda
