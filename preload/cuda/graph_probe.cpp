// CUDA graphs, at the runtime's level and the driver's: whichever the engine calls first is seen,
// what that one calls itself is not.
#include "generated/hook_table.hpp"
#include "preload/cuda/cublas_probe.hpp"
#include "preload/cuda/graphs.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

using cublas::call_real;
using cuda::per_thread;
using cuda::success;

/// ORCH_TRACE_GRAPHS=off: nobody touches what the engine does with graphs.
bool looks_at_graphs() noexcept {
    return session::config().graphs != GraphMode::off;
}

/// The driver's number of the capture that the stream is in; 0: in none.
std::uint64_t capture_of(void* stream) noexcept {
    const cuda::Driver* driver = cuda::driver();
    std::uint64_t id = 0;
    int status = 0;
    if (driver == nullptr || driver->stream_get_capture_info(stream, &status, &id) != success ||
        status == 0) {
        return 0;
    }
    return id;
}

/// `named` is the stream by a name that means the same in all variants.
template <class Real>
int end_capture(Real real, void* stream, void* named, void** graph) noexcept {
    if (!looks_at_graphs()) return call_real(real, stream, graph);
    // Afterwards the stream is in no capture any more.
    const std::uint64_t id = capture_of(named);
    const int error = call_real(real, stream, graph);
    cuda::capture_ended(id, error == success && graph != nullptr ? *graph : nullptr);
    return error;
}

template <class Real, class... Rest>
int begin_capture_to_graph(Real real, void* stream, void* named, Rest... rest) noexcept {
    const int error = call_real(real, stream, rest...);
    if (error == success && looks_at_graphs()) cuda::capture_shares_a_graph(capture_of(named));
    return error;
}

template <class Real>
int launch_graph(Real real, void* exec, void* stream) noexcept {
    if (!looks_at_graphs()) return call_real(real, exec, stream);
    const std::uint64_t run = cuda::graph_launched(exec);
    const int error = call_real(real, exec, stream);
    if (error != success) cuda::graph_launch_failed(exec, run);
    return error;
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

// Before the real call: afterwards another thread may get the same handle.

template <class Real>
int destroy_exec(Real real, void* exec) noexcept {
    if (looks_at_graphs()) cuda::graph_exec_gone(exec);
    return call_real(real, exec);
}

template <class Real>
int destroy_graph(Real real, void* graph) noexcept {
    if (looks_at_graphs()) cuda::graph_gone(graph);
    return call_real(real, graph);
}

template <class Real>
int clone(Real real, void** copy, void* graph) noexcept {
    if (looks_at_graphs()) cuda::graph_copied(graph);
    return call_real(real, copy, graph);
}

template <class Real>
int add_child(Real real, void** node, void* graph, const void* after, std::size_t count,
              void* child) noexcept {
    if (looks_at_graphs()) cuda::graph_copied(child);
    return call_real(real, node, graph, after, count, child);
}

/// The beginning of CUgraphNodeParams.
struct NodeParams {
    int type;
    int reserved[3];
    void* child;
};

void look_at_node(const void* params) noexcept {
    constexpr int child_graph = 4;  // CU_GRAPH_NODE_TYPE_GRAPH
    const auto* node = static_cast<const NodeParams*>(params);
    if (node != nullptr && node->type == child_graph && looks_at_graphs())
        cuda::graph_copied(node->child);
}

}  // namespace

