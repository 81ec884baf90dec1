// One item of work: the digest of some rows and columns of an operand, or probes of some columns.
#pragma once
#include <cstdint>

#include "core/digest.hpp"
#include "core/hash.hpp"
#include "device/partial.hpp"
#include "device/row_sums.hpp"
#include "device/selection.hpp"

namespace orch::device {

ORCH_DEVICE Item item_at(const Job& job, int index) {
    const auto bounded = [](std::int64_t value, std::int64_t limit) {
        return value < limit ? value : limit;
    };
    Item item{};
    item.slot = Item::total;
    const auto take_cols = [&](int number, std::int64_t cols) {
        item.first_col = number * cols;
        item.end_col = bounded(item.first_col + cols, job.side[item.side].cols);
    };
    for (item.side = 0; item.side < 2; ++item.side) {
        const Split& s = job.split[item.side];
        const int count = s.selected * s.row_col_groups;
        if (index < count) {
            item.slot = index / s.row_col_groups;
            item.first_row =
                select_rows(job.side[item.side].rows, job.first_position, job.selected_rows)
                    .row(item.slot);
            item.end_row = item.first_row + 1;
            take_cols(index % s.row_col_groups, s.cols_per_row_group);
            item.log_lanes = s.log_row_lanes;
            return item;
        }
        index -= count;
    }
    item.side = index < job.split[0].row_groups * job.split[0].col_groups ? 0 : 1;
    if (item.side == 1) index -= job.split[0].row_groups * job.split[0].col_groups;
    const int total = job.split[1].row_groups * job.split[1].col_groups;
    if (item.side == 1 && index >= total) {
        item.side = 0;
        item.slot = Item::probes;
        take_cols(index - total, job.split[0].cols_per_probe_group);
        item.end_row = job.side[0].rows;
        item.log_lanes = probe_log_lanes;
        item.along_rows = job.split[0].along_rows;
        return item;
    }
    const Split& s = job.split[item.side];
    item.first_row = (index / s.col_groups) * s.rows_per_group;
    item.end_row = bounded(item.first_row + s.rows_per_group, job.side[item.side].rows);
    take_cols(index % s.col_groups, s.cols_per_group);
    item.log_lanes = s.log_lanes;
    item.along_rows = s.along_rows;
    return item;
}

template <class Block>
class ItemDigest {
  public:
    ORCH_DEVICE ItemDigest(Block& block, const Job& job)
        : block_(block), job_(job), item_(block.shared().item) {}

    ORCH_DEVICE void run(int index, Partial* to) {
        block_.each([](int, State&) {});  // all are done with the item before
        block_.each([&](int thread, State&) {
            if (thread == 0) block_.shared().item = prepared(item_at(job_, index));
        });
        digest(to);
    }

  private:
    ORCH_DEVICE const Operand& operand() const { return job_.side[item_.side]; }

    ORCH_DEVICE Item prepared(Item item) const {
        const Operand& o = job_.side[item.side];
        item.base = base_of(o);
        item.type = o.type;
        item.cols = o.cols;
        item.row_step = o.row_stride * size_of(o.type);
        item.col_step = o.col_stride * size_of(o.type);
        item.tile = item.lanes() * columns_of_chunk(o.type);
        const std::uint64_t together =
            item.base | static_cast<std::uint64_t>(o.rows > 1 ? item.row_step : 0);
        item.aligned = o.col_stride == 1 && together % (size_of(o.type) == 1 ? 8 : 16) == 0;
        item.project = item.side == 1 && job_.probes != 0;
        item.keeps_columns = item.project || item.slot == Item::probes;
        return item;
    }

    ORCH_DEVICE void digest(Partial* to) {
        bool first_of_item = true;
        for (std::int64_t col = item_.first_col; col < item_.end_col; col += item_.tile) {
            bool first_of_tile = true;
            for (std::int64_t row = item_.first_row; row < item_.end_row; row += table_rows) {
                const std::int64_t left = item_.end_row - row;
                const int rows = static_cast<int>(left < table_rows ? left : table_rows);
                fill_table(row, rows, first_of_item);
                add_rows({col, row, rows, first_of_item, first_of_tile});
                first_of_item = false;
                first_of_tile = false;
            }
            if (item_.project) project_tile(col);
            if (item_.slot == Item::probes) store_probes(col);
        }
        if (item_.slot != Item::probes) finish(to);
    }

    ORCH_DEVICE void fill_table(std::int64_t first_row, int rows, bool first_of_item) {
        block_.each([&](int thread, State& state) {
            Shared& shared = block_.shared();
            if (first_of_item) {
                state = State{};
                if (thread < block_warps) shared.projection[thread] = 0;
                if (thread == 0) shared.nan = shared.pos_inf = shared.neg_inf = 0;
            }
            for (int i = thread; i < rows; i += block_threads) {
                const std::int64_t row = first_row + i;
                const std::int64_t position = job_.first_position + row;
                RowEntry& entry = shared.row[i];
                entry.multiplier = position_multiplier(position);
                entry.sign = sign_of(row, position);
            }
        });
    }

    ORCH_DEVICE float sign_of(std::int64_t row, std::int64_t position) const {
        if (item_.slot == Item::probes) return sketch_sign(static_cast<std::uint32_t>(row));
        return item_.slot == Item::total && job_.sign_rows ? position_sign(position) : 1.0F;
    }

    ORCH_DEVICE void add_rows(const Batch& batch) {
        block_.each([&](int thread, State& state) {
            // By way of memory, as the functions of the types stay functions: each has all the
            // registers, and what one needs is not kept for the others.
            State in_memory = state;
            with_decoder(item_.type, [&](auto decoder) {
                add_rows_of<decltype(decoder)>(block_.shared(), batch, thread, in_memory);
            });
            state = in_memory;
        });
    }

