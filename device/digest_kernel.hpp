// The kernel: each block digests its items; the last block to finish combines what all have left,
// in a fixed order, and writes a slot of the ring.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/hash.hpp"
#include "device/digest_item.hpp"
#include "device/partial.hpp"
#include "device/ring_writer.hpp"
#include "device/selection.hpp"

namespace orch::device {

template <class Block>
class DigestKernel {
  public:
    ORCH_DEVICE DigestKernel(Block& block, const Job& job)
        : block_(block),
          job_(job),
          alone_(block.count() == 1 && job.items <= one_block_items),
          partials_(alone_ ? block.shared().partial : scratch()->partials()) {}

    ORCH_DEVICE void run() {
        for (int i = block_.index(); i < job_.items; i += block_.count())
            ItemDigest<Block>(block_, job_).run(i, partials_ + i);
        if (!alone_ && !is_last_block()) return;
        begin_record();
        for (int side = 0; side < 2; ++side)
            combine_total(side);
        combine_rows();
        finish_results();
        write_record();
    }

  private:
    ORCH_DEVICE LaunchScratch* scratch() const {
        return reinterpret_cast<LaunchScratch*>(job_.scratch);
    }

    /// One of the places that core/weights samples.
    ORCH_DEVICE std::uint64_t sampled_bits(std::uint32_t i) const {
        const Operand& o = job_.weight;
        const std::uint64_t row = mix32(2 * i) % static_cast<std::uint64_t>(o.rows);
        const std::uint64_t col = mix32(2 * i + 1) % static_cast<std::uint64_t>(o.cols);
        const std::int64_t at = static_cast<std::int64_t>(row) * o.row_stride +
                                static_cast<std::int64_t>(col) * o.col_stride;
        const std::int64_t size = size_of(o.type);
        const std::uint64_t base = base_of(o);
        if (base == 0) return 0;
        const std::uint64_t from = base + static_cast<std::uint64_t>(at * size);
        switch (size) {
            case 8:
                return *reinterpret_cast<const std::uint64_t*>(from);
            case 4:
                return *reinterpret_cast<const std::uint32_t*>(from);
            case 2:
                return *reinterpret_cast<const std::uint16_t*>(from);
            default:
                return *reinterpret_cast<const std::uint8_t*>(from);
        }
    }

    /// The hash of the sample is a sum over its places: each lane of a warp has its own.
    ORCH_DEVICE std::uint64_t sample_part(std::uint32_t lane) const {
        constexpr std::uint64_t of_place = 0x9e3779b97f4a7c15ULL;
        static_assert(sample_size == warp_threads);
        if (!has_elements(job_.weight)) return 0;
        return mix64(sampled_bits(lane) + (lane + 1) * of_place);
    }

    ORCH_DEVICE bool is_last_block() {
        block_.each([](int, State&) { target::fence(); });
        block_.each([&](int thread, State&) {
            if (thread != 0) return;
            const auto others = static_cast<std::uint32_t>(block_.count() - 1);
            block_.shared().is_last = target::fetch_add(&scratch()->finished, 1U) == others;
            target::fence();
        });
        return block_.shared().is_last != 0;
    }

    /// Number of the first partial of a side's selected rows, or of its total.
    ORCH_DEVICE int first_partial(int side, bool total) const {
        const Split(&s)[2] = job_.split;
        const int rows[2] = {s[0].selected * s[0].row_col_groups,
                             s[1].selected * s[1].row_col_groups};
        if (!total) return side == 0 ? 0 : rows[0];
        return rows[0] + rows[1] + (side == 0 ? 0 : s[0].row_groups * s[0].col_groups);
    }

    ORCH_DEVICE static void load_scalars(State& state, const Partial& from) {
        const WarpPart part = {
            target::load_fresh(&from.energy), target::load_fresh(&from.sum),
            target::load_fresh(&from.hash),
            Largest{target::load_fresh(&from.max), 0, target::load_fresh(&from.argmax)},
            target::load_fresh(&from.min)};
        WarpPart all = part_of(state);
        add(all, part);
        state.energy = all.energy;
        state.sum = all.sum;
        state.hash = all.hash;
        state.largest = all.largest;
        state.min = all.min;
    }

    ORCH_DEVICE void begin_record() {
        block_.each([&](int thread, State&) {
            Shared& shared = block_.shared();
            if (thread != 0) return;
            shared.nan = shared.pos_inf = shared.neg_inf = 0;
            if (!alone_) scratch()->finished = 0;
        });
    }