namespace probe {

int cudaStreamEndCapture(const Hook&, cudaStreamEndCapture_fn real, void* stream, void** graph) {
    return end_capture(real, stream, stream, graph);
}

int cudaStreamEndCapture_ptsz(const Hook&, cudaStreamEndCapture_ptsz_fn real, void* stream,
                              void** graph) {
    return end_capture(real, stream, per_thread(stream), graph);
}

int cuStreamEndCapture(const Hook&, cuStreamEndCapture_fn real, void* stream, void** graph) {
    return end_capture(real, stream, stream, graph);
}

int cuStreamEndCapture_ptsz(const Hook&, cuStreamEndCapture_ptsz_fn real, void* stream,
                            void** graph) {
    return end_capture(real, stream, per_thread(stream), graph);
}

int cudaStreamBeginCaptureToGraph(const Hook&, cudaStreamBeginCaptureToGraph_fn real, void* stream,
                                  void* graph, const void* after, const void* edges,
                                  std::size_t count, int mode) {
    return begin_capture_to_graph(real, stream, stream, graph, after, edges, count, mode);
}

int cudaStreamBeginCaptureToGraph_ptsz(const Hook&, cudaStreamBeginCaptureToGraph_ptsz_fn real,
                                       void* stream, void* graph, const void* after,
                                       const void* edges, std::size_t count, int mode) {
    return begin_capture_to_graph(real, stream, per_thread(stream), graph, after, edges, count,
                                  mode);
}

int cuStreamBeginCaptureToGraph(const Hook&, cuStreamBeginCaptureToGraph_fn real, void* stream,
                                void* graph, const void* after, const void* edges,
                                std::size_t count, int mode) {
    return begin_capture_to_graph(real, stream, stream, graph, after, edges, count, mode);
}

int cuStreamBeginCaptureToGraph_ptsz(const Hook&, cuStreamBeginCaptureToGraph_ptsz_fn real,
                                     void* stream, void* graph, const void* after,
                                     const void* edges, std::size_t count, int mode) {
    return begin_capture_to_graph(real, stream, per_thread(stream), graph, after, edges, count,
                                  mode);
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

int cuGraphInstantiate(const Hook&, cuGraphInstantiate_fn real, void** exec, void* graph,
                       void* node, char* log, std::size_t size) {
    return instantiate(real, exec, graph, node, log, size);
}

int cuGraphInstantiate_v2(const Hook&, cuGraphInstantiate_v2_fn real, void** exec, void* graph,
                          void* node, char* log, std::size_t size) {
    return instantiate(real, exec, graph, node, log, size);
}

int cudaGraphInstantiateWithFlags(const Hook&, cudaGraphInstantiateWithFlags_fn real, void** exec,
                                  void* graph, std::uint64_t flags) {
    return instantiate(real, exec, graph, flags);
}

int cuGraphInstantiateWithFlags(const Hook&, cuGraphInstantiateWithFlags_fn real, void** exec,
                                void* graph, std::uint64_t flags) {
    return instantiate(real, exec, graph, flags);
}

int cudaGraphInstantiateWithParams(const Hook&, cudaGraphInstantiateWithParams_fn real, void** exec,
                                   void* graph, void* params) {
    return instantiate(real, exec, graph, params);
}

int cudaGraphInstantiateWithParams_ptsz(const Hook&, cudaGraphInstantiateWithParams_ptsz_fn real,
                                        void** exec, void* graph, void* params) {
    return instantiate(real, exec, graph, params);
}

int cuGraphInstantiateWithParams(const Hook&, cuGraphInstantiateWithParams_fn real, void** exec,
                                 void* graph, void* params) {
    return instantiate(real, exec, graph, params);
}

int cuGraphInstantiateWithParams_ptsz(const Hook&, cuGraphInstantiateWithParams_ptsz_fn real,
                                      void** exec, void* graph, void* params) {
    return instantiate(real, exec, graph, params);
}

int cudaGraphExecUpdate(const Hook&, cudaGraphExecUpdate_fn real, void* exec, void* graph,
                        void* third, void* fourth) {
    return update(real, exec, graph, third, fourth);
}

int cuGraphExecUpdate(const Hook&, cuGraphExecUpdate_fn real, void* exec, void* graph, void* node,
                      void* result) {
    return update(real, exec, graph, node, result);
}

int cuGraphExecUpdate_v2(const Hook&, cuGraphExecUpdate_v2_fn real, void* exec, void* graph,
                         void* result) {
    return update(real, exec, graph, result);
}

int cudaGraphExecDestroy(const Hook&, cudaGraphExecDestroy_fn real, void* exec) {
    return destroy_exec(real, exec);
}

int cuGraphExecDestroy(const Hook&, cuGraphExecDestroy_fn real, void* exec) {
    return destroy_exec(real, exec);
}

int cudaGraphDestroy(const Hook&, cudaGraphDestroy_fn real, void* graph) {
    return destroy_graph(real, graph);
}

int cuGraphDestroy(const Hook&, cuGraphDestroy_fn real, void* graph) {
    return destroy_graph(real, graph);
}

int cudaGraphClone(const Hook&, cudaGraphClone_fn real, void** copy, void* graph) {
    return clone(real, copy, graph);
}

int cuGraphClone(const Hook&, cuGraphClone_fn real, void** copy, void* graph) {
    return clone(real, copy, graph);
}

int cudaGraphAddChildGraphNode(const Hook&, cudaGraphAddChildGraphNode_fn real, void** node,
                               void* graph, const void* after, std::size_t count, void* child) {
    return add_child(real, node, graph, after, count, child);
}

int cuGraphAddChildGraphNode(const Hook&, cuGraphAddChildGraphNode_fn real, void** node,
                             void* graph, const void* after, std::size_t count, void* child) {
    return add_child(real, node, graph, after, count, child);
}

// The runtime's cudaGraphAddNode has other arguments in CUDA 12 and 13; it calls one of these.

int cuGraphAddNode(const Hook&, cuGraphAddNode_fn real, void** node, void* graph, const void* after,
                   std::size_t count, void* params) {
    look_at_node(params);
    return call_real(real, node, graph, after, count, params);
}

int cuGraphAddNode_v2(const Hook&, cuGraphAddNode_v2_fn real, void** node, void* graph,
                      const void* after, const void* edges, std::size_t count, void* params) {
    look_at_node(params);
    return call_real(real, node, graph, after, edges, count, params);
}

}  // namespace probe
}  // namespace orch
