// A launch of the digest kernel on operands in host memory, wherever it then runs: run_job_host.cpp
// runs its text on the host, tests/gpu/run_job_gpu.cpp the real thing on a device.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "device/decode.hpp"
#include "device/launch_plan.hpp"
#include "tests/unit/digest_reference.hpp"

namespace orch::device {

inline constexpr int multiprocessors = 132;

/// What a launch leaves in its slot.
struct Record {
    Slot slot;
    std::vector<float> values;
};

/// Plans and launches. The order in which blocks run is another for each seed (0: the usual one),
/// where it can be chosen.
Record run_job(Job job, unsigned seed = 0);

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