    ORCH_DEVICE void combine_total(int side) {
        const Partial* from = partials_ + first_partial(side, true);
        const int count = job_.split[side].row_groups * job_.split[side].col_groups;
        block_.each([&](int thread, State& state) {
            Shared& shared = block_.shared();
            state = State{};
            const int warp = thread / warp_threads;
            const int lane = thread % warp_threads;
            // The last two warps wait for memory that no other needs.
            if (side == 0 && thread == block_threads - 1) take_slot(job_, shared);
            if (side == 0 && warp == block_warps - 2)
                state.sample = sample_part(static_cast<std::uint32_t>(lane));
            for (int i = thread; i < count; i += block_threads) {
                load_scalars(state, from[i]);
                add_count(shared.nan, target::load_fresh(&from[i].nan));
                add_count(shared.pos_inf, target::load_fresh(&from[i].pos_inf));
                add_count(shared.neg_inf, target::load_fresh(&from[i].neg_inf));
            }
            double sum = 0;
            for (int i = warp; i < count; i += block_warps)
                sum += static_cast<double>(target::load_fresh(&from[i].sums[lane]));
            shared.combining.sums[warp][lane] = sum;
        });
        combine_scalars(block_);
        if (side == 0) {
            block_.across_lanes([](State& s) -> std::uint64_t& { return s.sample; },
                                [](std::uint64_t a, std::uint64_t b) { return a + b; });
        }
        block_.each([&](int thread, State& state) {
            if (thread % warp_threads != 0) return;
            const int warp = thread / warp_threads;
            block_.shared().combining.warp[warp] = part_of(state);
            if (side == 0 && warp == block_warps - 2) {
                const bool zero = state.sample == 0 && has_elements(job_.weight);
                block_.shared().sample = zero ? 1 : state.sample;  // 0: there is no weight
            }
        });
        block_.each([&](int thread, State&) { store_total(thread, side); });
    }

    ORCH_DEVICE static void add_count(std::uint64_t& to, std::uint64_t count) {
        if (count != 0) target::fetch_add(&to, count);
    }

    ORCH_DEVICE void store_total(int thread, int side) {
        Shared& shared = block_.shared();
        SideResult& result = shared.result[side];
        if (thread == 0) {
            WarpPart all = shared.combining.warp[0];
            for (int w = 1; w < block_.warps(); ++w)
                add(all, shared.combining.warp[w]);
            const bool any = all.largest.value > nothing_yet.value;
            result.energy = all.energy;
            result.sum = all.sum;
            result.hash = all.hash;
            result.argmax = any ? all.largest.index : -1;
            result.min = any ? all.min : 0;
            result.max = any ? all.largest.value : 0;
            result.absmax = any ? target::larger(all.largest.value, -all.min) : 0;
            result.nan = shared.nan;
            result.pos_inf = shared.pos_inf;
            result.neg_inf = shared.neg_inf;
            result.selected = job_.split[side].selected;
            shared.nan = shared.pos_inf = shared.neg_inf = 0;
        }
        const int i = thread - warp_threads;
        if (i < 0 || i >= sketch_size) return;
        const auto sum_of = [&](int which) {
            double sum = 0;
            for (int w = 0; w < block_.warps(); ++w)
                sum += shared.combining.sums[w][which];
            return sum;
        };
        result.mixed[i] = static_cast<float>(sum_of(i));
        result.projection[i] = unfolded(i, probe_count(job_.side[side].rows), sum_of);
    }

    /// The first four probes of sixteen are sums of four: core/digest undoes it in the same way.
    template <class SumOf>
    ORCH_DEVICE static float unfolded(int i, int probes, SumOf sum_of) {
        double sum = sum_of(sketch_size + i);
        if (probes == sketch_size && i < folded_probes) {
            sum -= sum_of(sketch_size + i + 4) + sum_of(sketch_size + i + 8) +
                   sum_of(sketch_size + i + 12);
        }
        return static_cast<float>(sum);
    }

    /// A warp for each selected row.
    ORCH_DEVICE void combine_rows() {
        const auto rows_of = [&](int side) {
            return job_.split[side].row_col_groups > 0 ? job_.split[side].selected : 0;
        };
        const int count = rows_of(0) + rows_of(1);
        for (int first = 0; first < count; first += block_warps) {
            const auto side_of = [&](int number) { return number < rows_of(0) ? 0 : 1; };
            block_.each([&](int thread, State& state) {
                state = State{};
                const int number = first + thread / warp_threads;
                if (number >= count) return;
                const int side = side_of(number);
                load_row(thread, side, number - (side == 0 ? 0 : rows_of(0)), state);
            });
            combine_scalars(block_);
            block_.each([&](int thread, State& state) {
                const int number = first + thread / warp_threads;
                if (number >= count) return;
                const int side = side_of(number);
                store_row(thread, side, number - (side == 0 ? 0 : rows_of(0)), state);
            });
        }
    }

