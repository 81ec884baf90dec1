#include "preload/cuda/nodes.hpp"

#include "preload/cuda/exclusive.hpp"

namespace orch::cuda {
namespace {

constinit GraphNodes all;

}  // namespace

GraphNodes& graph_nodes() noexcept {
    return all;
}

std::uint32_t GraphNodes::number_of(const Node& node) const noexcept {
    const auto index = static_cast<std::uint32_t>(&node - nodes_);
    return number_bit | ((node.owner_age << index_bits) & ~number_bit) | index;
}

GraphNodes::Node* GraphNodes::take(Capture& capture) noexcept {
    const Exclusive mine(busy_);
    if (!mine) return nullptr;
    std::uint32_t index = first_free_;
    if (index != 0) {
        first_free_ = nodes_[index].next;
    } else if (used_ + 1 < count) {
        index = ++used_;
    } else {
        return nullptr;
    }
    nodes_[index].next = capture.first_node;
    capture.first_node = index;
    return &nodes_[index];
}

bool GraphNodes::add(CallInfo& info, DeviceContext& context, const Driver& driver,
                     device::Job& job) noexcept {
    Node* node = take(*info.capture);
    if (node == nullptr) return false;
    if (node->context != &context || node->counter == 0) {
        node->context = &context;
        node->counter = context.take_counter(driver);
        node->runs = 0;
    }
    if (node->counter == 0) return false;
    info.first_run = node->runs;
    job.op = number_of(*node);
    job.runs = node->counter;
    node->call.set(job.op, info);
    return true;
}

void GraphNodes::launch_failed(std::uint32_t number) noexcept {
    // Its counter will not count with the capture's.
    nodes_[number % count].counter = 0;
}

void GraphNodes::give_back(Capture& capture, std::uint64_t runs) noexcept {
    const Exclusive mine(busy_);
    if (!mine) return;
    while (capture.first_node != 0) {
        const std::uint32_t index = capture.first_node;
        Node& node = nodes_[index];
        capture.first_node = node.next;
        node.call.clear();
        node.runs += runs;
        ++node.owner_age;
        node.next = first_free_;
        first_free_ = index;
    }
}

bool GraphNodes::find(std::uint32_t number, CallInfo& out) noexcept {
    return nodes_[number % count].call.get(number, out);
}

}  // namespace orch::cuda
