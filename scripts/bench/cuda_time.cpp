// What a traced call of CUDA costs the thread that makes it: ns, over CUDA that does nothing,
// against the same functions by names that nobody hooks. Rounds of both alternate; each number is
// the median. usage: cuda_time [ROUNDS]
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <vector>

#include "noop_cuda/noop_cuda.hpp"

namespace {

constexpr int calls_per_round = 500;
constexpr int to_device = 1;   // cudaMemcpyHostToDevice
constexpr int to_host = 2;     // cudaMemcpyDeviceToHost
constexpr int by_address = 4;  // cudaMemcpyDefault

void* on_device(std::uint64_t offset) {
    return reinterpret_cast<void*>(noop::device_memory + (std::uint64_t{1} << 32) + offset);
}

/// out = in, tokens x inputs times outputs x inputs.
struct Product {
    int outputs;
    int tokens;
    int inputs;
};

/// The products of a Llama of 7B parameters.
constexpr std::array<Product, 7> layer{{{4096, 1, 4096},
                                        {4096, 1, 4096},
                                        {4096, 1, 4096},
                                        {4096, 1, 4096},
                                        {11008, 1, 4096},
                                        {11008, 1, 4096},
                                        {4096, 1, 11008}}};
constexpr int layers = 32;

using Gemm = decltype(&cublasSgemm_v2);

void multiply(Gemm gemm, const Product& p, std::uint64_t weight) {
    static int handle;
    const float one = 1;
    const float zero = 0;
    gemm(&handle, 1, 0, p.outputs, p.tokens, p.inputs, &one, on_device((weight + 1) << 28),
         p.inputs, on_device(0), p.inputs, &zero, on_device(1 << 24), p.outputs);
}

double nanoseconds(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <class Call>
double time_of(const Call& call) {
    const double begin = nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < calls_per_round; ++i)
        call(i);
    return (nanoseconds(CLOCK_MONOTONIC) - begin) / calls_per_round;
}

double median(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

struct Wanted {
    int rounds = 1001;
    std::string_view part;
};

void print(const char* what, double before, double after, double launches) {
    std::printf("| %s | %.1f | %.1f | %.1f | %.1f | %.0f |\n", what, before, after, after - before,
                after / before, launches);
}

template <class Plain, class Hooked>
void compare(const char* what, const Wanted& wanted, const Plain& plain, const Hooked& hooked) {
    if (std::string_view{what}.find(wanted.part) == std::string_view::npos) return;
    for (int i = 0; i < 20; ++i) {  // until what is set up once is set up
        time_of(plain);
        time_of(hooked);
    }
    std::vector<double> without;
    std::vector<double> with;
    const long launches = noop_launches;
    for (int i = 0; i < wanted.rounds; ++i) {
        without.push_back(time_of(plain));
        with.push_back(time_of(hooked));
    }
    const double calls = static_cast<double>(wanted.rounds) * calls_per_round;
    print(what, median(without), median(with),
          static_cast<double>(noop_launches - launches) / calls);
}

/// Single calls, each after the engine used more memory than the core's own caches hold. The clock
/// is in both numbers.
template <class Plain, class Hooked>
void compare_cold(const char* what, const Wanted& wanted, const Plain& plain,
                  const Hooked& hooked) {
    if (std::string_view{what}.find(wanted.part) == std::string_view::npos) return;
    static std::array<char, 4 << 20> engine;
    const auto time_of_one = [&](const auto& call, int i) {
        for (std::size_t at = 0; at < engine.size(); at += 64)
            ++engine[at];
        const double begin = nanoseconds(CLOCK_MONOTONIC);
        call(i);
        return nanoseconds(CLOCK_MONOTONIC) - begin;
    };
    std::vector<double> without;
    std::vector<double> with;
    const long launches = noop_launches;
    for (int i = 0; i < wanted.rounds; ++i) {
        without.push_back(time_of_one(plain, i));
        with.push_back(time_of_one(hooked, i));
    }
    print(what, median(without), median(with),
          static_cast<double>(noop_launches - launches) / wanted.rounds);
}

void pin_to_one_core() {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(::sched_getcpu(), &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

}  // namespace

int main(int argc, char** argv) {
    Wanted wanted;
    if (argc > 1) wanted.rounds = std::atoi(argv[1]);
    if (argc > 2) wanted.part = argv[2];
    static std::array<char, 4096> host;
    // The first product starts the library's threads. They do not inherit this thread's core.
    multiply(cublasSgemm_v2, layer[0], 0);
    pin_to_one_core();
    void* graph = nullptr;
    void* exec = nullptr;
    cudaStreamBeginCapture(nullptr, 0);
    for (std::uint64_t i = 0; i < layer.size(); ++i)
        multiply(cublasSgemm_v2, layer[i], i);
    cudaStreamEndCapture(nullptr, &graph);
    cudaGraphInstantiateWithFlags(&exec, graph, 0);

    const double all_before = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    const double own_before = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    std::puts(
        "| call | plain, ns | hooked, ns | added, ns | ratio | digests "
        "|\n|---|---|---|---|---|---|");
    const auto copy = [&](auto function, int kind, auto... stream) {
        return [=](int) {
            if (kind == to_host) {
                function(host.data(), on_device(0), host.size(), kind, stream...);
            } else {
                function(on_device(0), host.data(), host.size(), kind, stream...);
            }
        };
    };
    void* const stream = &graph;
    compare("`cudaMemcpy` to the device", wanted, copy(plain_cudaMemcpy, to_device),
            copy(cudaMemcpy, to_device));
    compare("`cudaMemcpyAsync` to the device", wanted,
            copy(plain_cudaMemcpyAsync, to_device, stream),
            copy(cudaMemcpyAsync, to_device, stream));
    compare("`cudaMemcpy` to the device, kind by address", wanted,
            copy(plain_cudaMemcpy, by_address), copy(cudaMemcpy, by_address));
    compare("`cudaMemcpy` to the host, digested", wanted, copy(plain_cudaMemcpy, to_host),
            copy(cudaMemcpy, to_host));
    const auto launch = [&](auto function, void* which) {
        return [=](int) { function(which, stream); };
    };
    compare("`cudaGraphLaunch`, digests in it", wanted, launch(plain_cudaGraphLaunch, exec),
            launch(cudaGraphLaunch, exec));
    compare("`cudaGraphLaunch`, unknown graph", wanted, launch(plain_cudaGraphLaunch, &host),
            launch(cudaGraphLaunch, &host));
    const auto one = [&](Gemm gemm, Product p) { return [=](int) { multiply(gemm, p, 0); }; };
    compare("`cublasSgemm_v2`, one product, 1 token", wanted, one(plain_cublasSgemm_v2, layer[0]),
            one(cublasSgemm_v2, layer[0]));
    const auto model = [&](Gemm gemm, int tokens) {
        return [=](int i) {
            const auto weight = static_cast<std::uint64_t>(i) % (layers * layer.size());
            Product p = layer[weight % layer.size()];
            p.tokens = tokens;
            multiply(gemm, p, weight);
        };
    };
    compare("`cublasSgemm_v2`, a model's 224, 1 token", wanted, model(plain_cublasSgemm_v2, 1),
            model(cublasSgemm_v2, 1));
    compare("`cublasSgemm_v2`, a model's 224, 256 tokens", wanted, model(plain_cublasSgemm_v2, 256),
            model(cublasSgemm_v2, 256));
    compare_cold("`cudaMemcpy` to the device, caches cold", wanted,
                 copy(plain_cudaMemcpy, to_device), copy(cudaMemcpy, to_device));
    compare_cold("`cublasSgemm_v2`, a model's 224, caches cold", wanted,
                 model(plain_cublasSgemm_v2, 1), model(cublasSgemm_v2, 1));
    const double own = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - own_before;
    const double others = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - all_before - own;
    std::printf("\nother threads of the process used %.1f %% of this thread's CPU time\n",
                100 * others / own);
    return 0;
}
