// CUDA graphs, at the runtime's level and the driver's: whichever the engine calls first is seen,
// what that one calls itself is not.
#include "generated/hook_table.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/cublas_probe.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

using cublas::call_real;
using cuda::success;

/// ORCH_TRACE_GRAPHS=off: nobody touches what the engine does with graphs.
bool looks_at_graphs() noexcept {
    return session::config().graphs != GraphMode::off;
}

template <class Real>
int end_capture(Real real, void* stream, void** graph) noexcept {
    if (!looks_at_graphs()) return call_real(real, stream, graph);
    // Afterwards the stream is in no capture any more.
    std::uint64_t id = 0;
    if (const cuda::Driver* driver = cuda::driver(); driver != nullptr) {
        int status = 0;
        driver->stream_get_capture_info(stream, &status, &id);
        if (status == 0) id = 0;
    }
    const int error = call_real(real, stream, graph);
    if (error == success && graph != nullptr) cuda::capture_ended(id, *graph);
    return error;
}

template <class Real>
int launch_graph(Real real, void* exec, void* stream) noexcept {
    // Before the launch: its records may be back before it returns.
    if (looks_at_graphs()) cuda::graph_launched(exec);
    return call_real(real, exec, stream);
}

template <class Real, class... Rest>
int instantiate(Real real, void** exec, void* graph, Rest... rest) noexcept {
    const int error = call_real(real, exec, graph, rest...);
    if (error == success && exec != nullptr && looks_at_graphs())
        cuda::graph_instantiated(*exec, graph);
    return error;
}

template <class Real, class... Rest>
int update(Real real, void* exec, void* graph, Rest... rest) noexcept {
    const int error = call_real(real, exec, graph, rest...);
    if (error == success && looks_at_graphs()) cuda::graph_instantiated(exec, graph);
    return error;
}

template <class Real>
int destroy(Real real, void* exec) noexcept {
    cuda::graph_exec_gone(exec);
    return call_real(real, exec);
}

}  // namespace

namespace probe {

int cudaStreamEndCapture(const Hook&, cudaStreamEndCapture_fn real, void* stream, void** graph) {
    return end_capture(real, stream, graph);
}

int cuStreamEndCapture(const Hook&, cuStreamEndCapture_fn real, void* stream, void** graph) {
    return end_capture(real, stream, graph);
}

int cudaGraphLaunch(const Hook&, cudaGraphLaunch_fn real, void* exec, void* stream) {
    return launch_graph(real, exec, stream);
}

int cudaGraphLaunch_ptsz(const Hook&, cudaGraphLaunch_ptsz_fn real, void* exec, void* stream) {
    return launch_graph(real, exec, stream);
}

int cuGraphLaunch(const Hook&, cuGraphLaunch_fn real, void* exec, void* stream) {
    return launch_graph(real, exec, stream);
}

int cuGraphLaunch_ptsz(const Hook&, cuGraphLaunch_ptsz_fn real, void* exec, void* stream) {
    return launch_graph(real, exec, stream);
}

int cudaGraphInstantiate(const Hook&, cudaGraphInstantiate_fn real, void** exec, void* graph,
                         std::uint64_t third, std::uint64_t fourth, std::uint64_t fifth) {
    return instantiate(real, exec, graph, third, fourth, fifth);
}

int cudaGraphInstantiateWithFlags(const Hook&, cudaGraphInstantiateWithFlags_fn real, void** exec,
                                  void* graph, std::uint64_t flags) {
    return instantiate(real, exec, graph, flags);
}

int cuGraphInstantiateWithFlags(const Hook&, cuGraphInstantiateWithFlags_fn real, void** exec,
                                void* graph, std::uint64_t flags) {
    return instantiate(real, exec, graph, flags);
}

int cudaGraphExecUpdate(const Hook&, cudaGraphExecUpdate_fn real, void* exec, void* graph,
                        void* third, void* fourth) {
    return update(real, exec, graph, third, fourth);
}

int cuGraphExecUpdate_v2(const Hook&, cuGraphExecUpdate_v2_fn real, void* exec, void* graph,
                         void* result) {
    return update(real, exec, graph, result);
}

int cudaGraphExecDestroy(const Hook&, cudaGraphExecDestroy_fn real, void* exec) {
    return destroy(real, exec);
}

int cuGraphExecDestroy(const Hook&, cuGraphExecDestroy_fn real, void* exec) {
    return destroy(real, exec);
}

}  // namespace probe
}  // namespace orch
