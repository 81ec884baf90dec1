// Waiting with a time limit on a word of memory; std::atomic::wait has none.
#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <ctime>

namespace orch {

inline void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, int ms) noexcept {
    timespec limit{ms / 1000, (ms % 1000) * 1000000L};
    ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, &limit, nullptr, 0);
}

inline void futex_wake_all(std::atomic<std::uint32_t>& word) noexcept {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
}

}  // namespace orch
