// The inner loops: rows of one tile of columns, added up by each thread of a block.
//
// A thread owns a few columns (a chunk of 16 bytes) and goes down the rows, so that signs and
// multipliers of its columns stay in registers; those of the rows come from a table in shared
// memory. Sums are f32 over few values, then double; all in a fixed order.
#pragma once
#include <cstdint>

#include "core/hash.hpp"
#include "device/decoders.hpp"
#include "device/partial.hpp"

namespace orch::device {

/// Squares of a chunk that add up to less are all finite, and so are sums of a few chunks.
inline constexpr float plain_energy = 1e35F;

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

ORCH_DEVICE Place place_of(const Item& item, int thread) {
    if (!item.along_rows) return {thread & (item.lanes() - 1), thread >> item.log_lanes};
    const int rows = item.rows_at_once();
    return {thread / rows, thread & (rows - 1)};
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
ORCH_DEVICE Walk walk_of(const Item& item, const Batch& batch, const Place& place,
                         const Columns<Width>& columns) {
    const std::int64_t start =
        (batch.first_row + place.y) * item.row_step + columns.first * item.col_step;
    const int rows_at_once = item.rows_at_once();
    return {reinterpret_cast<const char*>(item.base + static_cast<std::uint64_t>(start)),
            item.row_step * rows_at_once, item.col_step, rows_at_once,
            columns.valid > 0 && item.base != 0 ? batch.rows : 0};
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
ORCH_DEVICE bool add_plain(const Shared& shared, const typename Decoder::Data& data, int r,
                           Columns<Decoder::Data::columns>& columns, State& state, Best& best,
                           float& energy, float& sum) {
    constexpr int width = Decoder::Data::columns;
    float value[width];
    float squares[2] = {};
    float sums[2] = {};
    repeat<width>([&](int k) {
        value[k] = Decoder::value(shared.item.type, Decoder::pattern(data, k));
        squares[k % 2] += value[k] * value[k];
        sums[k % 2] += value[k];
    });
    if (!(squares[0] + squares[1] < plain_energy)) return false;
    energy += squares[0] + squares[1];
    sum += sums[0] + sums[1];
    const RowEntry& row = shared.row[r];
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
        repeat<width>([&](int k) { index = value[width - 1 - k] == high ? width - 1 - k : index; });
        best.offer(high, r * width + index);
    }
    return true;
}

/// Any chunk: of fewer columns, with values that are not finite, or with huge ones. Rare, so it
/// is small instead of fast: it reads the chunk again, element by element.
template <class Decoder>
ORCH_DEVICE void add_odd(Shared& shared, const char* from, std::int64_t col_step, int r,
                         Columns<Decoder::Data::columns>& columns, State& state, Best& best) {
    constexpr int width = Decoder::Data::columns;
    constexpr std::uint32_t infinity_bits = 0x7f800000U;
    const RowEntry& row = shared.row[r];
    std::uint64_t hash = 0;
    for (int k = 0; k < columns.valid; ++k, from += col_step) {
        typename Decoder::Data::Element element;
        element.load(from);
        const std::uint32_t pattern = Decoder::pattern(element, 0);
        hash += static_cast<std::uint64_t>(pattern) *
                (feature_hash(static_cast<std::uint32_t>(columns.first + k)) | 1U);
        const float value = Decoder::value(shared.item.type, pattern);
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

template <class Decoder>
ORCH_DEVICE void add_to_digest(Shared& shared, const Batch& batch, const Place& place,
                               Columns<Decoder::Data::columns>& columns, State& state) {
    using Data = typename Decoder::Data;
    constexpr int in_flight = Data::bytes > 16 ? 1 : 2;
    const Item& item = shared.item;
    Walk walk = walk_of(item, batch, place, columns);
    const bool whole = columns.valid == Data::columns;
    const bool vectors = item.aligned && whole;
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
            if (!whole ||
                !add_plain<Decoder>(shared, data[u], r, columns, state, best, energy, sum))
                odd |= 1U << u;
        });
        state.energy += static_cast<double>(energy);
        state.sum += static_cast<double>(sum);
        for (int u = 0; odd != 0; ++u, odd >>= 1) {
            if ((odd & 1U) == 0) continue;
            add_odd<Decoder>(shared, walk.at + u * walk.step, walk.col_step,
                             first + u * walk.rows_at_once, columns, state, best);
        }
        walk.at += together * walk.step;
    }
    if (best.place < 0) return;
    const std::int64_t row = batch.first_row + best.place / Data::columns;
    const std::int64_t col = columns.first + best.place % Data::columns;
    state.largest = larger_of(state.largest, {best.value, 0, row * item.cols + col});
}

/// Row n of a weight belongs to probe n mod 16: so does all that a thread sees of it.
template <class Decoder>
ORCH_DEVICE void add_to_probes(const Shared& shared, const Batch& batch, const Place& place,
                               Columns<Decoder::Data::columns>& columns) {
    using Data = typename Decoder::Data;
    const Item& item = shared.item;
    Walk walk = walk_of(item, batch, place, columns);
    const bool vectors = item.aligned && columns.valid == Data::columns;
    for (int r = place.y; r < walk.rows; r += walk.rows_at_once) {
        Data data;
        if (vectors) {
            data.load_aligned(walk.at);
        } else {
            data.load_elements(walk.at, walk.col_step, columns.valid);
        }
        walk.at += walk.step;
        const float sign = shared.row[r].sign;
        repeat<Data::columns>([&](int k) {
            columns.sums[k] += sign * Decoder::value(item.type, Decoder::pattern(data, k));
        });
    }
}

template <int Width>
ORCH_DEVICE void store_columns(Shared& shared, const Batch& batch, const Place& place,
                               const Columns<Width>& columns) {
    const Item& item = shared.item;
    float* own = shared.columns + place.y * item.tile + place.x * Width;
    repeat<Width>([&](int k) {
        const int col = place.x * Width + k;
        float& bucket = shared.buckets[col % sketch_size * bucket_pitch + col / sketch_size +
                                       place.y * (item.tile / sketch_size)];
        const float signed_sum =
            (columns.multiplier[k] >> 31) != 0 ? -columns.sums[k] : columns.sums[k];
        bucket = batch.first_of_item ? signed_sum : bucket + signed_sum;
        if (item.keeps_columns)
            own[k] = batch.first_of_tile ? columns.sums[k] : own[k] + columns.sums[k];
    });
}

/// By one thread, for all its columns.
template <class Decoder>
ORCH_NOINLINE void add_rows_of(Shared& memory, const Batch& batch, int thread, State& result) {
    Shared& shared = target::in_shared(memory);
    const Item& item = shared.item;
    State state = result;
    const Place place = place_of(item, thread);
    Columns<Decoder::Data::columns> columns(batch.first_col + place.x * Decoder::Data::columns,
                                            item.end_col);
    if (item.slot == Item::probes) {
        add_to_probes<Decoder>(shared, batch, place, columns);
    } else {
        add_to_digest<Decoder>(shared, batch, place, columns, state);
    }
    store_columns(shared, batch, place, columns);
    result = state;
}

}  // namespace orch::device
