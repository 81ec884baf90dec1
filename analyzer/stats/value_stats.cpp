#include "analyzer/stats/value_stats.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "analyzer/util/parallel.hpp"
#include "core/selector.hpp"

namespace orch {
namespace {

constexpr double smallest_normal_f32 = 0x1p-126;
constexpr std::size_t chunk_size = 4096;
constexpr std::size_t wave_size = 64 * chunk_size;
/// All products without a name are one checkpoint here: each has a name of its own, its number.
constexpr StringId nameless = std::numeric_limits<StringId>::max();

bool is_nameless_product(std::string_view name) {
    return name.starts_with("gemm.") && name.size() > 5 &&
           name.find_first_not_of("0123456789", 5) == std::string_view::npos;
}

bool is_subnormal(double value) {
    return value != 0 && std::abs(value) < smallest_normal_f32;
}

/// The power of ten at or below |value|, of a finite value that is not 0.
int decade_of(double value) {
    // The power of two gives the power of ten, or the one below it.
    static const auto tens = [] {
        std::array<double, 640> table{};
        for (int i = 0; i < 640; ++i)
            table[static_cast<std::size_t>(i)] = std::pow(10.0, i - 330);
        return table;
    }();
    const double size = std::abs(value);
    const int guess = static_cast<int>(std::floor(std::ilogb(size) * 0.30102999566398120));
    return guess + (size >= tens[static_cast<std::size_t>(guess) + 331] ? 1 : 0);
}

/// What the values of one position have in common: the same strings, the same token.
struct Key {
    StringId team;
    StringId checkpoint;
    std::int64_t token;
    bool operator==(const Key&) const = default;
};
struct KeyHash {
    std::size_t operator()(const Key& key) const {
        const std::uint64_t names = (std::uint64_t{key.team} << 32) | key.checkpoint;
        return std::hash<std::uint64_t>{}((names * 0x9e3779b97f4a7c15ULL) ^
                                          static_cast<std::uint64_t>(key.token));
    }
};

template <class Value>
struct Group {
    Key key;
    Value value;
};

/// Groups in the order in which they first appear.
template <class Value>
class Groups {
  public:
    Value& operator[](const Key& key) {
        const auto [at, is_new] = where_.try_emplace(key, groups_.size());
        if (is_new) groups_.push_back({key, {}});
        return groups_[at->second].value;
    }
    std::vector<Group<Value>>& list() { return groups_; }

  private:
    std::unordered_map<Key, std::size_t, KeyHash> where_;
    std::vector<Group<Value>> groups_;
};

struct Partial {
    Groups<Moments> positions;
    Groups<Histogram> histograms;
    std::vector<GarbageValue> garbage;
};

/// One record; two passes over its few values, so that the deviation does not cancel.
Moments moments_of(std::span<const double> values, const Sanity& sanity, Histogram& histogram) {
    Moments m;
    m.records = 1;
    m.values = values.size();
    double sum = 0;
    for (const double v : values) {
        if (std::isnan(v)) {
            ++m.nan;
        } else if (std::isinf(v)) {
            ++m.infinite;
        } else if (sanity.is_garbage(v)) {
            ++m.garbage;
            if (std::abs(v) > std::abs(m.worst) || m.garbage == 1) m.worst = v;
        } else {
            ++m.sane;
            sum += v;
            m.min = std::min(m.min, v);
            m.max = std::max(m.max, v);
            histogram.add(v);
        }
    }
    if (m.sane == 0) return m;
    m.mean = sum / static_cast<double>(m.sane);
    for (const double v : values) {
        if (!std::isfinite(v) || sanity.is_garbage(v)) continue;
        m.squares += (v - m.mean) * (v - m.mean);
    }
    return m;
}

/// Which group a name belongs to, if it is wanted; each name is looked at once.
class Grouping {
  public:
    Grouping(const Trace& trace, const std::vector<std::string>& globs)
        : trace_(trace), globs_(globs) {}
    std::optional<StringId> operator()(StringId checkpoint) {
        const auto [at, is_new] = known_.try_emplace(checkpoint, std::nullopt);
        if (is_new) at->second = decide(checkpoint);
        return at->second;
    }

  private:
    std::optional<StringId> decide(StringId checkpoint) const {
        const std::string_view name = trace_.string(checkpoint);
        const bool wanted =
            globs_.empty() || std::any_of(globs_.begin(), globs_.end(), [&](const std::string& g) {
                return glob_matches(g, name);
            });
        if (!wanted) return std::nullopt;
        return is_nameless_product(name) ? nameless : checkpoint;
    }

