// Digests in CUDA graphs. They replay as long as a graph lives, so that their numbers do not go
// round as those of eager calls do; what a graph leaves behind is used again.
#pragma once
#include <atomic>
#include <cstdint>

#include "device/protocol.hpp"
#include "preload/cuda/calls.hpp"
#include "preload/cuda/context.hpp"
#include "preload/cuda/graphs.hpp"

namespace orch::cuda {

class GraphNodes {
  public:
    static constexpr std::uint32_t number_bit = 1U << 31;

    /// Gives the job a number and a counter of its runs. False: there is no room.
    bool add(CallInfo& info, DeviceContext& context, const Driver& driver,
             device::Job& job) noexcept;
    /// The node was not made after all.
    void launch_failed(std::uint32_t number) noexcept;
    /// The capture ran so often, and will not run any more.
    void give_back(Capture& capture, std::uint64_t runs) noexcept;
    bool find(std::uint32_t number, CallInfo& out) noexcept;

  private:
    static constexpr int index_bits = 15;
    static constexpr std::uint32_t count = 1U << index_bits;

    struct Node {
        CallEntry call;
        DeviceContext* context = nullptr;  ///< whose memory the counter is in
        std::uint64_t counter = 0;         ///< in device memory; 0: none yet
        std::uint64_t runs = 0;            ///< what it holds while no graph has it
        std::uint32_t next = 0;            ///< of the capture, or of the free ones
        std::uint32_t owner_age = 0;  ///< how many captures had it: a late record is not another's
    };

    Node* take(Capture& capture) noexcept;
    std::uint32_t number_of(const Node& node) const noexcept;

    /// All zeros, so that the table costs nothing until it is used; 0 is no node's place.
    Node nodes_[count] = {};
    std::uint32_t used_ = 0;
    std::uint32_t first_free_ = 0;
    std::atomic<bool> busy_{false};
};

GraphNodes& graph_nodes() noexcept;

}  // namespace orch::cuda