    ORCH_DEVICE const Partial* partials_of_row(int side, int slot) const {
        return partials_ + first_partial(side, false) + slot * job_.split[side].row_col_groups;
    }

    ORCH_DEVICE void load_row(int thread, int side, int slot, State& state) {
        const Partial* from = partials_of_row(side, slot);
        const int groups = job_.split[side].row_col_groups;
        const int lane = thread % warp_threads;
        if (lane < groups) load_scalars(state, from[lane]);
        double sum = 0;
        for (int i = 0; i < groups; ++i)
            sum += static_cast<double>(target::load_fresh(&from[i].sums[lane]));
        block_.shared().combining.sums[thread / warp_threads][lane] = sum;
    }

    ORCH_DEVICE void store_row(int thread, int side, int slot, const State& state) {
        const Operand& o = job_.side[side];
        Shared& shared = block_.shared();
        const int lane = thread % warp_threads;
        RowResult& row = shared.result[side].row[slot];
        if (lane < sketch_size) {
            const double* sums = shared.combining.sums[thread / warp_threads];
            row.sketch[lane] = static_cast<float>(sums[lane]);
            row.projection[lane] =
                unfolded(lane, probe_count(o.rows), [&](int which) { return sums[which]; });
            return;
        }
        if (lane != sketch_size) return;
        row.row = select_rows(o.rows, job_.first_position, job_.selected_rows).row(slot);
        row.position = job_.first_position + row.row;
        row.energy = state.energy;
        row.sum = state.sum;
        const bool any = state.largest.value > nothing_yet.value;
        row.argmax = any ? state.largest.index - row.row * o.cols : -1;
        row.max = any ? state.largest.value : 0;
        row.absmax = any ? target::larger(state.largest.value, -state.min) : 0;
        row.nan = row.pos_inf = row.neg_inf = 0;
        const Partial* from = partials_of_row(side, slot);
        for (int i = 0; i < job_.split[side].row_col_groups; ++i) {
            row.nan += static_cast<std::uint32_t>(target::load_fresh(&from[i].nan));
            row.pos_inf += static_cast<std::uint32_t>(target::load_fresh(&from[i].pos_inf));
            row.neg_inf += static_cast<std::uint32_t>(target::load_fresh(&from[i].neg_inf));
        }
    }

    ORCH_DEVICE void finish_results() {
        block_.each([&](int thread, State&) {
            if (thread >= 2) return;
            SideResult& result = block_.shared().result[thread];
            const Operand& o = job_.side[thread];
            if (o.data != 0 && base_of(o) == 0) result.selected = 0;
            if (o.rows == 1 && result.selected == 1) result.row[0] = only_row(result);
            bool overflow = false;
            for (float sum : result.mixed)
                overflow = overflow || !(sum - sum == 0);
            if (!overflow) return;
            for (float& sum : result.mixed)
                sum = __builtin_nanf("");
        });
    }

    /// The row of an operand of one row is the total, but for its sign.
    ORCH_DEVICE RowResult only_row(const SideResult& all) const {
        RowResult row;
        row.row = 0;
        row.position = job_.first_position;
        row.energy = all.energy;
        row.sum = all.sum;
        row.argmax = all.argmax;
        row.nan = static_cast<std::uint32_t>(all.nan);
        row.pos_inf = static_cast<std::uint32_t>(all.pos_inf);
        row.neg_inf = static_cast<std::uint32_t>(all.neg_inf);
        row.absmax = all.absmax;
        row.max = all.max;
        const float sign = job_.sign_rows ? position_sign(job_.first_position) : 1.0F;
        for (int j = 0; j < sketch_size; ++j) {
            row.sketch[j] = sign * all.mixed[j];
            row.projection[j] = sign * all.projection[j];
        }
        return row;
    }

    ORCH_DEVICE void write_record() {
        auto* slot = reinterpret_cast<Slot*>(block_.shared().slot);
        if (slot == nullptr) return;
        block_.each([&](int thread, State&) {
            write_payload(job_, block_.shared(), thread, slot);
            target::fence_system();
        });
        block_.each([&](int thread, State&) {
            if (thread == 0) target::store_now(&slot->sequence, block_.shared().ticket + 1);
        });
    }

    Block& block_;
    const Job& job_;
    const bool alone_;
    Partial* const partials_;
};

}  // namespace orch::device
