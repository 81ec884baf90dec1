#include "analyzer/stats/value_stats.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "analyzer/util/parallel.hpp"
#include "core/selector.hpp"

namespace orch {
namespace {

constexpr double smallest_normal_f32 = 0x1p-126;
constexpr std::size_t chunks_in_wave = 32;
constexpr std::uint64_t largest_page = std::uint64_t{2} << 20;
/// All products without a name are one checkpoint here: each has a name of its own, its number.
constexpr StringId nameless = std::numeric_limits<StringId>::max();

bool is_nameless_product(std::string_view name) {
    return name.starts_with("gemm.") && name.size() > 5 &&
           name.find_first_not_of("0123456789", 5) == std::string_view::npos;
}

bool is_subnormal(double value) {
    return value != 0 && std::abs(value) < smallest_normal_f32;
}

/// Between two powers of two lies one power of ten at most: the exponent says which decade a value
/// is in, but for one comparison. Decades beyond the histogram's ends count as its ends.
struct DecadeOfExponent {
    double next = 0;  ///< from here on it is the next decade
    int first = 0;    ///< counted from Histogram::lowest
};

// Exponents of the histogram's decades, and one on each side for all others.
constexpr int least_exponent = -41;
constexpr int most_exponent = 50;
constexpr int exponent_bias = 1023;
using DecadeTable = std::array<DecadeOfExponent, most_exponent - least_exponent + 1>;

DecadeTable make_decade_table() {
    DecadeTable table;
    for (int exponent = least_exponent; exponent <= most_exponent; ++exponent) {
        int decade = Histogram::lowest;
        while (decade < Histogram::highest && std::pow(10.0, decade + 1) <= std::ldexp(1, exponent))
            ++decade;
        const double next = decade < Histogram::highest ? std::pow(10.0, decade + 1)
                                                        : std::numeric_limits<double>::infinity();
        table[static_cast<std::size_t>(exponent - least_exponent)] = {next,
                                                                      decade - Histogram::lowest};
    }
    return table;
}

const DecadeTable decade_table = make_decade_table();

/// What is counted together: values of one team and checkpoint.
struct Key {
    StringId team;
    StringId checkpoint;
    bool operator==(const Key&) const = default;
};
struct KeyHash {
    std::size_t operator()(const Key& key) const {
        return std::hash<std::uint64_t>{}((std::uint64_t{key.team} << 32) | key.checkpoint);
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

/// Moments by position. Most traces have their positions in order: adding is appending, and only
/// what came out of order is put in its place, now and then, so that it does not pile up.
class Positions {
  public:
    void add(std::int64_t position, const Moments& moments) {
        if (!list_.empty() && list_.back().first == position) {
            list_.back().second.merge(moments);
            return;
        }
        in_order_ = in_order_ && (list_.empty() || list_.back().first < position);
        list_.emplace_back(position, moments);
        if (!in_order_ && list_.size() > 2 * sorted_ + 1024) sort();
    }
    std::vector<std::pair<std::int64_t, Moments>>& list() { return list_; }
    std::vector<std::pair<std::int64_t, Moments>> take_sorted() {
        if (!in_order_) sort();
        return std::move(list_);
    }

  private:
    void sort() {
        // Stable: moments are merged in the order of the trace, whatever the number of threads.
        std::stable_sort(list_.begin(), list_.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        auto last = list_.begin();
        for (auto each = last + 1; each != list_.end(); ++each) {
            if (each->first == last->first) {
                last->second.merge(each->second);
            } else {
                *++last = *each;
            }
        }
        list_.erase(last + 1, list_.end());
        sorted_ = list_.size();
        in_order_ = true;
    }

    std::vector<std::pair<std::int64_t, Moments>> list_;
    std::size_t sorted_ = 0;
    bool in_order_ = true;
};

struct GroupStats {
    Histogram histogram;
    Positions positions;
};

struct Partial {
    Groups<GroupStats> groups;
    std::vector<GarbageValue> garbage;
};

/// One record; two passes over its few values, so that the deviation does not cancel.
Moments moments_of(std::span<const double> values, const Sanity& sanity, Histogram& histogram) {
    Moments m;
    m.records = 1;
    m.values = values.size();
    double sum = 0;
    for (const double v : values) {
        if (!sanity.is_sane(v)) {
            if (std::isnan(v)) {
                ++m.nan;
            } else if (std::isinf(v)) {
                ++m.infinite;
            } else {
                ++m.garbage;
                if (std::abs(v) > std::abs(m.worst) || m.garbage == 1) m.worst = v;
            }
            continue;
        }
        ++m.sane;
        sum += v;
        m.min = std::min(m.min, v);
        m.max = std::max(m.max, v);
        histogram.add(v);
    }
    if (m.sane == 0) return m;
    m.mean = sum / static_cast<double>(m.sane);
    for (const double v : values) {
        const double distance = sanity.is_sane(v) ? v - m.mean : 0;
        m.squares += distance * distance;
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

Partial stats_of(const Trace& trace, std::span<const Entry> entries, const StatsOptions& options) {
    Partial partial;
    RecordParser parser{trace};
    Grouping grouping{trace, options.globs};
    for (const Entry& entry : entries) {
        if (!has_values(entry.kind)) continue;
        const std::optional<StringId> group = grouping(entry.checkpoint);
        if (!group) continue;
        const std::span<const double> values = parser.values_view(entry);
        if (values.empty()) continue;
        const Sanity sanity = Sanity::of(values, options.garbage);
        GroupStats& stats = partial.groups[{entry.team, *group}];
        const Moments moments = moments_of(values, sanity, stats.histogram);
        stats.positions.add(entry.token_idx, moments);
        if (moments.garbage == 0) continue;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (partial.garbage.size() == options.list_garbage) break;
            if (!sanity.is_garbage(values[i])) continue;
            partial.garbage.push_back({entry.line, std::string{trace.string(entry.checkpoint)},
                                       entry.token_idx, i, values[i]});
        }
    }
    return partial;
}

/// All chunks so far, merged in their order.
struct Collected {
    Groups<GroupStats> groups;

    void add(Partial& partial, std::vector<GarbageValue>& garbage, std::size_t most) {
        for (auto& [key, part] : partial.groups.list()) {
            GroupStats& group = groups[key];
            group.histogram.merge(part.histogram);
            for (const auto& [position, moments] : part.positions.list())
                group.positions.add(position, moments);
        }
        for (GarbageValue& value : partial.garbage) {
            if (garbage.size() < most) garbage.push_back(std::move(value));
        }
    }

    void finish(const Trace& trace, FileStats& stats) {
        for (auto& [key, group] : groups.list()) {
            CheckpointStats& checkpoint = stats.checkpoints.emplace_back();
            checkpoint.team = trace.string(key.team);
            checkpoint.checkpoint =
                key.checkpoint == nameless ? "gemm.*" : trace.string(key.checkpoint);
            checkpoint.histogram = group.histogram;
            checkpoint.by_position = group.positions.take_sorted();
            for (const auto& [position, moments] : checkpoint.by_position)
                checkpoint.all.merge(moments);
            stats.all.merge(checkpoint.all);
        }
    }
};

/// Records in one piece of work: by what their text is, so that few long records are shared among
/// threads too.
std::size_t records_in_chunk(const ReadCounts& counts) {
    constexpr std::uint64_t chunk_bytes = std::uint64_t{1} << 20;
    constexpr std::uint64_t most_records = 4096;
    const std::uint64_t line = counts.bytes / std::max<std::uint64_t>(1, counts.records) + 1;
    return std::clamp<std::uint64_t>(chunk_bytes / line, 1, most_records);
}

}  // namespace

Sanity Sanity::of(std::span<const double> values, double limit) {
    const auto subnormal = std::count_if(values.begin(), values.end(), is_subnormal);
    const bool flood =
        static_cast<double>(subnormal) > subnormal_flood * static_cast<double>(values.size());
    return {flood ? smallest_normal_f32 : 0, limit};
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
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const int exponent = static_cast<int>(bits >> 52 & 0x7ff) - exponent_bias;
    const auto& [next, first] = decade_table[static_cast<std::size_t>(
        std::clamp(exponent, least_exponent, most_exponent) - least_exponent)];
    // Which sign cannot be foreseen: no branch.
    std::uint64_t* const side = (bits >> 63 != 0 ? negative : positive).data();
    const std::uint64_t is_zero = value == 0 ? 1 : 0;
    zeros += is_zero;
    side[first + (std::abs(value) >= next ? 1 : 0)] += 1 - is_zero;
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
    const std::size_t chunk_size = records_in_chunk(stats.counts);
    const std::size_t wave_size = chunks_in_wave * chunk_size;
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
        // The parsers forget what they read, but Linux maps large pages whole: with what others
        // have forgotten.
        const std::uint64_t begin = wave.front().offset;
        trace.forget_text(begin - std::min(begin, largest_page),
                          wave.back().offset + wave.back().length);
    }
    collected.finish(trace, stats);
    return stats;
}

}  // namespace orch
