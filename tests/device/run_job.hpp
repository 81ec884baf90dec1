// Launches of the kernel's text on the host, with all that they need.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "device/decode.hpp"
#include "device/digest_host.hpp"
#include "device/launch_plan.hpp"
#include "device/ring_reader.hpp"
#include "tests/unit/digest_reference.hpp"

namespace orch::device {

inline constexpr int multiprocessors = 132;

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

/// What a launch leaves in its slot.
struct Record {
    Slot slot;
    std::vector<float> values;
};

/// Runs the blocks in an order of their own for each seed; 0: the usual one.
inline void run_blocks(const Job& job, std::uint32_t grid, unsigned seed = 0) {
    std::vector<int> order(grid);
    std::iota(order.begin(), order.end(), 0);
    if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    for (int index : order)
        run_block(job, index, static_cast<int>(grid));
}

inline Record run_job(Job job, unsigned seed = 0) {
    TestRing ring;
    TestScratch scratch;
    ring.attach(job);
    scratch.attach(job);
    const Launch launch = plan_launch(job, multiprocessors);
    run_blocks(job, launch.grid, seed);
    EXPECT_EQ(scratch.memory[0].finished, 0U) << "the next launch needs zeros";
    RingReader reader(ring.header());
    const Slot* slot = nullptr;
    Record record{};
    if (!reader.next(slot)) {
        ADD_FAILURE() << "no record";
        return record;
    }
    std::memcpy(&record.slot, slot, sizeof record.slot);
    record.values.assign(RingReader::values_of(slot), RingReader::values_of(slot) + slot->values);
    return record;
}

inline Type type_of(DType type) {
    switch (type) {
        case DType::f32:
            return Type::f32;
        case DType::f64:
            return Type::f64;
        case DType::f16:
            return Type::f16;
        default:
            return Type::bf16;
    }
}

inline Operand operand_of(const MatrixView& view) {
    Operand o;
    o.data = reinterpret_cast<std::uint64_t>(view.data);
    o.rows = view.rows;
    o.cols = view.cols;
    o.row_stride = view.row_stride;
    o.col_stride = view.col_stride;
    o.type = type_of(view.dtype);
    return o;
}

inline Digest decoded(const Record& record, const Job& job, int side, bool extremes = true) {
    Digest d;
    to_digest(record.slot.side[side], job.side[side], extremes, d);
    return d;
}

}  // namespace orch::device
