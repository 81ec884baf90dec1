#include "analyzer/align/identity.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "analyzer/align/weight_units.hpp"

namespace orch {
namespace {

/// Equal weights, also 4-bit ones, are nearer than this; the nearest wrong candidate of any model
/// seen is at 0.7.
constexpr double max_distance = 0.4;
/// A wrong candidate has to be this many times as far.
constexpr double clearly = 3;

/// As good as the best: another copy of the same content.
double tie(double best) {
    return 2 * best + 1e-5;
}

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

struct Candidate {
    std::size_t a = 0;  ///< units
    std::size_t b = 0;
    double distance = 0;
};

using Shape = std::array<std::int64_t, 2>;

struct Bucket {
    std::vector<std::size_t> a;
    std::vector<std::size_t> b;
};

class Matcher {
  public:
    Matcher(const EngineTrace& a, const EngineTrace& b) : a_(a), b_(b) {
        result_.of_a.assign(a.weights.size(), -1);
        result_.of_b.assign(b.weights.size(), -1);
        result_.copy_a.assign(a.weights.size(), -1);
        result_.copy_b.assign(b.weights.size(), -1);
    }

    Identity match() {
        match_names();
        units_a_ = units_of(a_);
        units_b_ = units_of(b_);
        find_candidates();
        accept_candidates();
        sort_matches();
        find_copies();
        return std::move(result_);
    }

  private:
    /// Layer, part and expert, or the name itself.
    static std::tuple<int, int, int, std::string> name_key(const Weight& weight) {
        const Role& role = weight.role;
        return {role.layer, static_cast<int>(role.part), role.expert,
                role.part == Part::other ? weight.name : std::string{}};
    }

    void match_names() {
        std::map<std::tuple<int, int, int, std::string>, int> named;
        for (std::size_t i = 0; i < a_.weights.size(); ++i) {
            if (a_.weights[i].named_by_engine)
                named.emplace(name_key(a_.weights[i]), static_cast<int>(i));
        }
        for (std::size_t j = 0; j < b_.weights.size(); ++j) {
            const Weight& weight = b_.weights[j];
            if (!weight.named_by_engine) continue;
            const auto found = named.find(name_key(weight));
            if (found == named.end() || result_.of_a[at(found->second)] >= 0) continue;
            const WeightRecord& other = a_.weights[at(found->second)].record;
            if (other.rows != weight.record.rows || other.cols != weight.record.cols) continue;
            add(match_by_place(a_, b_, {found->second}, {static_cast<int>(j)}));
        }
    }

    void add(WeightMatch match) {
        const int number = static_cast<int>(result_.matches.size());
        for (const int weight : match.a)
            result_.of_a[at(weight)] = number;
        for (const int weight : match.b)
            result_.of_b[at(weight)] = number;
        result_.matches.push_back(std::move(match));
    }

    /// In the order of the reference's first use.
    void sort_matches() {
        std::vector<int> first_use(a_.weights.size(), static_cast<int>(a_.products.size()));
        for (std::size_t i = a_.products.size(); i-- > 0;) {
            if (a_.products[i].weight >= 0)
                first_use[at(a_.products[i].weight)] = static_cast<int>(i);
        }
        std::vector<WeightMatch> matches = std::exchange(result_.matches, {});
        std::stable_sort(matches.begin(), matches.end(),
                         [&](const WeightMatch& x, const WeightMatch& y) {
                             return first_use[at(x.a[0])] < first_use[at(y.a[0])];
                         });
        for (WeightMatch& match : matches)
            add(std::move(match));
    }

    void find_candidates() {
        for (std::size_t i = 0; i < units_a_.size(); ++i) {
            if (is_free(units_a_[i], result_.of_a))
                buckets_[{units_a_[i].rows, units_a_[i].cols}].a.push_back(i);
        }
        for (std::size_t j = 0; j < units_b_.size(); ++j) {
            const auto bucket = buckets_.find({units_b_[j].rows, units_b_[j].cols});
            if (bucket != buckets_.end() && is_free(units_b_[j], result_.of_b))
                bucket->second.b.push_back(j);
        }
        best_a_.assign(units_a_.size(), 1e9);
        best_b_.assign(units_b_.size(), 1e9);
        for (const auto& [shape, bucket] : buckets_) {
            for (const std::size_t i : bucket.a) {
                for (const std::size_t j : bucket.b)
                    consider(i, j);
            }
        }
    }

    void consider(std::size_t i, std::size_t j) {
        const WeightUnit& a = units_a_[i];
        const WeightUnit& b = units_b_[j];
        if (!may_match(a, b)) return;
        const double d = distance(a, b);
        best_a_[i] = std::min(best_a_[i], d);
        best_b_[j] = std::min(best_b_[j], d);
        if (d < max_distance) candidates_.push_back({i, j, d});
    }

    /// Sums on both sides only of what reads one input: shards of a fused weight.
    static bool may_match(const WeightUnit& a, const WeightUnit& b) {
        return a.count == 1 || b.count == 1 || (a.siblings && b.siblings);
    }

