// Statistics of the logged values: moments of what is sane, counts of what is not.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "analyzer/read/records.hpp"
#include "analyzer/read/trace.hpp"

namespace orch {

/// Values of this size are uninitialised memory, not activations.
inline constexpr double default_garbage = 1e15;
/// Bits of integers and pointers, read as f32, are subnormal; of real activations hardly one is.
/// From this share on, a record's subnormal values are garbage.
inline constexpr double subnormal_flood = 0.25;

/// Mean and deviation are over sane values: finite and no garbage. So are min and max.
struct Moments {
    std::uint64_t records = 0;
    std::uint64_t values = 0;
    std::uint64_t nan = 0;
    std::uint64_t infinite = 0;
    std::uint64_t garbage = 0;
    std::uint64_t sane = 0;
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
    double mean = 0;
    double squares = 0;  ///< sum of the squared distances from the mean
    double worst = 0;    ///< the garbage value of the largest size

    void merge(const Moments& other);
    double deviation() const;
    double garbage_rate() const {
        return values == 0 ? 0 : static_cast<double>(garbage) / static_cast<double>(values);
    }
};

/// Sane values by sign and power of ten: 10^-12 and below, …, 10^14.
struct Histogram {
    static constexpr int lowest = -12;
    static constexpr int highest = 14;
    static constexpr int decades = highest - lowest + 1;
    std::uint64_t zeros = 0;
    std::array<std::uint64_t, decades> negative{};
    std::array<std::uint64_t, decades> positive{};

    void add(double value);
    void merge(const Histogram& other);
};

struct CheckpointStats {
    std::string team;
    std::string checkpoint;
    Moments all;
    Histogram histogram;
    std::vector<std::pair<std::int64_t, Moments>> by_position;  ///< sorted, each position once
};

struct GarbageValue {
    std::uint64_t line = 0;
    std::string checkpoint;
    std::int64_t token_idx = 0;
    std::size_t index = 0;
    double value = 0;
};

struct FileStats {
    std::string path;
    ReadCounts counts;
    Moments all;
    std::vector<CheckpointStats> checkpoints;  ///< in the order of their first record
    std::vector<GarbageValue> garbage;         ///< the first `list_garbage`
};

struct StatsOptions {
    double garbage = default_garbage;
    std::vector<std::string> globs;  ///< checkpoints; empty: all
    std::size_t list_garbage = 0;
    unsigned threads = 0;
};

FileStats value_stats(const Trace& trace, const StatsOptions& options);

/// Which of one record's values are to be believed.
struct Sanity {
    double least = 0;  ///< smaller ones, but for 0, are garbage
    double limit = default_garbage;
    static Sanity of(std::span<const double> values, double limit);
    /// Finite and no garbage.
    bool is_sane(double value) const {
        const double size = std::abs(value);
        return size < limit && (size >= least || size == 0);
    }
    bool is_garbage(double value) const { return std::isfinite(value) && !is_sane(value); }
};

}  // namespace orch
