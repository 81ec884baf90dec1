// Which captures became which graphs, so that a launch of one can be counted and given its pass.
#include "preload/cuda/graphs.hpp"

#include "core/trace.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/cuda/exclusive.hpp"
#include "preload/cuda/nodes.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

constexpr std::size_t max_captures = 1024;  ///< that can run at one time; more are blind spots
constexpr std::size_t max_execs = 4096;

constinit Capture captures[max_captures];
constinit std::uint32_t numbers = 0;
constinit std::atomic<bool> busy{false};  ///< who makes, instantiates or destroys graphs

/// An executable graph, and the capture it was made of.
struct Exec {
    std::atomic<void*> handle{nullptr};
    std::atomic<Capture*> capture{nullptr};
};
constinit Exec execs[max_execs];
constinit std::atomic<std::size_t> execs_used{0};

Exec* find_exec(void* handle) noexcept {
    const std::size_t used = execs_used.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < used; ++i) {
        if (execs[i].handle.load(std::memory_order_acquire) == handle) return &execs[i];
    }
    return nullptr;
}

Capture* known_capture(std::uint64_t id) noexcept {
    for (Capture& capture : captures) {
        const std::uint64_t known = capture.id.load(std::memory_order_acquire);
        if (known == id) return &capture;
        if (known == 0) return nullptr;  // places are taken from the first one on
    }
    return nullptr;
}

// From here on with the lock.

Capture* capture_of_graph(const void* graph) noexcept {
    for (Capture& capture : captures) {
        if (graph != nullptr && capture.graph == graph) return &capture;
    }
    return nullptr;
}

/// Nothing can run it any more, and nothing of it is under way: its memory is free. What a context
/// that has ended wrote before may still be in its ring, or never have been written.
bool is_over(const Capture& capture, bool records_may_be_lost) noexcept {
    if (capture.users != 0 || capture.unannounced.load(std::memory_order_relaxed)) return false;
    const DeviceContext* context = capture.context;
    if (records_may_be_lost && context != nullptr && !context->is_ready()) return true;
    const std::uint64_t records = capture.launches.load(std::memory_order_relaxed) *
                                  (capture.products.load(std::memory_order_relaxed) +
                                   capture.copies.load(std::memory_order_relaxed));
    return capture.arrived.load(std::memory_order_acquire) == records || all_arrived();
}

void begin(Capture& capture, std::uint64_t id) noexcept {
    graph_nodes().give_back(capture, capture.launches.load(std::memory_order_relaxed));
    capture.products.store(0, std::memory_order_relaxed);
    capture.copies.store(0, std::memory_order_relaxed);
    capture.launches.store(0, std::memory_order_relaxed);
    capture.arrived.store(0, std::memory_order_relaxed);
    for (Capture::Launch& launch : capture.launch)
        launch.run.store(0, std::memory_order_relaxed);
    capture.number = numbers++;
    capture.graph = nullptr;
    capture.users = 1;
    capture.context = nullptr;
    capture.id.store(id, std::memory_order_release);
}

Capture* capture_with_id(std::uint64_t id) noexcept {
    if (Capture* known = known_capture(id); known != nullptr) return known;
    const Exclusive mine(busy);
    if (!mine) return nullptr;
    for (const bool records_may_be_lost : {false, true}) {
        for (Capture& capture : captures) {
            const std::uint64_t known = capture.id.load(std::memory_order_relaxed);
            if (known == id) return &capture;
            if (known != 0 && !is_over(capture, records_may_be_lost)) continue;
            begin(capture, id);
            return &capture;
        }
    }
    return nullptr;
}

void set_graph(Capture& capture, void* graph) noexcept {
    // A graph's handle may have been another's before.
    if (Capture* old = capture_of_graph(graph); old != nullptr) {
        old->graph = nullptr;
        --old->users;
    }
    if (capture.graph != nullptr) --capture.users;
    capture.graph = graph;
    if (graph != nullptr) ++capture.users;
}

Exec* free_exec() noexcept {
    if (Exec* given_back = find_exec(nullptr); given_back != nullptr) return given_back;
    const std::size_t used = execs_used.load(std::memory_order_relaxed);
    if (used == max_execs) return nullptr;
    execs_used.store(used + 1, std::memory_order_release);
    return &execs[used];
}