    const Trace& trace_;
    const std::vector<std::string>& globs_;
    std::unordered_map<StringId, std::optional<StringId>> known_;
};

bool has_values(RecordKind kind) {
    return kind == RecordKind::log || kind == RecordKind::checkpoint || kind == RecordKind::gemm ||
           kind == RecordKind::row;
}

Partial stats_of(const Trace& trace, std::span<const Entry> entries, const StatsOptions& options) {
    Partial partial;
    RecordParser parser{trace};
    Grouping grouping{trace, options.globs};
    for (const Entry& entry : entries) {
        if (!has_values(entry.kind)) continue;
        const std::optional<StringId> group = grouping(entry.checkpoint);
        if (!group) continue;
        const std::vector<double> values = parser.values(entry);
        if (values.empty()) continue;
        const Sanity sanity = Sanity::of(values, options.garbage);
        Histogram& histogram = partial.histograms[{entry.team, *group, 0}];
        const Moments moments = moments_of(values, sanity, histogram);
        partial.positions[{entry.team, *group, entry.token_idx}].merge(moments);
        if (moments.garbage == 0) continue;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (partial.garbage.size() == options.list_garbage) break;
            if (!std::isfinite(values[i]) || !sanity.is_garbage(values[i])) continue;
            partial.garbage.push_back({entry.line, std::string{trace.string(entry.checkpoint)},
                                       entry.token_idx, i, values[i]});
        }
    }
    return partial;
}

/// All chunks so far, merged in their order.
struct Collected {
    Groups<CheckpointStats> groups;

    void add(Partial& partial, std::vector<GarbageValue>& garbage, std::size_t most) {
        for (const auto& [key, moments] : partial.positions.list())
            groups[{key.team, key.checkpoint, 0}].by_position[key.token].merge(moments);
        for (const auto& [key, histogram] : partial.histograms.list())
            groups[key].histogram.merge(histogram);
        for (GarbageValue& value : partial.garbage) {
            if (garbage.size() < most) garbage.push_back(std::move(value));
        }
    }

    void finish(const Trace& trace, FileStats& stats) {
        for (auto& [key, checkpoint] : groups.list()) {
            checkpoint.team = trace.string(key.team);
            checkpoint.checkpoint =
                key.checkpoint == nameless ? "gemm.*" : trace.string(key.checkpoint);
            for (const auto& [position, moments] : checkpoint.by_position)
                checkpoint.all.merge(moments);
            stats.all.merge(checkpoint.all);
            stats.checkpoints.push_back(std::move(checkpoint));
        }
    }
};

}  // namespace

Sanity Sanity::of(std::span<const double> values, double limit) {
    const auto subnormal = std::count_if(values.begin(), values.end(), is_subnormal);
    return {static_cast<double>(subnormal) > subnormal_flood * static_cast<double>(values.size()),
            limit};
}

bool Sanity::is_garbage(double value) const {
    return std::abs(value) >= limit || (subnormals_are_garbage && is_subnormal(value));
}

void Moments::merge(const Moments& other) {
    if (other.garbage != 0 && (garbage == 0 || std::abs(other.worst) > std::abs(worst))) {
        worst = other.worst;
    }
    records += other.records;
    values += other.values;
    nan += other.nan;
    infinite += other.infinite;
    garbage += other.garbage;
    min = std::min(min, other.min);
    max = std::max(max, other.max);
    if (other.sane == 0) return;
    // Chan's rule for two groups.
    const auto n = static_cast<double>(sane);
    const auto k = static_cast<double>(other.sane);
    const double distance = other.mean - mean;
    mean += distance * k / (n + k);
    squares += other.squares + distance * distance * n * k / (n + k);
    sane += other.sane;
}

double Moments::deviation() const {
    return sane < 2 ? 0 : std::sqrt(squares / static_cast<double>(sane));
}

void Histogram::add(double value) {
    if (value == 0) {
        ++zeros;
        return;
    }
    const int decade = std::clamp(decade_of(value), lowest, highest) - lowest;
    ++(value < 0 ? negative : positive)[static_cast<std::size_t>(decade)];
}

void Histogram::merge(const Histogram& other) {
    zeros += other.zeros;
    for (std::size_t i = 0; i < negative.size(); ++i) {
        negative[i] += other.negative[i];
        positive[i] += other.positive[i];
    }
}

FileStats value_stats(const Trace& trace, const StatsOptions& options) {
    const std::span<const Entry> entries = trace.entries();
    FileStats stats;
    stats.path = trace.path();
    stats.counts = trace.counts();
    Collected collected;
    // In waves: what the chunks found must not pile up until the end of a large trace.
    for (std::size_t at = 0; at < entries.size(); at += wave_size) {
        const auto wave = entries.subspan(at, std::min(wave_size, entries.size() - at));
        std::vector<Partial> partials((wave.size() + chunk_size - 1) / chunk_size);
        for_each_chunk(wave.size(), chunk_size, options.threads,
                       [&](std::size_t chunk, std::size_t begin, std::size_t end) {
                           partials[chunk] =
                               stats_of(trace, wave.subspan(begin, end - begin), options);
                       });
        for (Partial& partial : partials)
            collected.add(partial, stats.garbage, options.list_garbage);
    }
    collected.finish(trace, stats);
    return stats;
}

}  // namespace orch
