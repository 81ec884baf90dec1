// One item of work: the digest of some rows and columns of an operand.
//
// A thread owns a few columns (a chunk of 16 bytes) and goes down the rows, so that signs and
// multipliers of its columns stay in registers; those of the rows come from a table in shared
// memory. Sums are f32 over few values, then double; all in a fixed order.
#pragma once
#include <cstdint>

#include "core/digest.hpp"
#include "core/hash.hpp"
#include "device/partial.hpp"
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
            item.first_row = select_rows(job.side[item.side].rows, job.first_position,
                                         job.selected_rows)
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

/// Squares of a chunk that add up to less are all finite, and so are sums of a few chunks.
inline constexpr float plain_energy = 1e35F;

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
        item.base = o.indirect ? *reinterpret_cast<const std::uint64_t*>(o.data) : o.data;
        item.tile = item.lanes() * columns_of_chunk(o.type);
        const std::int64_t size = size_of(o.type);
        const std::uint64_t together =
            item.base | static_cast<std::uint64_t>(o.rows > 1 ? o.row_stride * size : 0);
        item.aligned = o.col_stride == 1 && together % (size == 1 ? 8 : 16) == 0;
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

    /// Some rows of one tile of columns.
    struct Batch {
        std::int64_t first_col;
        std::int64_t first_row;
        int rows;
        bool first_of_item;
        bool first_of_tile;
    };

    /// Of a thread within the tile.
    struct Place {
        int x;  ///< chunk
        int y;  ///< row, of those at once
    };

    ORCH_DEVICE Place place_of(int thread) const {
        if (!item_.along_rows) return {thread & (item_.lanes() - 1), thread >> item_.log_lanes};
        const int rows = item_.rows_at_once();
        return {thread / rows, thread & (rows - 1)};
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
        switch (operand().type) {
            case Type::f32:
            case Type::i32:
                return add_rows_of<DecodeWord>(batch);
            case Type::f64:
                return add_rows_of<DecodeF64>(batch);
            case Type::f16:
                return add_rows_of<DecodeF16>(batch);
            case Type::bf16:
                return add_rows_of<DecodeBf16>(batch);
            case Type::e4m3:
            case Type::e5m2:
            case Type::i8:
                return add_rows_of<DecodeByte>(batch);
        }
    }

    template <class Decoder>
    ORCH_DEVICE void add_rows_of(const Batch& batch) {
        block_.each([&](int thread, State& state) {
            const Place place = place_of(thread);
            Columns<Decoder::Data::columns> columns(
                batch.first_col + place.x * Decoder::Data::columns, item_.end_col);
            if (item_.slot == Item::probes) {
                add_to_probes<Decoder>(batch, place, columns);
            } else {
                add_to_digest<Decoder>(batch, place, columns, state);
            }
            store_columns(batch, place, columns);
        });
    }

    /// The columns of a thread, in registers.
    template <int Width>
    struct Columns {
        static constexpr int width = Width;
        std::int64_t first;
        int valid;
        std::uint32_t multiplier[width];  ///< its top bit is the sign in the sketch
        float sums[width] = {};           ///< of rows with their signs

        ORCH_DEVICE Columns(std::int64_t first_col, std::int64_t end_col) : first(first_col) {
            const std::int64_t left = end_col - first_col;
            valid = left < width ? static_cast<int>(left) : width;
            repeat<width>([&](int k) {
                multiplier[k] = feature_hash(static_cast<std::uint32_t>(first_col + k)) | 1U;
            });
        }
    };

    /// The chunks of a thread, down the rows.
    struct Walk {
        const char* at;
        std::int64_t step;      ///< bytes from one to the next
        std::int64_t col_step;  ///< bytes from one element to the next
        int rows_at_once;
        int rows;  ///< of the batch; 0: the thread has no columns there
    };

    template <int Width>
    ORCH_DEVICE Walk walk_of(const Batch& batch, const Place& place,
                             const Columns<Width>& columns) const {
        const std::int64_t col_step = operand().col_stride * size_of(operand().type);
        const std::int64_t row_step = operand().row_stride * size_of(operand().type);
        const std::int64_t start =
            (batch.first_row + place.y) * row_step + columns.first * col_step;
        const int rows_at_once = item_.rows_at_once();
        return {reinterpret_cast<const char*>(item_.base + static_cast<std::uint64_t>(start)),
                row_step * rows_at_once, col_step, rows_at_once,
                columns.valid > 0 && item_.base != 0 ? batch.rows : 0};
    }

    template <class Decoder>
    ORCH_DEVICE void add_to_digest(const Batch& batch, const Place& place,
                                   Columns<Decoder::Data::columns>& columns, State& state) {
        using Data = typename Decoder::Data;
        constexpr int in_flight = Data::bytes > 16 ? 1 : 2;
        Walk walk = walk_of(batch, place, columns);
        const bool whole = columns.valid == Data::columns;
        const bool vectors = item_.aligned && whole;
        // What is not aligned is loaded element by element: so many loads that one row at a time
        // keeps the memory busy.
        const int together = vectors ? in_flight : 1;
        Best best;
        for (int first = place.y; first < walk.rows; first += together * walk.rows_at_once) {
            Data data[in_flight];
            const auto is_row = [&](int u) {
                return u < together && first + u * walk.rows_at_once < walk.rows;
            };
            if (vectors) {
                repeat<in_flight>([&](int u) {
                    if (is_row(u)) data[u].load_aligned(walk.at + u * walk.step);
                });
            } else {
                data[0].load_elements(walk.at, walk.col_step, columns.valid);
            }
            float energy = 0;
            float sum = 0;
            std::uint32_t odd = 0;
            repeat<in_flight>([&](int u) {
                const int r = first + u * walk.rows_at_once;
                if (!is_row(u)) return;
                if (!whole || !add_plain<Decoder>(data[u], r, columns, state, best, energy, sum))
                    odd |= 1U << u;
            });
            state.energy += static_cast<double>(energy);
            state.sum += static_cast<double>(sum);
            for (int u = 0; odd != 0; ++u, odd >>= 1) {
                if ((odd & 1U) == 0) continue;
                add_odd<Decoder>(walk.at + u * walk.step, walk.col_step,
                                 first + u * walk.rows_at_once, columns, state, best);
            }
            walk.at += together * walk.step;
        }
        if (best.place < 0) return;
        const std::int64_t row = batch.first_row + best.place / Data::columns;
        const std::int64_t col = columns.first + best.place % Data::columns;
        state.largest = larger_of(state.largest, {best.value, 0, row * operand().cols + col});
    }

    /// The largest of a batch: rows and columns come in order, so the first one stays.
    struct Best {
        float value = -__builtin_inff();
        int place = -1;  ///< row of the batch * columns of a chunk + column

        ORCH_DEVICE void offer(float other, int at) {
            if (!(other > value)) return;
            value = other;
            place = at;
        }
    };

    /// A whole chunk of finite values of usual size; false, and nothing done, if it is not.
    template <class Decoder>
    ORCH_DEVICE bool add_plain(const typename Decoder::Data& data, int r,
                               Columns<Decoder::Data::columns>& columns, State& state, Best& best,
                               float& energy, float& sum) {
        constexpr int width = Decoder::Data::columns;
        float value[width];
        float squares[2] = {};
        float sums[2] = {};
        repeat<width>([&](int k) {
            value[k] = Decoder::value(operand().type, Decoder::pattern(data, k));
            squares[k % 2] += value[k] * value[k];
            sums[k % 2] += value[k];
        });
        if (!(squares[0] + squares[1] < plain_energy)) return false;
        energy += squares[0] + squares[1];
        sum += sums[0] + sums[1];
        const RowEntry& row = block_.shared().row[r];
        std::uint64_t hash = 0;
        float low = value[0];
        float high = value[0];
        repeat<width>([&](int k) {
            hash += static_cast<std::uint64_t>(Decoder::pattern(data, k)) * columns.multiplier[k];
            low = target::smaller(low, value[k]);
            high = target::larger(high, value[k]);
            columns.sums[k] += row.sign * value[k];
        });
        state.hash += hash * row.multiplier;
        state.min = target::smaller(state.min, low);
        if (high > best.value) {  // seldom
            int index = 0;
            repeat<width>([&](int k) {
                index = value[width - 1 - k] == high ? width - 1 - k : index;
            });
            best.offer(high, r * width + index);
        }
        return true;
    }

    /// Any chunk: of fewer columns, with values that are not finite, or with huge ones. Rare, so it
    /// is small instead of fast: it reads the chunk again, element by element.
    template <class Decoder>
    ORCH_DEVICE void add_odd(const char* from, std::int64_t col_step, int r,
                             Columns<Decoder::Data::columns>& columns, State& state, Best& best) {
        constexpr int width = Decoder::Data::columns;
        constexpr std::uint32_t infinity_bits = 0x7f800000U;
        Shared& shared = block_.shared();
        const RowEntry& row = shared.row[r];
        std::uint64_t hash = 0;
        for (int k = 0; k < columns.valid; ++k, from += col_step) {
            typename Decoder::Data::Element element;
            element.load(from);
            const std::uint32_t pattern = Decoder::pattern(element, 0);
            hash += static_cast<std::uint64_t>(pattern) *
                    (feature_hash(static_cast<std::uint32_t>(columns.first + k)) | 1U);
            const float value = Decoder::value(operand().type, pattern);
            const auto bits = std::bit_cast<std::uint32_t>(value);
            if ((bits & infinity_bits) == infinity_bits) {
                std::uint64_t* counter = (bits & 0x007fffffU) != 0 ? &shared.nan
                                         : (bits >> 31) != 0       ? &shared.neg_inf
                                                                   : &shared.pos_inf;
                target::fetch_add(counter, std::uint64_t{1});
                continue;
            }
            const float square = value * value;
            state.energy += square < plain_energy
                                ? static_cast<double>(square)
                                : static_cast<double>(value) * static_cast<double>(value);
            state.sum += static_cast<double>(value);
            state.min = target::smaller(state.min, value);
            best.offer(value, r * width + k);
            repeat<width>([&](int i) { columns.sums[i] += i == k ? row.sign * value : 0; });
        }
        state.hash += hash * row.multiplier;
    }

    /// Row n of a weight belongs to probe n mod 16: so does all that a thread sees of it.
    template <class Decoder>
    ORCH_DEVICE void add_to_probes(const Batch& batch, const Place& place,
                                   Columns<Decoder::Data::columns>& columns) {
        using Data = typename Decoder::Data;
        Walk walk = walk_of(batch, place, columns);
        const bool vectors = item_.aligned && columns.valid == Data::columns;
        for (int r = place.y; r < walk.rows; r += walk.rows_at_once) {
            Data data;
            if (vectors) {
                data.load_aligned(walk.at);
            } else {
                data.load_elements(walk.at, walk.col_step, columns.valid);
            }
            walk.at += walk.step;
            const float sign = block_.shared().row[r].sign;
            repeat<Data::columns>([&](int k) {
                columns.sums[k] +=
                    sign * Decoder::value(operand().type, Decoder::pattern(data, k));
            });
        }
    }

    template <int Width>
    ORCH_DEVICE void store_columns(const Batch& batch, const Place& place,
                                   const Columns<Width>& columns) {
        Shared& shared = block_.shared();
        float* own = shared.columns + place.y * item_.tile + place.x * Width;
        repeat<Width>([&](int k) {
            const int col = place.x * Width + k;
            float& bucket = shared.buckets[col % sketch_size * bucket_pitch + col / sketch_size +
                                           place.y * (item_.tile / sketch_size)];
            const float signed_sum =
                (columns.multiplier[k] >> 31) != 0 ? -columns.sums[k] : columns.sums[k];
            bucket = batch.first_of_item ? signed_sum : bucket + signed_sum;
            if (item_.keeps_columns)
                own[k] = batch.first_of_tile ? columns.sums[k] : own[k] + columns.sums[k];
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
                        repeat<4>([&](int i) {
                            sums[i] += columns[(y + i) * item_.tile + c];
                        });
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
                repeat<4>([&](int i) {
                    sums[i] += columns[c + i] * std::bit_cast<float>(factor[i]);
                });
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
