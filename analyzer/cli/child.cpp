#include "analyzer/cli/child.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

#include "analyzer/cli/exit_codes.hpp"

namespace orch {
namespace {

constexpr int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

/// The signals that we wait for instead of suffering them. Blocked from before the fork, so that
/// none falls between fork and wait; taken out again when the child has ended.
class WaitedSignals {
  public:
    WaitedSignals() {
        ::sigemptyset(&set_);
        ::sigaddset(&set_, SIGCHLD);
        for (int signal : forwarded)
            ::sigaddset(&set_, signal);
        ::sigprocmask(SIG_BLOCK, &set_, &mask_before_);
        // Ignored by whoever started us: then the kernel would reap the child without a word.
        struct sigaction standard = {};
        standard.sa_handler = SIG_DFL;
        ::sigaction(SIGCHLD, &standard, &child_before_);
    }
    ~WaitedSignals() { restore(); }
    WaitedSignals(const WaitedSignals&) = delete;
    WaitedSignals& operator=(const WaitedSignals&) = delete;

    /// Async-signal-safe: the forked child calls it, too.
    void restore() noexcept {
        ::sigaction(SIGCHLD, &child_before_, nullptr);
        ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
    }

    siginfo_t wait() noexcept {
        siginfo_t info = {};
        while (::sigwaitinfo(&set_, &info) < 0) {
        }
        return info;
    }

  private:
    sigset_t set_ = {};
    sigset_t mask_before_ = {};
    struct sigaction child_before_ = {};
};

/// What the terminal sends goes to its whole foreground group, the child included: only what a
/// process sent to us alone is passed on.
bool is_for_us_alone(const siginfo_t& info) {
    return info.si_code <= 0;
}

/// Pointers for exec; `strings` must live as long.
std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& text : strings)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

std::vector<std::string> merged_environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
    std::vector<std::string> result;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        bool replaced = false;
        for (const auto& [name, value] : added)
            replaced |= text.starts_with(name + "=");
        if (!replaced) result.push_back(text);
    }
    for (const auto& [name, value] : added)
        result.push_back(fmt::format("{}={}", name, value));
    return result;
}

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// errno of exec, or 0 once exec has closed the pipe.
int start_error(int pipe_end) {
    int error = 0;
    ssize_t n = 0;
    while ((n = ::read(pipe_end, &error, sizeof error)) < 0 && errno == EINTR) {
    }
    return n == sizeof error ? error : 0;
}

ChildEnd wait_for(pid_t child, WaitedSignals& signals) {
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) != child) {
        const siginfo_t info = signals.wait();
        if (info.si_signo != SIGCHLD && is_for_us_alone(info)) ::kill(child, info.si_signo);
    }
    ChildEnd end;
    end.pid = child;
    end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    end.exit_code = end.signal != 0 ? exit_signal_base + end.signal : WEXITSTATUS(status);
    return end;
}

}  // namespace

ChildEnd run_child(const std::vector<std::string>& command,
                   const std::vector<std::pair<std::string, std::string>>& environment) {
    // All memory before the fork.
    std::vector<std::string> words = command;
    std::vector<std::string> variables = merged_environment(environment);
    const std::vector<char*> argv = pointers(words);
    const std::vector<char*> envp = pointers(variables);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe");
    WaitedSignals signals;
    const pid_t child = ::fork();
    if (child < 0) fail("cannot start a process");
    if (child == 0) {
        signals.restore();
        ::execvpe(argv[0], argv.data(), envp.data());
        const int error = errno;
        (void)!::write(ends[1], &error, sizeof error);
        ::_exit(exit_not_found);
    }
    ::close(ends[1]);
    const int error = start_error(ends[0]);
    ::close(ends[0]);
    ChildEnd end = wait_for(child, signals);
    end.start_error = error;
    if (error != 0) end.exit_code = error == ENOENT ? exit_not_found : exit_not_executable;
    return end;
}

}  // namespace orch
