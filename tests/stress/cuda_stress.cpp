// An engine that does everything at once on the stand-ins for CUDA, traced, for the sanitizers:
// threads with streams, captures and replays, contexts that come and go, forks, every way to end.
//
// usage: cuda_stress threads | forks | exit | _exit | quick_exit | abort
// "threads" and "forks" print how many products ran; cuda_stress_test.py holds the trace against
// it.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <string_view>
#include <thread>
#include <vector>

#include "exports.hpp"

namespace {

constexpr int transposed = 1;
constexpr int not_transposed = 0;
constexpr int non_blocking = 1;
constexpr int this_thread_alone = 1;  // cudaStreamCaptureModeThreadLocal
constexpr int to_device = 1;
constexpr int to_host = 2;
constexpr int m = 6;
constexpr int n = 4;
constexpr int k = 8;

std::atomic<long> products{0};

[[noreturn]] void fail(const char* what, int error) {
    std::fprintf(stderr, "cuda_stress: %s: %d\n", what, error);
    std::exit(1);
}

void must(int error, const char* what) {
    if (error != 0) fail(what, error);
}

/// Device memory of one value, everywhere.
class Buffer {
  public:
    Buffer(void* stream, int count, float value) : count_(static_cast<std::size_t>(count)) {
        must(cudaMalloc(&data_, bytes()), "cudaMalloc");
        fill(stream, value);
    }
    ~Buffer() { cudaFree(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    void fill(void* stream, float value) {
        const std::vector<float> values(count_, value);
        must(cudaMemcpyAsync(data_, values.data(), bytes(), to_device, stream), "copy to device");
    }
    std::size_t bytes() const { return count_ * sizeof(float); }
    void* data() const { return data_; }

  private:
    std::size_t count_;
    void* data_ = nullptr;
};

/// A thread's own part of the engine, in the context that is current when it is made.
class Lane {
  public:
    explicit Lane(float weight)
        : weight_(weight),
          stream_(make_stream()),
          handle_(make_handle(stream_)),
          a_(stream_, m * k, weight),
          b_(stream_, n * k, 0.5F),
          c_(stream_, m * n, -1.0F) {
        must(cudaMallocHost(&host_, c_.bytes()), "cudaMallocHost");
    }
    ~Lane() {
        cudaFreeHost(host_);
        cublasDestroy_v2(handle_);
        cudaStreamDestroy(stream_);
    }
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;

    void call() {
        const float one = 1;
        const float zero = 0;
        must(cublasSgemm_v2(handle_, transposed, not_transposed, m, n, k, &one, a_.data(), k,
                            b_.data(), k, &zero, c_.data(), m),
             "cublasSgemm_v2");
    }
    void copy_out() {
        must(cudaMemcpyAsync(host_, c_.data(), c_.bytes(), to_host, stream_), "copy to host");
    }
    void product() {
        call();
        ++products;
    }
    void new_weight(float weight) { a_.fill(stream_, weight_ = weight); }

    /// Two products and a copy, captured, and run `replays` times.
    void graph(int replays) {
        void* graph = nullptr;
        void* exec = nullptr;
        must(cudaStreamBeginCapture(stream_, this_thread_alone), "begin capture");
        call();
        call();
        copy_out();
        must(cudaStreamEndCapture(stream_, &graph), "end capture");
        must(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
        for (int i = 0; i < replays; ++i) {
            must(cudaGraphLaunch(exec, stream_), "launch a graph");
            products += 2;
        }
        finish();
        must(cudaGraphExecDestroy(exec), "destroy an exec");
        must(cudaGraphDestroy(graph), "destroy a graph");
    }

    void finish() {
        copy_out();
        must(cudaStreamSynchronize(stream_), "synchronize");
        const float expected = weight_ * 0.5F * static_cast<float>(k);
        if (const float found = static_cast<const float*>(host_)[0]; found != expected)
            fail("a wrong product", static_cast<int>(found));
    }

  private:
    static void* make_stream() {
        void* stream = nullptr;
        must(cudaStreamCreateWithFlags(&stream, non_blocking), "make a stream");
        return stream;
    }
    static void* make_handle(void* stream) {
        void* handle = nullptr;
        must(cublasCreate_v2(&handle), "make a handle");
        must(cublasSetStream_v2(handle, stream), "set the stream");
        return handle;
    }

    float weight_;
    void* stream_;
    void* handle_;
    Buffer a_;
    Buffer b_;
    Buffer c_;
    void* host_ = nullptr;
};

void work(int thread, int steps) {
    Lane lane(static_cast<float>(thread + 1));
    for (int step = 0; step < steps; ++step) {
        lane.product();
        if (step % 3 == 0) lane.graph(3);
        if (step % 5 == 4) lane.new_weight(static_cast<float>(step + thread));
        lane.product();
        lane.finish();
        // Memory that a digest has just read goes back.
        if (step % 4 == 3) Buffer(nullptr, 64, 0);
    }
}

/// Contexts that end right behind their last product.
void come_and_go(int rounds) {
    for (int round = 0; round < rounds; ++round) {
        void* context = nullptr;
        must(cuCtxCreate_v2(&context, 0, 0), "make a context");
        {
            Lane lane(static_cast<float>(round + 1));
            lane.product();
            lane.graph(1);
            lane.product();
            lane.finish();
        }
        must(cuCtxDestroy_v2(context), "destroy a context");
    }
}

void everything(int steps) {
    constexpr int workers = 4;
    std::vector<std::thread> threads;
    std::latch together(workers + 2);
    for (int t = 0; t < workers; ++t) {
        threads.emplace_back([&, t] {
            together.arrive_and_wait();
            work(t, steps);
        });
    }
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            come_and_go(steps / 2);
        });
    }
    for (std::thread& thread : threads)
        thread.join();
}

void forks() {
    std::atomic<bool> done{false};
    std::thread engine([&] {
        everything(6);
        done = true;
    });
    int children = 0;
    for (; !done.load() && children < 20; ++children) {
        const pid_t child = ::fork();
        if (child == 0) children % 2 == 0 ? ::_exit(7) : std::exit(7);
        int status = 0;
        if (::waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7)
            fail("a child", status);
    }
    engine.join();
}

/// Ends while threads compute, and records are under way.
[[noreturn]] void end(std::string_view how) {
    for (int t = 0; t < 3; ++t)
        std::thread([t] { work(t, 1'000'000); }).detach();
    while (products.load() < 40)
        std::this_thread::yield();
    if (how == "_exit") ::_exit(0);
    if (how == "quick_exit") std::quick_exit(0);
    if (how == "abort") std::abort();
    std::exit(0);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc == 2 ? argv[1] : "";
    constexpr std::array ends{"exit", "_exit", "quick_exit", "abort"};
    for (const char* way : ends) {
        if (mode == way) end(mode);
    }
    if (mode == "threads") {
        everything(12);
    } else if (mode == "forks") {
        forks();
    } else {
        std::fprintf(stderr, "usage: cuda_stress threads|forks|exit|_exit|quick_exit|abort\n");
        return 2;
    }
    std::printf("%ld\n", products.load());
    return 0;
}