    static bool is_free(const WeightUnit& unit, const std::vector<int>& match_of) {
        const auto parts = unit.weights();
        return std::all_of(parts.begin(), parts.end(),
                           [&](int part) { return match_of[at(part)] < 0; });
    }

    /// The nearest unit that is not the same content again; none: nothing else has this shape.
    std::optional<double> runner_up(const Candidate& c) const {
        const WeightUnit& a = units_a_[c.a];
        const WeightUnit& b = units_b_[c.b];
        const Bucket& bucket = buckets_.at({a.rows, a.cols});
        std::optional<double> nearest;
        const auto note = [&](double d) {
            if (d > tie(c.distance) && (!nearest || d < *nearest)) nearest = d;
        };
        for (const std::size_t j : bucket.b) {
            if (may_match(a, units_b_[j])) note(distance(a, units_b_[j]));
        }
        for (const std::size_t i : bucket.a) {
            if (may_match(units_a_[i], b)) note(distance(units_a_[i], b));
        }
        return nearest;
    }

    bool is_nearest(const Candidate& c) const {
        return c.distance <= tie(best_a_[c.a]) && c.distance <= tie(best_b_[c.b]);
    }

    void accept_candidates() {
        // Single weights before sums; of copies, those that are used at about the same time.
        const auto key = [this](const Candidate& c) {
            const WeightUnit& a = units_a_[c.a];
            const WeightUnit& b = units_b_[c.b];
            return std::tuple{a.count + b.count, std::abs(a.rank - b.rank), c.distance, c.a, c.b};
        };
        std::sort(candidates_.begin(), candidates_.end(),
                  [&](const Candidate& x, const Candidate& y) { return key(x) < key(y); });
        for (const Candidate& c : candidates_) {
            const WeightUnit& a = units_a_[c.a];
            const WeightUnit& b = units_b_[c.b];
            if (!is_nearest(c) || !is_free(a, result_.of_a) || !is_free(b, result_.of_b)) continue;
            const std::optional<double> next = runner_up(c);
            if (next && *next < clearly * c.distance && *next < 2 * max_distance) continue;
            WeightMatch match;
            match.a.assign(a.weights().begin(), a.weights().end());
            match.b.assign(b.weights().begin(), b.weights().end());
            match.distance = c.distance;
            match.runner_up = next.value_or(0);
            add(std::move(match));
        }
    }

    /// What a unit is matched with as a whole, or -1.
    int match_of_all(const WeightUnit& unit, bool of_b) const {
        const int match = (of_b ? result_.of_b : result_.of_a)[at(unit.parts[0])];
        if (match < 0) return -1;
        const WeightMatch& found = result_.matches[at(match)];
        std::vector<int> parts(unit.weights().begin(), unit.weights().end());
        std::vector<int> matched = of_b ? found.b : found.a;
        std::sort(parts.begin(), parts.end());
        std::sort(matched.begin(), matched.end());
        return parts == matched ? match : -1;
    }

    void find_copies() {
        for (const Candidate& c : candidates_) {
            if (!is_copy(c)) continue;
            const WeightUnit& a = units_a_[c.a];
            const WeightUnit& b = units_b_[c.b];
            if (b.count == 1 && result_.of_b[at(b.parts[0])] < 0)
                result_.copy_b[at(b.parts[0])] = match_of_all(a, false);
            if (a.count == 1 && result_.of_a[at(a.parts[0])] < 0)
                result_.copy_a[at(a.parts[0])] = match_of_all(b, true);
        }
    }

    bool is_copy(const Candidate& c) const {
        const bool lone_b = units_b_[c.b].count == 1 && c.distance <= tie(best_b_[c.b]);
        const bool lone_a = units_a_[c.a].count == 1 && c.distance <= tie(best_a_[c.a]);
        return lone_a || lone_b;
    }

    const EngineTrace& a_;
    const EngineTrace& b_;
    Identity result_;
    std::vector<WeightUnit> units_a_;
    std::vector<WeightUnit> units_b_;
    std::map<Shape, Bucket> buckets_;
    std::vector<double> best_a_;
    std::vector<double> best_b_;
    std::vector<Candidate> candidates_;
};

}  // namespace

Identity identify(const EngineTrace& a, const EngineTrace& b) {
    return Matcher{a, b}.match();
}

WeightMatch match_by_place(const EngineTrace& a, const EngineTrace& b, std::vector<int> of_a,
                           std::vector<int> of_b) {
    WeightMatch match;
    const WeightUnit unit_a = unit_of(a, of_a);
    const WeightUnit unit_b = unit_of(b, of_b);
    const bool known = unit_a.count > 0 && unit_b.count > 0;
    if (known) match.distance = distance(unit_a, unit_b);
    match.a = std::move(of_a);
    match.b = std::move(of_b);
    return match;
}

}  // namespace orch
