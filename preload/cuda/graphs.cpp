// Which captures became which graphs, so that a launch of one can be counted and given its pass.
#include "core/trace.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

constexpr std::size_t max_captures = 1024;  ///< a process; later ones are blind spots
constexpr std::size_t max_execs = 4096;

constinit Capture captures[max_captures];
constinit std::atomic<std::uint32_t> numbers{0};

/// An executable graph, and the capture it was made of.
struct Exec {
    std::atomic<void*> handle{nullptr};
    std::atomic<Capture*> capture{nullptr};
};
constinit Exec execs[max_execs];

Exec* find_exec(void* handle) noexcept {
    for (Exec& exec : execs) {
        if (exec.handle.load(std::memory_order_acquire) == handle) return &exec;
    }
    return nullptr;
}

Capture* capture_of_graph(void* graph) noexcept {
    for (Capture& capture : captures) {
        if (graph != nullptr && capture.graph.load(std::memory_order_acquire) == graph)
            return &capture;
    }
    return nullptr;
}

Capture* capture_with_id(std::uint64_t id) noexcept {
    for (Capture& capture : captures) {
        std::uint64_t known = capture.id.load(std::memory_order_acquire);
        if (known == id) return &capture;
        if (known != 0) continue;
        if (capture.id.compare_exchange_strong(known, id)) {
            capture.number = numbers.fetch_add(1, std::memory_order_relaxed);
            return &capture;
        }
        if (known == id) return &capture;
    }
    return nullptr;
}

}  // namespace

Capture* current_capture(const Driver& driver, Stream stream, bool& captured) noexcept {
    constexpr int none = 0;  // CU_STREAM_CAPTURE_STATUS_NONE; a capture that failed counts as one
    int status = none;
    std::uint64_t id = 0;
    captured = false;
    // Refused for the legacy stream while another stream captures: then nothing may be sent there.
    if (driver.stream_get_capture_info(stream, &status, &id) != success) {
        captured = true;
        return nullptr;
    }
    if (status == none) return nullptr;
    captured = true;
    return capture_with_id(id);
}

void capture_ended(std::uint64_t id, void* graph) noexcept {
    // A graph's handle may have been another's before.
    if (Capture* old = capture_of_graph(graph); old != nullptr)
        old->graph.store(nullptr, std::memory_order_relaxed);
    // Also of a capture without a digest in it: its graph was looked at.
    if (Capture* capture = id != 0 ? capture_with_id(id) : nullptr; capture != nullptr)
        capture->graph.store(graph, std::memory_order_release);
}

void graph_instantiated(void* handle, void* graph) noexcept {
    Capture* capture = capture_of_graph(graph);
    if (capture == nullptr) {
        session::blind_spot("graph",
                            "a CUDA graph was not captured from a stream, or before "
                            "orchtrace looked: what runs in it is not seen");
        return;
    }
    Exec* exec = find_exec(handle);
    if (exec == nullptr) exec = find_exec(nullptr);
    if (exec == nullptr) return;
    exec->capture.store(capture, std::memory_order_relaxed);
    exec->handle.store(handle, std::memory_order_release);
}

void graph_launched(void* handle) noexcept {
    Trace* trace = session::running_trace();
    const Exec* exec = handle != nullptr ? find_exec(handle) : nullptr;
    if (trace == nullptr || exec == nullptr) return;
    Capture* capture = exec->capture.load(std::memory_order_acquire);
    if (capture == nullptr) return;
    const std::uint32_t products = capture->products.load(std::memory_order_relaxed);
    const std::uint32_t copies = capture->copies.load(std::memory_order_relaxed);
    const std::uint64_t run = capture->launches.fetch_add(1, std::memory_order_relaxed);
    Capture::Launch& launch = capture->launch[run % Capture::kept];
    launch.pass.store(session::current_pass(), std::memory_order_relaxed);
    launch.first_call.store(trace->next_calls(products + copies), std::memory_order_relaxed);
    launch.run.store(run + 1, std::memory_order_release);
    trace->ledger()[RecordClass::gemm].seen.fetch_add(products, std::memory_order_relaxed);
    trace->ledger()[RecordClass::copy].seen.fetch_add(copies, std::memory_order_relaxed);
    launched(products + copies);
}

void graph_exec_gone(void* handle) noexcept {
    if (Exec* exec = handle != nullptr ? find_exec(handle) : nullptr; exec != nullptr) {
        exec->capture.store(nullptr, std::memory_order_relaxed);
        exec->handle.store(nullptr, std::memory_order_release);
    }
}

}  // namespace orch::cuda
