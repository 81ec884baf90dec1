// How a Job is launched: cut into items of work, one block each, or all in one block where a
// second block would cost more than it saves. The numbers are estimates for an H100-like GPU.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/digest.hpp"
#include "device/partial.hpp"
#include "device/protocol.hpp"
#include "device/selection.hpp"

namespace orch::device {

struct Launch {
    const char* entry = "orch_digest";
    std::uint32_t grid = 1;
    std::uint32_t block = block_threads;
    std::uint32_t dynamic_shared_bytes = 0;  ///< the kernel's own is static
};

inline constexpr int items_per_multiprocessor = 2;
inline constexpr int most_probing_items = 1024;
inline constexpr int most_row_col_groups = 16;

namespace plan_detail {

inline constexpr std::int64_t item_bytes = 32 << 10;
inline constexpr std::int64_t one_block_bytes = 64 << 10;         ///< of data
inline constexpr std::int64_t one_block_probe_bytes = 128 << 10;  ///< and of probes with it
inline constexpr int one_block_steps = 12;
inline constexpr int tiles_per_row_item = 4;

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return a / b + (a % b != 0 ? 1 : 0);
}

/// divide_up(a, 1 << log_b). A division takes longer than all else that is planned with its result.
inline std::int64_t shift_up(std::int64_t a, int log_b) {
    const std::int64_t rest = a & ((std::int64_t{1} << log_b) - 1);
    return (a >> log_b) + (rest != 0 ? 1 : 0);
}

/// `parts` parts of `size` units, the last of which may be smaller.
struct Cut {
    std::int64_t size = 1;
    std::int64_t parts = 1;
};

inline Cut cut(std::int64_t units, std::int64_t most_parts) {
    if (most_parts <= 1) return {units, 1};
    if (units <= most_parts) return {1, units};
    const std::int64_t size = divide_up(units, most_parts);
    return {size, divide_up(units, size)};
}

constexpr int log_floor(std::int64_t n) {
    return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n))) - 1;
}

constexpr int log_ceil(std::int64_t n) {
    return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n - 1)));
}

inline constexpr int log_threads = log_floor(block_threads);
static_assert(block_threads == 1 << log_threads);

inline int log_columns_of_chunk(Type type) {
    constexpr int log_wide = log_floor(columns_of_chunk(Type::f16));
    constexpr int log_narrow = log_floor(columns_of_chunk(Type::f32));
    static_assert(columns_of_chunk(Type::f16) == 1 << log_wide &&
                  columns_of_chunk(Type::f32) == 1 << log_narrow);
    return columns_of_chunk(type) == 1 << log_wide ? log_wide : log_narrow;
}

struct Wanted {
    std::int64_t items = 1;
    bool probing = false;
    std::int64_t first_position = 0;
    int selected_rows = max_rows;
};

/// In its place, not by value: a copy would wait for the single stores that it is read back from.
inline void split(const Operand& o, const Wanted& wanted, Split& s) {
    s = {};
    if (!has_elements(o)) return;
    const int log_width = log_columns_of_chunk(o.type);
    const std::int64_t chunks = shift_up(o.cols, log_width);
    // A tile of a whole number of sketch buckets: a thread then has the same ones in every tile.
    const int fewest = log_floor(sketch_size) - log_width;
    const int for_cols = std::clamp(log_ceil(chunks), fewest, log_threads);
    s.along_rows = o.rows > 1 && std::abs(o.row_stride) < std::abs(o.col_stride);
    // A warp reads 512 bytes of one row: wide enough for the memory, and of narrow pieces fewer
    // probes have to be read.
    const int narrowest = s.along_rows ? 4 : 5;
    const int for_rows = std::max(log_threads - log_floor(o.rows), narrowest);
    s.log_lanes = static_cast<std::uint8_t>(std::min(for_rows, for_cols));
    s.log_row_lanes = static_cast<std::uint8_t>(for_cols);

    const int log_tile = log_width + s.log_lanes;
    const Cut cols = cut(shift_up(o.cols, log_tile), wanted.items);
    s.cols_per_group = cols.size << log_tile;
    s.col_groups = static_cast<std::int32_t>(cols.parts);
    const int log_rows_at_once = log_threads - s.log_lanes;
    const Cut rows = cut(shift_up(o.rows, log_rows_at_once),
                         cols.parts == 1 ? wanted.items : wanted.items / cols.parts);
    s.rows_per_group = rows.size << log_rows_at_once;
    s.row_groups = static_cast<std::int32_t>(rows.parts);

    if (wanted.probing) {
        const int log_probe_tile = log_width + probe_log_lanes;
        const Cut probes = cut(shift_up(o.cols, log_probe_tile), most_probing_items);
        s.cols_per_probe_group = probes.size << log_probe_tile;
        s.probe_groups = static_cast<std::int32_t>(probes.parts);
    }
    s.selected = select_rows(o.rows, wanted.first_position, wanted.selected_rows).count;
    if (o.rows == 1) return;
    const int log_row_tile = log_width + s.log_row_lanes;
    const std::int64_t row_tiles = shift_up(o.cols, log_row_tile);
    const std::int64_t groups =
        wanted.items == 1
            ? 1
            : std::min<std::int64_t>(divide_up(row_tiles, tiles_per_row_item), most_row_col_groups);
    const Cut row_cols = cut(row_tiles, groups);
    s.cols_per_row_group = row_cols.size << log_row_tile;
    s.row_col_groups = static_cast<std::int32_t>(row_cols.parts);
}

