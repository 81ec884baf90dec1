// What an engine of Python cannot do: end in C++, with work on the device.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

namespace {

std::atomic<bool> gate_reached{false};
std::atomic<long> waits_at_the_end{-1};

/// How often the main thread has waited for something.
long waits_of_main_thread() {
    const std::string id = std::to_string(::getpid());
    std::ifstream status("/proc/self/task/" + id + "/status");
    for (std::string word; status >> word;) {
        long count = 0;
        if (word == "voluntary_ctxt_switches:" && status >> count) return count;
    }
    return 0;
}

using Gemm = int (*)(void*, int, int, int, int, int, const float*, const void*, int, const void*,
                     int, const float*, void*, int);
using Synchronize = int (*)(void*);
using Copy = int (*)(void*, const void*, std::size_t, int);

struct LastProduct {
    Gemm gemm = nullptr;
    Synchronize synchronize = nullptr;
    Copy copy = nullptr;
    void* handle = nullptr;
    void* stream = nullptr;
    const void* a = nullptr;
    const void* b = nullptr;
    void* c = nullptr;
};
constinit LastProduct last{};

__attribute__((destructor)) void compute_once_more() {
    if (last.gemm == nullptr) return;
    const float one = 1;
    const float zero = 0;
    std::array<float, 12> y{};
    const int statuses[] = {
        last.gemm(last.handle, 1, 0, 4, 3, 5, &one, last.a, 5, last.b, 5, &zero, last.c, 4),
        last.synchronize(last.stream), last.copy(y.data(), last.c, sizeof y, 2)};
    std::array<char, 256> text;
    const int size =
        std::snprintf(text.data(), text.size(), "%d %d %d %g %g\n", statuses[0], statuses[1],
                      statuses[2], static_cast<double>(y.front()), static_cast<double>(y.back()));
    (void)!::write(STDOUT_FILENO, text.data(), static_cast<std::size_t>(size));
}

}  // namespace

extern "C" {

/// A host function on a stream: what follows it runs once the end of the process has waited for a
/// while.
void gate_of_the_end(void*) {
    constexpr long a_while = 20;
    gate_reached = true;
    gate_reached.notify_all();
    waits_at_the_end.wait(-1);
    while (waits_of_main_thread() < waits_at_the_end + a_while)
        std::this_thread::yield();
}

void end_while_the_device_runs(void (*pump)()) {
    std::thread(pump).detach();
    gate_reached.wait(false);
    waits_at_the_end = waits_of_main_thread();
    waits_at_the_end.notify_all();
    ::_exit(0);
}

void at_the_very_end(Gemm gemm, Synchronize synchronize, Copy copy, void* handle, void* stream,
                     const void* a, const void* b, void* c) {
    last = {gemm, synchronize, copy, handle, stream, a, b, c};
}
}
