// Graphs: made by capture or node by node, instantiated, updated, launched.
#include <cstring>

#include "api.hpp"
#include "core/graph.hpp"
#include "core/kernel.hpp"

namespace fake {
namespace {

int create(void** out) {
    if (out == nullptr) return invalid_value;
    const Lock lock(world());
    auto graph = std::make_unique<Graph>();
    graph->id = next_id();
    *out = handles::keep(std::move(graph));
    return ok;
}

int destroy(void* handle) {
    const Lock lock(world());
    return handles::take_graph(handle) ? ok : invalid_value;
}

int clone(void** out, void* handle) {
    const Lock lock(world());
    const Graph* graph = handles::graph(handle);
    if (graph == nullptr || out == nullptr) return invalid_value;
    auto copy = std::make_unique<Graph>();
    copy->id = next_id();
    std::map<const Node*, Node*> twins;
    for (const auto& node : graph->nodes) {
        std::vector<Node*> after;
        for (const Node* earlier : node->after)
            after.push_back(twins.at(earlier));
        twins[node.get()] = &add_node(*copy, node->op, after);
    }
    *out = handles::keep(std::move(copy));
    return ok;
}

struct NewNode {
    void** node;
    void* graph;
    const void* const* dependencies;
    size_t count;
};

/// Adds with the lock held.
int add(const NewNode& where, Op op) {
    Graph* graph = handles::graph(where.graph);
    if (graph == nullptr || where.node == nullptr) return invalid_value;
    std::vector<Node*> after;
    for (size_t i = 0; i < where.count; ++i) {
        Node* node = handles::node(const_cast<void*>(where.dependencies[i]));
        if (node == nullptr || node->graph != graph) return invalid_value;
        after.push_back(node);
    }
    *where.node = &add_node(*graph, std::move(op), std::move(after));
    return ok;
}

/// Runs a copy of what the child holds now.
int add_child(const NewNode& where, void* child_handle) {
    const Lock lock(world());
    const Graph* child = handles::graph(child_handle);
    if (child == nullptr) return invalid_value;
    const auto ops = std::make_shared<std::vector<Op>>(instantiate(*child)->ops);
    const auto all = [ops] {
        for (const Op& op : *ops)
            if (op.run) op.run();
    };
    return add(where, {NodeKind::graph, {}, all, nullptr, 0});
}

struct KernelNode {
    const void* function;
    LaunchShape shape;
    void** params;
    void** extra;
};

KernelNode read(const RuntimeKernelNode& p) {
    return {p.function, {p.grid, p.block, p.shared}, p.params, p.extra};
}
KernelNode read(const DriverKernelNode& p) {
    const LaunchShape shape{
        {p.grid_x, p.grid_y, p.grid_z}, {p.block_x, p.block_y, p.block_z}, p.shared};
    return {p.function != nullptr ? p.function : p.kernel, shape, p.params, p.extra};
}

void write(RuntimeKernelNode& p, Launch& launch) {
    p = {launch.kernel,        launch.grid, launch.block, static_cast<unsigned>(launch.shared),
         launch.params.data(), nullptr};
}
void write(DriverKernelNode& p, Launch& launch) {
    const auto [gx, gy, gz] = launch.grid;
    const auto [bx, by, bz] = launch.block;
    p = {launch.kernel,
         gx,
         gy,
         gz,
         bx,
         by,
         bz,
         static_cast<unsigned>(launch.shared),
         launch.params.data(),
         nullptr,
         launch.kernel,
         nullptr};
}

int add_kernel(Call& call, const NewNode& where, const KernelNode& what) {
    const Lock lock(world());
    Kernel* kernel = kernels::find(what.function);
    if (kernel == nullptr) return invalid_device_function;
    call.note("kernel", kernel->plain);
    return add(where, kernel_op(make_launch(*kernel, what.shape, what.params, what.extra)));
}

template <class Params>
int kernel_params(void* handle, Params* params) {
    const Lock lock(world());
    Node* node = handles::node(handle);
    if (node == nullptr || params == nullptr || !node->op.launch) return invalid_value;
    write(*params, *node->op.launch);
    return ok;
}

int set_kernel_params(void* exec_handle, void* node_handle, const KernelNode& what) {
    const Lock lock(world());
    const auto exec = handles::exec(exec_handle);
    Kernel* kernel = kernels::find(what.function);
    if (!exec || kernel == nullptr) return invalid_value;
    const auto place = exec->places.find(static_cast<Node*>(node_handle));
    if (place == exec->places.end()) return invalid_value;
    exec->ops[place->second] = kernel_op(make_launch(*kernel, what.shape, what.params, what.extra));
    return ok;
}

int nodes(void* handle, void** out, size_t* count) {
    const Lock lock(world());
    const Graph* graph = handles::graph(handle);
    if (graph == nullptr || count == nullptr) return invalid_value;
    const size_t all = graph->nodes.size();
    if (out == nullptr) {
        *count = all;
        return ok;
    }
    for (size_t i = 0; i < *count; ++i)
        out[i] = i < all ? graph->nodes[i].get() : nullptr;
    *count = std::min(*count, all);
    return ok;
}

int type(void* handle, int* out) {
    const Lock lock(world());
    const Node* node = handles::node(handle);
    if (node == nullptr || out == nullptr) return invalid_value;
    *out = static_cast<int>(node->op.kind);
    return ok;
}

void note(Call& call, const Exec& exec) {
    call.note("graph", exec.graph);
    call.note("graph_exec", exec.id);
    call.note("nodes", static_cast<std::uint64_t>(exec.ops.size()));
}

int make_exec(Call& call, void** out, void* handle) {
    if (out == nullptr) return invalid_value;
    const Lock lock(world());
    const Graph* graph = handles::graph(handle);
    if (graph == nullptr) return invalid_value;
    std::shared_ptr<Exec> exec = instantiate(*graph);
    exec->id = next_id();
    note(call, *exec);
    *out = handles::keep(std::move(exec));
    return ok;
}

int drop(void* handle) {
    const Lock lock(world());
    return handles::drop_exec(handle) ? ok : invalid_value;
}

int update(Call& call, void* handle, void* graph_handle, UpdateResult* info) {
    const Lock lock(world());
    const auto exec = handles::exec(handle);
    const Graph* graph = handles::graph(graph_handle);
    if (!exec || graph == nullptr) return invalid_value;
    const auto fresh = instantiate(*graph);
    int result = 0;
    const bool same = same_shape(*exec, *fresh, &result);
    if (info != nullptr) *info = {result, nullptr, nullptr};
    call.note("update", result);
    if (same) {
        // What was launched before holds its own copy of the operations.
        exec->ops = fresh->ops;
        exec->graph = graph->id;
    }
    note(call, *exec);
    return same ? ok : graph_update_failure;
}

int run(Call& call, void* handle, void* stream) {
    Lock lock(world());
    const auto exec = handles::exec(handle);
    if (!exec) return invalid_value;
    const auto target = find_stream(call, stream);
    if (!target) return invalid_handle;
    const std::uint64_t replay = ++exec->launches;
    note(call, *exec);
    call.note("replay", replay);
    const auto ops = std::make_shared<std::vector<Op>>(exec->ops);
    const auto all = [ops, replay, id = exec->id, stream_id = target->id] {
        for (const Op& op : *ops) {
            if (op.run && !context_is_lost()) op.run();
            journal_execution(op.kind, op.label, stream_id, op.call, id, replay);
        }
    };
    return append(lock, target, {NodeKind::graph, {}, all, nullptr, 0});
}

}  // namespace

namespace api {

int cuGraphCreate(Call&, void** graph, unsigned) {
    return create(graph);
}
int cuGraphDestroy(Call&, void* graph) {
    return destroy(graph);
}
int cuGraphClone(Call&, void** out, void* graph) {
    return clone(out, graph);
}
int cuGraphAddKernelNode_v2(Call& c, void** node, void* graph, const void* const* dependencies,
                            size_t count, const DriverKernelNode* params) {
    return params == nullptr ? invalid_value
                             : add_kernel(c, {node, graph, dependencies, count}, read(*params));
}
int cuGraphAddChildGraphNode(Call&, void** node, void* graph, const void* const* dependencies,
                             size_t count, void* child) {
    return add_child({node, graph, dependencies, count}, child);
}
int cuGraphAddEmptyNode(Call&, void** node, void* graph, const void* const* dependencies,
                        size_t count) {
    const Lock lock(world());
    return add({node, graph, dependencies, count}, {});
}
int cuGraphGetNodes(Call&, void* graph, void** out, size_t* count) {
    return nodes(graph, out, count);
}
int cuGraphNodeGetType(Call&, void* node, int* out) {
    return type(node, out);
}
int cuGraphKernelNodeGetParams_v2(Call&, void* node, DriverKernelNode* params) {
    return kernel_params(node, params);
}
int cuGraphInstantiateWithFlags(Call& c, void** exec, void* graph, unsigned long long) {
    return make_exec(c, exec, graph);
}
int cuGraphInstantiate_v2(Call& c, void** exec, void* graph, void**, char*, size_t) {
    return make_exec(c, exec, graph);
}
int cuGraphExecDestroy(Call&, void* exec) {
    return drop(exec);
}
int cuGraphExecUpdate_v2(Call& c, void* exec, void* graph, UpdateResult* info) {
    return update(c, exec, graph, info);
}
int cuGraphExecKernelNodeSetParams_v2(Call&, void* exec, void* node,
                                      const DriverKernelNode* params) {
    return params == nullptr ? invalid_value : set_kernel_params(exec, node, read(*params));
}
int cuGraphLaunch(Call& c, void* exec, void* stream) {
    return run(c, exec, stream);
}
int cuGraphUpload(Call&, void* exec, void*) {
    const Lock lock(world());
    return handles::exec(exec) ? ok : invalid_value;
}

int cudaGraphCreate(Call&, void** graph, unsigned) {
    return create(graph);
}
int cudaGraphDestroy(Call&, void* graph) {
    return destroy(graph);
}
int cudaGraphClone(Call&, void** out, void* graph) {
    return clone(out, graph);
}
int cudaGraphAddKernelNode(Call& c, void** node, void* graph, const void* const* dependencies,
                           size_t count, const RuntimeKernelNode* params) {
    return params == nullptr ? invalid_value
                             : add_kernel(c, {node, graph, dependencies, count}, read(*params));
}
int cudaGraphAddMemcpyNode1D(Call& c, void** node, void* graph, const void* const* dependencies,
                             size_t count, void* dst, const void* src, size_t bytes, int) {
    c.note("bytes", static_cast<std::uint64_t>(bytes));
    const Lock lock(world());
    const auto copy = [=] { std::memmove(dst, src, bytes); };
    return add({node, graph, dependencies, count}, {NodeKind::copy, {}, copy, nullptr, 0});
}
int cudaGraphAddChildGraphNode(Call&, void** node, void* graph, const void* const* dependencies,
                               size_t count, void* child) {
    return add_child({node, graph, dependencies, count}, child);
}
int cudaGraphAddEmptyNode(Call& c, void** node, void* graph, const void* const* dependencies,
                          size_t count) {
    return cuGraphAddEmptyNode(c, node, graph, dependencies, count);
}
int cudaGraphGetNodes(Call&, void* graph, void** out, size_t* count) {
    return nodes(graph, out, count);
}
int cudaGraphNodeGetType(Call&, void* node, int* out) {
    return type(node, out);
}
int cudaGraphKernelNodeGetParams(Call&, void* node, RuntimeKernelNode* params) {
    return kernel_params(node, params);
}
int cudaGraphInstantiate(Call& c, void** exec, void* graph, unsigned long long) {
    return make_exec(c, exec, graph);
}
int cudaGraphInstantiateWithFlags(Call& c, void** exec, void* graph, unsigned long long) {
    return make_exec(c, exec, graph);
}
int cudaGraphExecDestroy(Call&, void* exec) {
    return drop(exec);
}
int cudaGraphExecUpdate(Call& c, void* exec, void* graph, UpdateResult* info) {
    return update(c, exec, graph, info);
}
int cudaGraphExecKernelNodeSetParams(Call&, void* exec, void* node,
                                     const RuntimeKernelNode* params) {
    return params == nullptr ? invalid_value : set_kernel_params(exec, node, read(*params));
}
int cudaGraphLaunch(Call& c, void* exec, void* stream) {
    return run(c, exec, stream);
}
int cudaGraphUpload(Call& c, void* exec, void* stream) {
    return cuGraphUpload(c, exec, stream);
}

}  // namespace api
}  // namespace fake
