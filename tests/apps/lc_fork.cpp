// Processes that beget processes; the first argument says how. Every child computes and ends by
// _exit, as fork workers do.
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/apps/lc_product.hpp"

namespace {

constexpr unsigned too_long = 45;  // seconds; SIGALRM ends what hangs

template <class Child>
int forked(Child child) {
    std::fflush(stdout);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(too_long);
        child();
        ::_exit(3);
    }
    return pid;
}

void wait_for(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (status != 3 << 8) std::printf("a child ended with status %d\n", status);
}

template <class Child>
void forked_and_waited(Child child) {
    wait_for(forked(child));
}

void generations() {
    lc::products(3);
    forked_and_waited([] {
        lc::products(4);
        forked_and_waited([] { lc::products(5); });
        lc::products(6);
    });
    lc::products(7);
}

/// As many products as there are tickets, however long the forks take. Each fork comes while some
/// of its share are being recorded.
void fork_among_recording_threads() {
    constexpr long forks = 50;
    constexpr long share = 200;
    std::atomic<long> tickets{0};
    std::atomic<long> allowed{0};
    std::atomic<long> made{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&] {
            for (long ticket; (ticket = tickets.fetch_add(1)) < forks * share;) {
                for (long limit; (limit = allowed.load()) <= ticket;)
                    allowed.wait(limit);
                lc::product(1);
                made.fetch_add(1);
            }
        });
    }
    for (long i = 0; i < forks; ++i) {
        allowed = (i + 1) * share;
        allowed.notify_all();
        while (made.load() <= i * share)
            std::this_thread::yield();
        forked_and_waited([] { lc::product(2); });
    }
    for (auto& t : threads)
        t.join();
    std::printf("%ld products among the forks\n", made.load());
}

/// The moment in which the first product of a process opens the trace, met by a fork.
void fork_while_starting() {
    for (int i = 0; i < 60; ++i) {
        forked_and_waited([i] {
            std::atomic<bool> go{false};
            std::atomic<int> here{0};
            std::vector<std::thread> threads;
            for (int t = 0; t < 2; ++t) {
                threads.emplace_back([&] {
                    here.fetch_add(1);
                    while (!go.load())
                        std::this_thread::yield();
                    lc::product(1);
                });
            }
            while (here.load() != 2)
                std::this_thread::yield();
            go = true;
            for (std::atomic<int> spin{0}; spin < i * 500; ++spin) {
            }
            forked_and_waited([] { lc::product(2); });
            for (auto& t : threads)
                t.join();
        });
    }
}

void pool() {
    std::vector<pid_t> workers;
    for (int w = 0; w < 4; ++w) {
        workers.push_back(forked([w] {
            for (int i = 0; i < 25; ++i)
                lc::product(w);
        }));
    }
    for (const pid_t pid : workers)
        wait_for(pid);
    lc::products(2);
}

extern "C" char** environ;

void spawned(bool by_system) {
    lc::products(2);
    if (by_system) {
        std::printf("system: %d\n", std::system("exit 5"));
    } else {
        char shell[] = "/bin/sh";
        char option[] = "-c";
        char command[] = "exit 3";
        char* const arguments[] = {shell, option, command, nullptr};
        pid_t pid = 0;
        ::posix_spawn(&pid, shell, nullptr, nullptr, arguments, environ);
        wait_for(pid);
    }
    lc::products(3);
}

void with_vfork(bool exec) {
    lc::products(2);
    std::fflush(stdout);
    const pid_t pid = ::vfork();
    if (pid == 0) {
        if (exec) ::execl("/bin/sh", "sh", "-c", "exit 3", static_cast<char*>(nullptr));
        ::_exit(3);
    }
    wait_for(pid);
    lc::products(3);
}

void daemon_style() {
    lc::products(2);
    forked_and_waited([] {
        ::setsid();
        forked([] {
            (void)!::chdir("/");
            ::umask(0);
            lc::products(4);
        });
    });
}

}  // namespace

int main(int, char** arguments) {
    const char* how = arguments[1];
    const auto is = [how](const char* name) { return std::strcmp(how, name) == 0; };
    ::alarm(too_long);
    if (is("generations")) generations();
    if (is("recording")) fork_among_recording_threads();
    if (is("starting")) fork_while_starting();
    if (is("pool")) pool();
    if (is("posix_spawn")) spawned(false);
    if (is("system")) spawned(true);
    if (is("vfork_exit")) with_vfork(false);
    if (is("vfork_exec")) with_vfork(true);
    if (is("daemon")) daemon_style();
    return 0;
}
