// A small engine that computes and then ends in the way that its first argument names.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/apps/lc_product.hpp"

// Ours comes first in the global scope: the injected library's clock is this one.
static long clock_shift = 0;
extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t id,
                                                                    timespec* now) noexcept {
    using Clock = int (*)(clockid_t, timespec*);
    static const Clock real = reinterpret_cast<Clock>(dlsym(RTLD_NEXT, "clock_gettime"));
    const int result = real(id, now);
    if (id == CLOCK_MONOTONIC) now->tv_sec += clock_shift;
    return result;
}

namespace {

void compute_at_end() {
    lc::products(2);
}

void raise_to_process(int signal) {
    ::kill(::getpid(), signal);
    for (;;)
        ::pause();
}

struct ComputesWhenDestroyed {
    ~ComputesWhenDestroyed() { lc::products(3); }
};

pthread_key_t key;

void compute_in_key_destructor(void*) {
    lc::product(9);
}

/// Threads that end while others begin: a buffer changes hands while a key's destructor computes.
void short_threads() {
    ::pthread_key_create(&key, compute_in_key_destructor);
    const auto chain = [] {
        for (int i = 0; i < 50; ++i) {
            std::thread([] {
                ::pthread_setspecific(key, &key);
                for (int k = 0; k < 5; ++k)
                    lc::product(k);
            }).join();
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back(chain);
    for (auto& t : threads)
        t.join();
}

/// The alpha of each product says which thread made it and as which of its products.
void many_threads(int count) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 32; ++t) {
        threads.emplace_back([t, count] {
            for (int i = 0; i < count; ++i) {
                lc::product(i, static_cast<float>(t + 2) + static_cast<float>(i) / 1024);
            }
        });
    }
    for (auto& t : threads)
        t.join();
}

int end_of(const char* how) {
    const auto is = [how](const char* name) { return std::strcmp(how, name) == 0; };
    if (is("return")) return 7;
    if (is("exit")) std::exit(8);
    if (is("_exit")) ::_exit(9);
    if (is("_Exit")) std::_Exit(10);
    if (is("quick_exit")) std::quick_exit(11);
    if (is("late_quick_exit")) {
        std::at_quick_exit(compute_at_end);
        std::quick_exit(12);
    }
    if (is("abort")) std::abort();
    if (is("throw")) throw std::runtime_error("nobody catches this");
    if (is("sigterm")) raise_to_process(SIGTERM);
    if (is("sigsegv")) {
        ::signal(SIGSEGV, SIG_DFL);
        volatile int* nowhere = nullptr;
        *nowhere = 1;
    }
    if (is("late")) {
        static const ComputesWhenDestroyed late;
        std::atexit(compute_at_end);
        return 0;
    }
    if (is("endless")) {  // but no further ahead than a pipe of a page is long
        for (;;) {
            for (int i = 0; i < 8; ++i)
                lc::product(i);
            (void)!::write(STDOUT_FILENO, "................................", 32);
        }
    }
    if (is("main_leaves_first")) {
        std::thread([main_thread = ::pthread_self()] {
            ::pthread_join(main_thread, nullptr);
            lc::products(4);
        }).detach();
        ::pthread_exit(nullptr);
    }
    if (is("quiet_after_ledger")) {
        using Flush = void (*)();
        const auto flush = reinterpret_cast<Flush>(dlsym(RTLD_DEFAULT, "orch_trace_flush"));
        if (flush) flush();
        clock_shift = 100;  // the periodic ledger is due
        lc::products(1);
        if (flush) flush();
        return 0;
    }
    if (is("threads")) {
        many_threads(200);
        return 0;
    }
    if (is("short_threads")) {
        short_threads();
        return 0;
    }
    std::fprintf(stderr, "no such end: %s\n", how);
    return 99;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) return 98;
    if (const int n = std::atoi(arguments[2]); n > 0) lc::products(n);
    return end_of(arguments[1]);
}
