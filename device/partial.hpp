// What blocks leave for the last one, and what threads keep between phases.
#pragma once
#include <cstdint>

#include "device/block.hpp"
#include "device/decoders.hpp"
#include "device/protocol.hpp"

namespace orch::device {

/// Digest of a piece of an operand.
struct Partial {
    double energy;
    double sum;
    std::uint64_t hash;
    std::int64_t argmax;  ///< flat index; meaningless where max is not finite
    std::uint64_t nan;
    std::uint64_t pos_inf;
    std::uint64_t neg_inf;
    float min;
    float max;
    float sums[2 * sketch_size];  ///< sketch, then projection
};
static_assert(sizeof(Partial) == 192);

struct alignas(64) LaunchScratch {
    std::uint32_t finished;  ///< blocks; zero between launches

    ORCH_DEVICE Partial* partials() { return reinterpret_cast<Partial*>(this + 1); }
};

/// More pieces than this are never done by one block alone.
inline constexpr int one_block_items = 6;

struct Largest {
    float value;
    std::int32_t unused;
    std::int64_t index;
};
inline constexpr Largest nothing_yet = {-__builtin_inff(), 0, 0};

/// The lowest index of the largest value.
ORCH_DEVICE Largest larger_of(const Largest& a, const Largest& b) {
    return a.value > b.value || (a.value == b.value && a.index < b.index) ? a : b;
}

/// Of one thread.
struct State {
    double energy = 0;
    double sum = 0;
    std::uint64_t hash = 0;
    Largest largest = nothing_yet;
    float min = __builtin_inff();
    double part = 0;           ///< of one bucket of the sketch, or of one probe's sum
    std::uint64_t sample = 0;  ///< part of the weight's sample
};

struct RowEntry {
    std::uint64_t multiplier;  ///< of the row, in the hash
    float sign;                ///< in the mixed sketch, or in the probes of a weight
};

/// Floats of one bucket of the sketch, and one to keep the banks of shared memory apart.
inline constexpr int bucket_pitch = block_threads * 8 / sketch_size + 1;
inline constexpr int table_rows = 512;

/// Eight threads side by side along a row, so that a block has all rows of few columns.
inline constexpr int probe_log_lanes = 3;

struct WarpPart {
    double energy;
    double sum;
    std::uint64_t hash;
    Largest largest;
    float min;
};

ORCH_DEVICE void add(WarpPart& to, const WarpPart& from) {
    to.energy += from.energy;
    to.sum += from.sum;
    to.hash += from.hash;
    to.largest = larger_of(to.largest, from.largest);
    to.min = target::smaller(to.min, from.min);
}

/// The scalars of all threads of a warp, in each of them.
template <class Block>
ORCH_DEVICE void combine_scalars(Block& block) {
    const auto sum = [](auto a, auto b) { return a + b; };
    block.across_lanes([](State& s) -> double& { return s.energy; }, sum);
    block.across_lanes([](State& s) -> double& { return s.sum; }, sum);
    block.across_lanes([](State& s) -> std::uint64_t& { return s.hash; }, sum);
    block.across_lanes([](State& s) -> Largest& { return s.largest; },
                       [](const Largest& a, const Largest& b) { return larger_of(a, b); });
    block.across_lanes([](State& s) -> float& { return s.min; },
                       [](float a, float b) { return target::smaller(a, b); });
}

ORCH_DEVICE WarpPart part_of(const State& state) {
    return {state.energy, state.sum, state.hash, state.largest, state.min};
}

/// What warps tell each other.
struct Combining {
    WarpPart warp[block_warps];
    double sketch[block_warps];
    double sums[block_warps][2 * sketch_size];
};

/// What is the same for all threads of a block while it works on an item. It is
/// kept in shared memory: as registers it would cost a third of those that the rows need.
struct Item {
    static constexpr int total = -1;
    static constexpr int probes = -2;
    int side;
    int slot;  ///< of a selected row alone; or one of these
    std::int64_t first_row;
    std::int64_t end_row;
    std::int64_t first_col;
    std::int64_t end_col;
    std::uint64_t base;  ///< of the operand, as all that follows
    std::int64_t cols;
    std::int64_t row_step;  ///< bytes
    std::int64_t col_step;
    Type type;
    int log_lanes;
    int tile;  ///< columns at once
    bool along_rows;
    bool aligned;        ///< chunks are, in all rows
    bool project;        ///< onto the probes
    bool keeps_columns;  ///< sums of columns, until the tile is done

    ORCH_DEVICE int lanes() const { return 1 << log_lanes; }
    ORCH_DEVICE int rows_at_once() const { return block_threads >> log_lanes; }
};

struct Shared {
    Item item;
    float buckets[sketch_size * bucket_pitch];  ///< of the sketch; each thread has its own places
    union {
        float columns[block_threads * 8];  ///< sums over rows, by column
        SideResult result[2];
    };
    union {
        RowEntry row[table_rows];
        Combining combining;
    };
    double projection[block_warps];
    std::uint64_t nan;
    std::uint64_t pos_inf;
    std::uint64_t neg_inf;
    std::uint64_t run;
    std::uint64_t sample;
    std::uint64_t slot;  ///< address; 0: the ring is full
    std::uint32_t ticket;
    std::uint32_t is_last;
    Partial partial[one_block_items];
};
static_assert(sizeof(Shared) <= 48 << 10);

}  // namespace orch::device
