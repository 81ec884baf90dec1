// A ring, scratch memory and blocks of the kernel's text, all on the host.
#pragma once
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "device/digest_host.hpp"
#include "device/ring_reader.hpp"
#include "tests/device/run_job.hpp"

namespace orch::device {

class TestRing {
  public:
    explicit TestRing(std::uint32_t slots = 4, std::int32_t values = 16)
        : memory_(ring_bytes(slots, slot_bytes_for(values)) / sizeof(std::uint64_t) + 1) {
        header()->slots = slots;
        header()->slot_bytes = slot_bytes_for(values);
    }

    RingHeader* header() { return reinterpret_cast<RingHeader*>(memory_.data()); }
    RingState& state() { return state_; }

    void attach(Job& job) {
        job.ring = reinterpret_cast<std::uint64_t>(header());
        job.state = reinterpret_cast<std::uint64_t>(&state_);
    }

  private:
    std::vector<std::uint64_t> memory_;
    RingState state_{};
};

struct TestScratch {
    std::vector<LaunchScratch> memory{scratch_bytes(multiprocessors) / sizeof(LaunchScratch) + 1};

    void attach(Job& job) { job.scratch = reinterpret_cast<std::uint64_t>(memory.data()); }
};

/// Runs the blocks in an order of their own for each seed; 0: the usual one.
inline void run_blocks(const Job& job, std::uint32_t grid, unsigned seed = 0) {
    std::vector<int> order(grid);
    std::iota(order.begin(), order.end(), 0);
    if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    for (int index : order)
        run_block(job, index, static_cast<int>(grid));
}

}  // namespace orch::device
