#include "analyzer/align/sequence.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace orch {
namespace {

constexpr std::size_t max_group = 4;
constexpr std::size_t band = 256;

constexpr float cost_of_gap = 1.0F;
constexpr float cost_of_grouping = 0.2F;   ///< for each part more than one
constexpr float cost_of_narrowing = 0.1F;  ///< one side computed fewer rows
constexpr float cost_of_transient = 0.5F;  ///< a lasting weight against a passing one, each part
constexpr float impossible = std::numeric_limits<float>::infinity();

struct Group {
    std::int64_t outputs = 0;
    std::int64_t inputs = 0;
    std::int64_t tokens = 0;
    bool transient = false;
    bool valid = false;
};

/// places[end - count, end)
Group group_of(std::span<const Place> places, std::size_t end, std::size_t count) {
    const Place& first = places[end - count];
    Group group{0, first.inputs, first.tokens, first.transient, true};
    for (const Place& place : places.subspan(end - count, count)) {
        group.outputs += place.outputs;
        group.valid = group.valid && place.inputs == first.inputs && place.tokens == first.tokens &&
                      place.transient == first.transient;
    }
    return group;
}

float cost_of(const Group& a, const Group& b, std::size_t p, std::size_t q) {
    if (!a.valid || !b.valid || a.inputs != b.inputs || a.outputs != b.outputs) return impossible;
    float cost = cost_of_grouping * static_cast<float>(p + q - 2);
    if (a.tokens != b.tokens) cost += cost_of_narrowing;
    if (a.transient != b.transient) cost += cost_of_transient * static_cast<float>(std::max(p, q));
    return cost;
}

struct Step {
    std::uint8_t a = 0;
    std::uint8_t b = 0;
};

/// Costs and steps of the cells near the diagonal, row by row.
class Band {
  public:
    Band(std::size_t rows, std::size_t columns)
        : rows_(rows), columns_(columns), width_(std::min(columns, 2 * band) + 1) {
        cost_.assign((rows + 1) * width_, impossible);
        step_.resize((rows + 1) * width_);
    }
    std::size_t first(std::size_t i) const {
        const std::size_t middle = rows_ == 0 ? 0 : i * columns_ / rows_;
        const std::size_t begin = middle > band ? middle - band : 0;
        return std::min(begin, columns_ + 1 - width_);
    }
    std::size_t last(std::size_t i) const { return first(i) + width_ - 1; }
    bool has(std::size_t i, std::size_t j) const { return j >= first(i) && j <= last(i); }
    float& cost(std::size_t i, std::size_t j) { return cost_[i * width_ + j - first(i)]; }
    Step& step(std::size_t i, std::size_t j) { return step_[i * width_ + j - first(i)]; }

  private:
    std::size_t rows_;
    std::size_t columns_;
    std::size_t width_;
    std::vector<float> cost_;
    std::vector<Step> step_;
};

}  // namespace

std::vector<PlacePair> pair_places(std::span<const Place> a, std::span<const Place> b) {
    Band cells(a.size(), b.size());
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = cells.first(i); j <= cells.last(i); ++j) {
            float& best = cells.cost(i, j);
            if (i == 0 && j == 0) best = 0;
            const auto consider = [&](std::size_t p, std::size_t q, float cost) {
                if (cost == impossible || !cells.has(i - p, j - q)) return;
                cost += cells.cost(i - p, j - q);
                if (cost >= best) return;
                best = cost;
                cells.step(i, j) = {static_cast<std::uint8_t>(p), static_cast<std::uint8_t>(q)};
            };
            for (std::size_t p = 1; p <= std::min(max_group, i); ++p) {
                const Group left = group_of(a, i, p);
                if (!left.valid) break;
                for (std::size_t q = 1; q <= std::min(max_group, j); ++q)
                    consider(p, q, cost_of(left, group_of(b, j, q), p, q));
            }
            if (i > 0) consider(1, 0, cost_of_gap);
            if (j > 0) consider(0, 1, cost_of_gap);
        }
    }
    std::vector<PlacePair> result;
    std::size_t i = a.size();
    std::size_t j = b.size();
    while (i > 0 || j > 0) {
        const Step step = cells.step(i, j);
        if (step.a == 0 && step.b == 0) break;
        i -= step.a;
        j -= step.b;
        if (step.a == 0 || step.b == 0) continue;
        PlacePair pair;
        pair.a.resize(step.a);
        pair.b.resize(step.b);
        std::iota(pair.a.begin(), pair.a.end(), i);
        std::iota(pair.b.begin(), pair.b.end(), j);
        result.push_back(std::move(pair));
    }
    std::reverse(result.begin(), result.end());
    return result;
}

}  // namespace orch
