// What an intercepted call of ours must leave as it was: errno, signals, low descriptors.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace orch {

/// errno belongs to the engine: whatever an intercepted call does, it finds its own value again.
class KeepErrno {
  public:
    KeepErrno() noexcept : saved_(errno) {}
    ~KeepErrno() { errno = saved_; }
    KeepErrno(const KeepErrno&) = delete;
    KeepErrno& operator=(const KeepErrno&) = delete;

  private:
    int saved_;
};

/// A write of ours that hits a file size limit must not end the engine with SIGXFSZ.
class QuietSignals {
  public:
    QuietSignals() noexcept {
        ::sigemptyset(&blocked_);
        ::sigaddset(&blocked_, SIGXFSZ);
        ::pthread_sigmask(SIG_BLOCK, &blocked_, &before_);
    }
    ~QuietSignals() {
        if (::sigismember(&before_, SIGXFSZ) == 0) {
            constexpr timespec now{};
            ::sigtimedwait(&blocked_, nullptr, &now);  // take ours back, if there was one
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    QuietSignals(const QuietSignals&) = delete;
    QuietSignals& operator=(const QuietSignals&) = delete;

  private:
    sigset_t blocked_;
    sigset_t before_;
};

/// The same file under a number out of the way: engines that close "all" descriptors usually stop
/// at a small number; and a low one would take a number that the engine may expect to be free.
inline int move_up(int fd) noexcept {
    constexpr int lowest_fd = 500;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, lowest_fd);
    if (moved < 0) return fd;  // RLIMIT_NOFILE is small
    ::close(fd);
    return moved;
}

}  // namespace orch