inline std::int32_t items_of(const Split& s) {
    return s.row_groups * s.col_groups + s.selected * s.row_col_groups + s.probe_groups;
}

/// Times that a thread of a block that does all of it waits for memory.
inline std::int64_t steps_of(const Operand& o, const Split& s) {
    if (s.row_groups == 0) return 0;
    constexpr int log_rows_in_flight = 1;
    const int log_width = log_columns_of_chunk(o.type);
    const std::int64_t tiles = shift_up(o.cols, log_width + s.log_lanes);
    const std::int64_t row_tiles = shift_up(o.cols, log_width + s.log_row_lanes);
    const int log_rows_at_once = log_threads - s.log_lanes + log_rows_in_flight;
    return tiles * shift_up(o.rows, log_rows_at_once) + s.selected * s.row_col_groups * row_tiles;
}

}  // namespace plan_detail

/// Bytes of LaunchScratch that are enough for any Job on a GPU of so many multiprocessors.
constexpr std::size_t scratch_bytes(int multiprocessors) {
    const int totals = 2 * items_per_multiprocessor * multiprocessors;
    const int items = totals + 2 * max_rows * most_row_col_groups + most_probing_items;
    return sizeof(LaunchScratch) + static_cast<std::size_t>(items) * sizeof(Partial);
}

/// Fills in what the kernel has to know of its launch; call it when all else in `job` is set.
inline Launch plan_launch(Job& job, int multiprocessors) {
    using namespace plan_detail;
    std::int64_t data[2] = {};
    std::int64_t bytes[2] = {};
    for (int side = 0; side < 2; ++side) {
        const Operand& o = job.side[side];
        if (!has_elements(o)) continue;
        data[side] = o.rows * o.cols * size_of(o.type);
        bytes[side] = data[side];
        if (side == 1 && job.probes != 0)
            bytes[side] += probe_count(o.rows) * probe_stride(o.cols) * 4;
    }
    const auto split_all = [&](const std::int64_t(&items)[2]) {
        job.items = 0;
        for (int side = 0; side < 2; ++side) {
            const bool probing = side == 0 && job.probes_out != 0;
            split(job.side[side], {items[side], probing, job.first_position, job.selected_rows},
                  job.split[side]);
            job.items += items_of(job.split[side]);
        }
    };
    Launch launch;
    if (job.probes_out == 0 && data[0] + data[1] <= one_block_bytes &&
        bytes[0] + bytes[1] <= one_block_probe_bytes) {
        split_all({1, 1});
        if (job.items <= one_block_items &&
            steps_of(job.side[0], job.split[0]) + steps_of(job.side[1], job.split[1]) <=
                one_block_steps) {
            return launch;
        }
    }
    const auto all = static_cast<double>(bytes[0]) + static_cast<double>(bytes[1]);
    const double most = items_per_multiprocessor * multiprocessors;
    std::int64_t items[2] = {1, 1};
    for (int side = 0; side < 2; ++side) {
        const auto share =
            static_cast<std::int64_t>(most * (static_cast<double>(bytes[side]) / all));
        items[side] =
            std::clamp<std::int64_t>(bytes[side] / item_bytes, 1, std::max<std::int64_t>(share, 1));
    }
    split_all(items);
    launch.grid = static_cast<std::uint32_t>(std::max(job.items, 1));
    return launch;
}

}  // namespace orch::device
