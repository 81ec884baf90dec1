// Graphs: lists of operations with what each comes after; an exec runs them in that order.
#pragma once
#include <map>

#include "core/stream.hpp"

namespace fake {

struct Node {
    std::uint64_t id = 0;
    Op op;
    std::vector<Node*> after;
    Graph* graph = nullptr;
};

struct Graph {
    std::uint64_t id = 0;
    std::vector<std::unique_ptr<Node>> nodes;
};

struct Exec {
    std::uint64_t id = 0;
    std::uint64_t graph = 0;
    std::vector<Op> ops;                          ///< in an order in which they may run
    std::vector<std::vector<std::size_t>> after;  ///< per operation, as indices
    std::map<const Node*, std::size_t> places;    ///< of the nodes it was made of
    std::uint64_t launches = 0;
};

Node& add_node(Graph& graph, Op op, std::vector<Node*> after);
std::unique_ptr<Exec> instantiate(const Graph& graph);
bool same_shape(const Exec& exec, const Exec& other, int* result);

namespace handles {
// With the lock held; null for a handle that is none.
Graph* keep(std::unique_ptr<Graph> graph);
Graph* graph(void* handle);
std::unique_ptr<Graph> take_graph(void* handle);
Node* node(void* handle);
std::shared_ptr<Exec> exec(void* handle);
void* keep(std::shared_ptr<Exec> exec);
bool drop_exec(void* handle);
}  // namespace handles

}  // namespace fake
