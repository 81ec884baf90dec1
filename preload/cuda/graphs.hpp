// What was captured from streams, and the graphs made of it. A capture is kept for as long as
// something can run it; then its place is taken by a later one.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "preload/cuda/driver.hpp"

namespace orch::cuda {

class DeviceContext;

struct Capture {
    std::atomic<std::uint64_t> id{0};        ///< the driver's, of the capture; 0: free
    std::atomic<std::uint32_t> products{0};  ///< digests of products in it
    std::atomic<std::uint32_t> copies{0};    ///< and of copies
    std::atomic<std::uint64_t> launches{0};  ///< of its graphs, as the host saw them
    std::atomic<std::uint64_t> arrived{0};   ///< records, as the drain thread saw them
    /// Its nodes may be in other graphs too, which nothing tells us of: their records are counted
    /// when they come.
    std::atomic<bool> unannounced{false};
    /// What the n-th launch was given; the last of them are kept, by n.
    struct Launch {
        std::atomic<std::uint64_t> run{0};  ///< n + 1
        std::atomic<std::int64_t> pass{0};
        std::atomic<std::uint64_t> first_call{0};
    };
    static constexpr std::uint64_t kept = 64;
    Launch launch[kept];
    std::atomic<std::uint32_t> number{0};  ///< as records show it

    std::atomic<const DeviceContext*> context{nullptr};  ///< where its digests run

    // Under the lock of graphs.cpp.
    void* graph = nullptr;  ///< what the capture became
    int users = 0;          ///< the stream in capture, the graph, what was made of it

    std::uint32_t first_node = 0;  ///< under the lock of nodes.cpp
};

/// The capture that the stream is in; null: in none. `captured` is true even if there is no room.
Capture* current_capture(const Driver& driver, Stream stream, bool& captured) noexcept;

/// `graph` null: the capture failed.
void capture_ended(std::uint64_t id, void* graph) noexcept;
/// The stream's capture goes into a graph that has other nodes, or that is a part of another.
void capture_shares_a_graph(std::uint64_t id) noexcept;
/// Nodes of the graph are in another one as well now.
void graph_copied(void* graph) noexcept;
void graph_instantiated(void* exec, void* graph) noexcept;
/// Before the launch: its records may be back before it returns. The number of the launch, from 1;
/// 0: nothing of ours is in it.
std::uint64_t graph_launched(void* exec) noexcept;
void graph_launch_failed(void* exec, std::uint64_t run) noexcept;
void graph_gone(void* graph) noexcept;
void graph_exec_gone(void* exec) noexcept;
/// And all graphs in it.
void context_gone(const DeviceContext& context) noexcept;

}  // namespace orch::cuda
