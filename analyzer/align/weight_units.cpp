#include "analyzer/align/weight_units.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace orch {
namespace {

constexpr std::size_t max_parts = 4;
/// Of more weights that read one input only neighbours are added up: experts, say.
constexpr std::size_t max_siblings = 8;

/// Weights in the order of first use, and which of them read the same x side by side.
struct FirstUses {
    std::vector<int> order;
    std::vector<std::vector<int>> siblings;
};

FirstUses first_uses(const EngineTrace& engine) {
    FirstUses result;
    std::vector<bool> seen(engine.weights.size());
    std::uint64_t last_x = 0;
    int last_pass = -1;
    for (const Product& product : engine.products) {
        const Entry& entry = engine.entry(product);
        const bool same_x = entry.x_key != 0 && entry.x_key == last_x && product.pass == last_pass;
        last_x = entry.x_key;
        last_pass = product.pass;
        if (!same_x) result.siblings.emplace_back();
        if (product.weight < 0) continue;
        const auto weight = static_cast<std::size_t>(product.weight);
        if (seen[weight] || engine.weights[weight].is_activation) continue;
        seen[weight] = true;
        result.order.push_back(product.weight);
        result.siblings.back().push_back(product.weight);
    }
    std::erase_if(result.siblings, [](const auto& group) { return group.size() < 2; });
    return result;
}

class Units {
  public:
    explicit Units(const EngineTrace& engine) : engine_(engine), uses_(first_uses(engine)) {
        rank_.assign(engine.weights.size(), 0);
        for (std::size_t i = 0; i < uses_.order.size(); ++i)
            rank_[at(uses_.order[i])] =
                static_cast<double>(i) / static_cast<double>(uses_.order.size());
    }

    std::vector<WeightUnit> all() {
        for (const int weight : uses_.order)
            add({&weight, 1}, false);
        for (const std::vector<int>& group : uses_.siblings) {
            if (group.size() <= max_siblings)
                add_subsets(group);
            else
                add_neighbours(group, true);
        }
        add_neighbours(uses_.order, false);
        return std::move(units_);
    }

  private:
    static std::size_t at(int weight) { return static_cast<std::size_t>(weight); }

    void add(std::span<const int> parts, bool siblings) {
        if (parts.size() > 1) {
            const std::int64_t cols = engine_.weights[at(parts[0])].record.cols;
            for (const int part : parts) {
                const Weight& weight = engine_.weights[at(part)];
                if (weight.is_activation || weight.record.cols != cols) return;
            }
            std::array<int, max_parts> key{-1, -1, -1, -1};
            std::copy(parts.begin(), parts.end(), key.begin());
            std::sort(key.begin(), key.end());
            if (!known_.insert(key).second) return;
        }
        WeightUnit unit = unit_of(engine_, parts);
        if (unit.count == 0) return;
        unit.siblings = siblings;
        unit.rank = rank_[at(parts[0])];
        units_.push_back(unit);
    }

    void add_subsets(const std::vector<int>& group) {
        const unsigned all = 1U << group.size();
        for (unsigned subset = 3; subset < all; ++subset) {
            std::array<int, max_parts> parts{};
            std::size_t count = 0;
            for (std::size_t i = 0; i < group.size() && count <= max_parts; ++i) {
                if ((subset >> i & 1U) == 0) continue;
                if (count < max_parts) parts[count] = group[i];
                ++count;
            }
            if (count >= 2 && count <= max_parts) add({parts.data(), count}, true);
        }
    }

    void add_neighbours(const std::vector<int>& list, bool siblings) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            for (std::size_t count = 2; count <= max_parts && i + count <= list.size(); ++count)
                add({list.data() + i, count}, siblings);
        }
    }

    const EngineTrace& engine_;
    FirstUses uses_;
    std::vector<double> rank_;
    std::set<std::array<int, max_parts>> known_;
    std::vector<WeightUnit> units_;
};

}  // namespace

WeightUnit unit_of(const EngineTrace& engine, std::span<const int> weights) {
    std::vector<const WeightRecord*> records;
    for (const int weight : weights)
        records.push_back(&engine.weights[static_cast<std::size_t>(weight)].record);
    WeightUnit unit = unit_of(records);
    if (unit.count > 0) std::copy(weights.begin(), weights.end(), unit.parts.begin());
    return unit;
}

WeightUnit unit_of(std::span<const WeightRecord* const> records) {
    WeightUnit unit;
    if (records.size() > unit.parts.size()) return unit;
    Sketch sketch{};
    for (const WeightRecord* record : records) {
        if (!record->sketch || record->rows == 0) return {};
        for (std::size_t j = 0; j < sketch.size(); ++j)
            sketch[j] += (*record->sketch)[j];
        unit.rows += record->rows;
        unit.cols = record->cols;
        unit.energy += record->energy;
        unit.sum += record->sum;
        unit.parts[static_cast<std::size_t>(unit.count)] = unit.count;
        ++unit.count;
    }
    double square = 0;
    for (std::size_t j = 0; j < sketch.size(); ++j) {
        square += sketch[j] * sketch[j];
        unit.sketch[j] = static_cast<float>(sketch[j]);
    }
    // Rows that cancel out in the sum must not make rounding look like another weight.
    unit.size = std::sqrt(std::max(square, unit.energy));
    if (!std::isfinite(unit.size)) return {};
    return unit;
}

std::vector<WeightUnit> units_of(const EngineTrace& engine) {
    return Units{engine}.all();
}

double distance(const WeightUnit& a, const WeightUnit& b) {
    float square = 0;
    for (std::size_t j = 0; j < a.sketch.size(); ++j) {
        const float difference = a.sketch[j] - b.sketch[j];
        square += difference * difference;
    }
    if (square == 0) return 0;
    return a.size > 0 ? std::sqrt(static_cast<double>(square)) / a.size : 1e9;
}

}  // namespace orch