void set_capture(Exec& exec, Capture* capture) noexcept {
    if (capture != nullptr) ++capture->users;
    Capture* old = exec.capture.exchange(capture, std::memory_order_acq_rel);
    if (old != nullptr) --old->users;
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
    // Also of a capture without a digest in it: its graph was looked at.
    Capture* capture = id != 0 ? capture_with_id(id) : nullptr;
    const Exclusive mine(busy);
    if (!mine || capture == nullptr) return;
    set_graph(*capture, graph);
    --capture->users;
}

void capture_shares_a_graph(std::uint64_t id) noexcept {
    if (Capture* capture = id != 0 ? capture_with_id(id) : nullptr; capture != nullptr)
        capture->unannounced.store(true, std::memory_order_relaxed);
}

void graph_copied(void* graph) noexcept {
    const Exclusive mine(busy);
    if (!mine) return;
    if (Capture* capture = capture_of_graph(graph); capture != nullptr)
        capture->unannounced.store(true, std::memory_order_relaxed);
}

void graph_instantiated(void* handle, void* graph) noexcept {
    const Exclusive mine(busy);
    if (!mine || handle == nullptr) return;
    Capture* capture = capture_of_graph(graph);
    Exec* exec = find_exec(handle);
    if (capture == nullptr) {
        session::blind_spot("graph",
                            "a CUDA graph was not captured from a stream, or before "
                            "orchtrace looked: what runs in it is not seen");
        if (exec != nullptr) set_capture(*exec, nullptr);
        return;
    }
    if (exec == nullptr) exec = free_exec();
    if (exec == nullptr) {
        capture->unannounced.store(true, std::memory_order_relaxed);
        return;
    }
    set_capture(*exec, capture);
    exec->handle.store(handle, std::memory_order_release);
}

std::uint64_t graph_launched(void* handle) noexcept {
    Trace* trace = session::running_trace();
    const Exec* exec = handle != nullptr ? find_exec(handle) : nullptr;
    if (trace == nullptr || exec == nullptr) return 0;
    Capture* capture = exec->capture.load(std::memory_order_acquire);
    if (capture == nullptr || capture->unannounced.load(std::memory_order_relaxed)) return 0;
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
    return run + 1;
}

void graph_launch_failed(void* handle, std::uint64_t run) noexcept {
    Trace* trace = session::running_trace();
    const Exec* exec = find_exec(handle);
    Capture* capture = exec != nullptr ? exec->capture.load(std::memory_order_acquire) : nullptr;
    // Launched once more since, by another thread: which runs are whose cannot be told any more.
    if (run == 0 || trace == nullptr || capture == nullptr ||
        !capture->launches.compare_exchange_strong(run, run - 1)) {
        return;
    }
    const std::uint32_t products = capture->products.load(std::memory_order_relaxed);
    const std::uint32_t copies = capture->copies.load(std::memory_order_relaxed);
    trace->ledger()[RecordClass::gemm].seen.fetch_sub(products, std::memory_order_relaxed);
    trace->ledger()[RecordClass::copy].seen.fetch_sub(copies, std::memory_order_relaxed);
    not_launched(products + copies);
}

void graph_gone(void* graph) noexcept {
    const Exclusive mine(busy);
    if (!mine) return;
    if (Capture* capture = capture_of_graph(graph); capture != nullptr)
        set_graph(*capture, nullptr);
}

void graph_exec_gone(void* handle) noexcept {
    const Exclusive mine(busy);
    Exec* exec = mine && handle != nullptr ? find_exec(handle) : nullptr;
    if (exec == nullptr) return;
    set_capture(*exec, nullptr);
    exec->handle.store(nullptr, std::memory_order_release);
}

void context_gone(const DeviceContext& context) noexcept {
    const Exclusive mine(busy);
    if (!mine) return;
    for (Exec& exec : execs) {
        const Capture* capture = exec.capture.load(std::memory_order_relaxed);
        if (capture == nullptr || capture->context != &context) continue;
        set_capture(exec, nullptr);
        exec.handle.store(nullptr, std::memory_order_release);
    }
    for (Capture& capture : captures) {
        if (capture.context != &context) continue;
        capture.graph = nullptr;
        capture.users = 0;
        capture.unannounced.store(false, std::memory_order_relaxed);
    }
}

}  // namespace orch::cuda
