// What the host and the digest kernel say to each other: plain data, the same bytes on both sides.
//
//   host:   Job (a kernel parameter)  -->  one launch, on the engine's own stream
//   device: ticket, results, sequence -->  a slot of a ring in pinned host memory
//   host:   a thread polls the ring, and makes no CUDA call
//
// A launch that a graph captured replays with the same Job: whatever differs per run (ticket,
// number of the run) is therefore the device's to find out.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/digest.hpp"

namespace orch::device {

enum class Type : std::uint8_t { f32, f64, f16, bf16, e4m3, e5m2, i8, i32 };

constexpr std::int64_t size_of(Type type) {
    switch (type) {
        case Type::f64:
            return 8;
        case Type::f32:
        case Type::i32:
            return 4;
        case Type::f16:
        case Type::bf16:
            return 2;
        case Type::e4m3:
        case Type::e5m2:
        case Type::i8:
            return 1;
    }
    return 1;
}

/// Element (r, c) lies at data + (r * row_stride + c * col_stride) * size. Addresses are device
/// addresses, and never read by the host.
struct Operand {
    std::uint64_t data = 0;  ///< 0: there is no such operand
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::int64_t row_stride = 0;
    std::int64_t col_stride = 1;
    Type type = Type::f32;
    bool indirect = false;  ///< `data` is the address of a pointer to the data (batches)
};

inline constexpr int max_rows = max_selected_rows;
inline constexpr int sample_size = 32;

struct RowResult {
    std::int64_t row;
    std::int64_t position;
    double energy;
    double sum;
    std::int64_t argmax;  ///< lowest index of the largest finite value; -1: none
    std::uint32_t nan;
    std::uint32_t pos_inf;
    std::uint32_t neg_inf;
    float absmax;
    float max;
    float sketch[sketch_size];
    float projection[sketch_size];  ///< row * probes; only of an input with probes
};

struct SideResult {
    double energy;
    double sum;
    std::uint64_t hash;
    std::int64_t argmax;  ///< flat index, row-major; -1: no finite value
    std::uint64_t nan;
    std::uint64_t pos_inf;
    std::uint64_t neg_inf;
    float min;
    float max;
    float absmax;
    std::int32_t selected;  ///< rows below that count
    float mixed[sketch_size];
    float projection[sketch_size];  ///< of the sum of all rows with their signs
    RowResult row[max_rows];
};

/// In pinned host memory. The device writes `sequence` last, after a system-wide fence.
struct Slot {
    std::uint32_t sequence;  ///< ticket + 1 of the record in it
    std::uint32_t op;        ///< Job::op
    std::uint64_t run;       ///< how often this Job has run before: replays of a graph
    std::uint64_t sample;    ///< hash of the weight's sample, Job::weight
    SideResult side[2];      ///< result and input
    std::int32_t values;     ///< floats behind this struct: the last row's first ones
};

/// In pinned host memory, before the slots.
struct RingHeader {
    std::uint32_t slots;       ///< a power of two
    std::uint32_t slot_bytes;  ///< sizeof(Slot) and room for the values
    std::uint32_t tail;        ///< slots that the host is done with; the host writes it
    std::uint32_t dropped;     ///< records that found no slot; the device writes it
};

/// In device memory, zero at first.
struct RingState {
    std::uint32_t head;     ///< tickets taken
    std::uint32_t dropped;  ///< as RingHeader::dropped
    // Of RingHeader, as a launch last saw it: to look again is a read across the bus.
    std::uint32_t seen_tail;
    std::uint32_t slots;
    std::uint32_t slot_bytes;
};

/// Partial results of the blocks of one launch, in device memory; its first 64 bytes are zero at
/// first and again after each launch. No two launches that may overlap share one.
struct LaunchScratch;

/// How one operand is cut into pieces of work. plan_launch() knows.
struct Split {
    std::int64_t rows_per_group = 0;
    std::int64_t cols_per_group = 0;
    std::int64_t cols_per_row_group = 0;
    std::int64_t cols_per_probe_group = 0;
    std::int32_t row_groups = 0;
    std::int32_t col_groups = 0;
    std::int32_t selected = 0;        ///< rows with results of their own
    std::int32_t row_col_groups = 0;  ///< pieces of one selected row; 0: it is the total
    std::int32_t probe_groups = 0;    ///< pieces of the columns that probes are made of
    std::uint8_t log_lanes = 0;       ///< threads side by side along a row
    std::uint8_t log_row_lanes = 0;   ///< the same in a selected row
    bool along_rows = false;          ///< neighbouring threads have neighbouring rows
};

struct Job {
    Operand side[2];            ///< result and input
    Operand weight;             ///< only a sample of it is read
    std::uint64_t ring = 0;     ///< RingHeader*, as the device sees it
    std::uint64_t state = 0;    ///< RingState*
    std::uint64_t scratch = 0;  ///< LaunchScratch*
    std::uint64_t runs = 0;     ///< std::uint64_t*, bumped by each run; 0: not counted
    /// const float*, aligned to 16 bytes: of the weight, for the input's projection; 0: none
    std::uint64_t probes = 0;
    std::uint64_t probes_out = 0;  ///< float*: makes the probes of side[0], a weight; 0: none
    std::int64_t first_position = 0;
    std::uint32_t op = 0;
    std::int32_t selected_rows = max_rows;  ///< at most; 1 = the last row alone
    std::int32_t values = 0;
    bool sign_rows = true;   ///< false: all signs +, the sum of a weight's rows
    Split split[2];          ///< made by plan_launch(), as the last thing before the launch
    std::int32_t items = 0;  ///< likewise
};

}  // namespace orch::device