    /// Adds the tile's sum of rows, times the probes. A warp has one probe, or a part of one.
    ORCH_DEVICE void project_tile(std::int64_t first_col) {
        const int rows = item_.rows_at_once();
        if (rows > 1) {
            block_.each([&](int thread, State&) {
                float* columns = block_.shared().columns;
                for (int c = thread; c < item_.tile; c += block_threads) {
                    float sums[4] = {};
                    int y = 0;
                    for (; y + 4 <= rows; y += 4) {
                        repeat<4>([&](int i) { sums[i] += columns[(y + i) * item_.tile + c]; });
                    }
                    for (; y < rows; ++y)
                        sums[0] += columns[y * item_.tile + c];
                    columns[c] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
                }
            });
        }
        block_.each([&](int thread, State& state) {
            const int warp = thread / warp_threads;
            const int count = probe_count(operand().rows);
            const int parts = block_warps / count;
            const std::int64_t left = item_.end_col - first_col;
            const int cols = static_cast<int>(left < item_.tile ? left : item_.tile);
            const float* columns = block_.shared().columns;
            const float* probe = reinterpret_cast<const float*>(job_.probes) +
                                 warp % count * probe_stride(operand().cols) + first_col;
            float sums[4] = {};
            // Four at a time: what lies behind the last column is zero on both sides.
            for (int c = 4 * (warp / count * warp_threads + thread % warp_threads); c < cols;
                 c += 4 * warp_threads * parts) {
                std::uint32_t factor[4];
                target::load_16(factor, probe + c);
                repeat<4>(
                    [&](int i) { sums[i] += columns[c + i] * std::bit_cast<float>(factor[i]); });
            }
            state.part = static_cast<double>((sums[0] + sums[1]) + (sums[2] + sums[3]));
        });
        combine_parts();
        block_.each([&](int thread, State& state) {
            if (thread % warp_threads == 0)
                block_.shared().projection[thread / warp_threads] += state.part;
        });
    }

    /// Row n of a weight belongs to probe n mod 16. The block has all rows of its columns.
    ORCH_DEVICE void store_probes(std::int64_t first_col) {
        const std::int64_t stride = probe_stride(operand().cols);
        auto* probes = reinterpret_cast<float*>(job_.probes_out) + first_col;
        block_.each([&](int thread, State&) {
            const float* columns = block_.shared().columns;
            for (int i = thread; i < sketch_size * item_.tile; i += block_threads) {
                const int j = i / item_.tile;
                const int c = i % item_.tile;
                if (first_col + c >= stride) continue;
                float sum = 0;
                for (int y = j; y < item_.rows_at_once(); y += sketch_size)
                    sum += columns[y * item_.tile + c];
                probes[j * stride + c] = sum;
            }
        });
        block_.each([&](int thread, State&) {
            for (int i = thread; i < folded_probes * item_.tile; i += block_threads) {
                const int c = i % item_.tile;
                if (first_col + c >= stride) continue;
                float* folded = probes + i / item_.tile * stride + c;
                *folded += folded[4 * stride] + folded[8 * stride] + folded[12 * stride];
            }
        });
    }

    ORCH_DEVICE void finish(Partial* to) {
        combine_scalars(block_);
        block_.each([&](int thread, State& state) {
            Shared& shared = block_.shared();
            const int warp = thread / warp_threads;
            const int lane = thread % warp_threads;
            const float* bucket = shared.buckets + warp * bucket_pitch;
            float sum = 0;
            const int places = item_.tile / sketch_size * item_.rows_at_once();
            for (int i = lane; i < places; i += warp_threads)
                sum += bucket[i];
            state.part = static_cast<double>(sum);
            if (lane != 0) return;
            shared.combining.warp[warp] = part_of(state);
        });
        combine_parts();
        block_.each([&](int thread, State& state) {
            if (thread % warp_threads == 0)
                block_.shared().combining.sketch[thread / warp_threads] = state.part;
        });
        block_.each([&](int thread, State&) { store_partial(thread, to); });
    }

    ORCH_DEVICE void combine_parts() {
        block_.across_lanes([](State& s) -> double& { return s.part; },
                            [](double a, double b) { return a + b; });
    }

    ORCH_DEVICE void store_partial(int thread, Partial* to) const {
        const Shared& shared = block_.shared();
        if (thread == 0) {
            WarpPart all = shared.combining.warp[0];
            for (int w = 1; w < block_.warps(); ++w)
                add(all, shared.combining.warp[w]);
            to->energy = all.energy;
            to->sum = all.sum;
            to->hash = all.hash;
            to->argmax = all.largest.index;
            to->nan = shared.nan;
            to->pos_inf = shared.pos_inf;
            to->neg_inf = shared.neg_inf;
            to->min = all.min;
            to->max = all.largest.value;
        }
        const int i = thread - warp_threads;
        if (i < 0 || i >= 2 * sketch_size) return;
        if (i < sketch_size) {
            to->sums[i] = static_cast<float>(shared.combining.sketch[i]);
            return;
        }
        const int count = probe_count(operand().rows);
        double sum = 0;
        for (int w = i - sketch_size; item_.project && i - sketch_size < count && w < block_warps;
             w += count) {
            sum += shared.projection[w];
        }
        to->sums[i] = static_cast<float>(sum);
    }

    Block& block_;
    const Job& job_;
    const Item& item_;
};

}  // namespace orch::device
