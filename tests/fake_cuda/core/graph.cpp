#include "core/graph.hpp"

#include <algorithm>
#include <set>

namespace fake {
namespace {

struct State {
    std::map<void*, std::unique_ptr<Graph>> graphs;
    std::set<void*> nodes;
    std::map<void*, std::shared_ptr<Exec>> execs;
    std::vector<std::weak_ptr<Capture>> captures;
};

State& state() {
    static State* const one = new State;
    return *one;
}

/// Everything that a node comes after, however far back.
std::set<const Node*> ancestors(const std::vector<Node*>& from) {
    std::set<const Node*> seen;
    std::vector<const Node*> open(from.begin(), from.end());
    while (!open.empty()) {
        const Node* node = open.back();
        open.pop_back();
        if (seen.insert(node).second)
            open.insert(open.end(), node->after.begin(), node->after.end());
    }
    return seen;
}

}  // namespace

Node& add_node(Graph& graph, Op op, std::vector<Node*> after) {
    auto node = std::make_unique<Node>();
    node->id = graph.nodes.size();
    node->op = std::move(op);
    node->after = std::move(after);
    node->graph = &graph;
    state().nodes.insert(node.get());
    return *graph.nodes.emplace_back(std::move(node));
}

std::unique_ptr<Exec> instantiate(const Graph& graph) {
    auto exec = std::make_unique<Exec>();
    exec->graph = graph.id;
    // Nodes can only be added after those that they come after, so they are in order already.
    for (const auto& node : graph.nodes) {
        exec->places[node.get()] = exec->ops.size();
        exec->ops.push_back(node->op);
        auto& after = exec->after.emplace_back();
        for (const Node* earlier : node->after)
            after.push_back(exec->places.at(earlier));
    }
    return exec;
}

bool same_shape(const Exec& exec, const Exec& other, int* result) {
    constexpr int topology_changed = 2;
    constexpr int type_changed = 3;
    *result = 0;
    if (exec.ops.size() != other.ops.size() || exec.after != other.after)
        *result = topology_changed;
    for (std::size_t i = 0; *result == 0 && i < exec.ops.size(); ++i) {
        if (exec.ops[i].kind != other.ops[i].kind) *result = type_changed;
    }
    return *result == 0;
}

int& capture_mode_of_thread() {
    thread_local int mode = 0;
    return mode;
}

int refuse_in_capture(Lock& /*held*/) {
    constexpr int global = 0;
    constexpr int relaxed = 2;
    std::erase_if(state().captures, [](const auto& weak) { return weak.expired(); });
    if (capture_mode_of_thread() == relaxed) return ok;
    int error = ok;
    for (const auto& weak : state().captures) {
        const auto capture = weak.lock();
        if (!capture || capture->mode == relaxed) continue;
        const bool mine = capture->owner == std::this_thread::get_id();
        if (!mine && (capture->mode != global || capture_mode_of_thread() != global)) continue;
        capture->invalidated = true;
        error = capture_unsupported;
    }
    return error;
}

int begin_capture(const std::shared_ptr<Stream>& stream, int mode) {
    if (stream->capture) return capture_unmatched;
    if (stream->context->legacy == stream) return capture_unsupported;
    auto capture = std::make_shared<Capture>();
    capture->id = next_id();
    capture->mode = mode;
    capture->owner = std::this_thread::get_id();
    capture->graph = std::make_unique<Graph>();
    capture->graph->id = next_id();
    capture->origin = stream.get();
    capture->members.push_back(stream);
    stream->capture = capture;
    stream->tail.clear();
    state().captures.push_back(capture);
    return ok;
}

int end_capture(const std::shared_ptr<Stream>& stream, std::unique_ptr<Graph>& graph) {
    const auto capture = stream->capture;
    if (!capture) return 401;  // not capturing: illegal state
    if (capture->origin != stream.get()) return capture_unmatched;
    constexpr int relaxed = 2;
    if (capture->mode != relaxed && capture->owner != std::this_thread::get_id())
        return capture_wrong_thread;
    const auto joined = ancestors(stream->tail);
    bool unjoined = false;
    for (const auto& member : capture->members) {
        for (const Node* node : member->tail)
            unjoined |= !joined.contains(node);
        member->capture.reset();
        member->tail.clear();
    }
    if (capture->invalidated) return capture_invalidated;
    if (unjoined) return capture_unjoined;
    graph = std::move(capture->graph);
    return ok;
}

namespace handles {

Graph* keep(std::unique_ptr<Graph> graph) {
    Graph* handle = graph.get();
    state().graphs[handle] = std::move(graph);
    return handle;
}

Graph* graph(void* handle) {
    const auto it = state().graphs.find(handle);
    return it == state().graphs.end() ? nullptr : it->second.get();
}

std::unique_ptr<Graph> take_graph(void* handle) {
    const auto it = state().graphs.find(handle);
    if (it == state().graphs.end()) return nullptr;
    auto graph = std::move(it->second);
    state().graphs.erase(it);
    for (const auto& node : graph->nodes)
        state().nodes.erase(node.get());
    return graph;
}

Node* node(void* handle) {
    return state().nodes.contains(handle) ? static_cast<Node*>(handle) : nullptr;
}

std::shared_ptr<Exec> exec(void* handle) {
    const auto it = state().execs.find(handle);
    return it == state().execs.end() ? nullptr : it->second;
}

void* keep(std::shared_ptr<Exec> exec) {
    void* handle = exec.get();
    state().execs[handle] = std::move(exec);
    return handle;
}

bool drop_exec(void* handle) {
    return state().execs.erase(handle) == 1;
}

}  // namespace handles
}  // namespace fake
