// Are matched weights the same numbers, as far as their element types allow?
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "analyzer/align/identity.hpp"
#include "analyzer/align/rounding.hpp"
#include "analyzer/align/row_order.hpp"
#include "analyzer/align/weight_units.hpp"

namespace orch {
namespace {

/// f32 sums of the same numbers in another order: 3e-7 at most in the traces looked at.
constexpr double equal_distance = 3e-6;
/// The distances of one pair of types stay within a factor of two over the weights of a model.
constexpr double several = 4;
/// Fewer matches say nothing about their types.
constexpr std::size_t enough = 5;
/// Past this it is no rounding that an engine would be shipped with.
constexpr double most_rounding = 0.35;

struct Difference {
    double distance = 0;
    double energy = 0;  ///< relative
    bool known = false;
};

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// Of a fused weight's parts, weighted by their energy.
double parts_rounding(const EngineTrace& engine, const std::vector<int>& weights) {
    double error = 0;
    double energy = 0;
    for (const int weight : weights) {
        const WeightRecord& record = engine.weights[at(weight)].record;
        const double rounding = rounding_of(record.dtype);
        error += record.energy * rounding * rounding;
        energy += record.energy;
    }
    return energy > 0 ? std::sqrt(error / energy) : 0;
}

std::string types_of(const EngineTrace& engine, const std::vector<int>& weights) {
    std::string types;
    for (const int weight : weights) {
        const std::string& type = engine.weights[at(weight)].record.dtype;
        if (types.find(type) == std::string::npos) types += type + " ";
    }
    return types;
}

Difference difference_of(const EngineTrace& a, const EngineTrace& b, const WeightMatch& match) {
    const WeightUnit unit_a = unit_of(a, match.a);
    const WeightUnit unit_b = unit_of(b, match.b);
    if (unit_a.count == 0 || unit_b.count == 0) return {};
    const double scale = std::max(unit_a.energy, 1e-30);
    return {match.distance, std::abs(unit_b.energy - unit_a.energy) / scale, true};
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

bool same_bits(const EngineTrace& a, const EngineTrace& b, const WeightMatch& match) {
    if (match.a.size() != 1 || match.b.size() != 1) return false;
    const WeightRecord& left = a.weights[at(match.a[0])].record;
    const WeightRecord& right = b.weights[at(match.b[0])].record;
    return left.hash && right.hash && *left.hash == *right.hash && left.dtype == right.dtype &&
           left.rows == right.rows && left.cols == right.cols;
}

}  // namespace

void judge_contents(const EngineTrace& a, const EngineTrace& b, std::vector<WeightMatch>& matches) {
    struct Group {
        std::vector<double> distances;
        std::vector<double> energies;
        double usual_distance = 0;
        double usual_energy = 0;
    };
    std::map<std::string, Group> groups;
    std::vector<Difference> differences;
    const auto key = [&](const WeightMatch& match) {
        return types_of(a, match.a) + "against " + types_of(b, match.b);
    };
    for (const WeightMatch& match : matches) {
        differences.push_back(difference_of(a, b, match));
        if (!differences.back().known) continue;
        Group& group = groups[key(match)];
        group.distances.push_back(differences.back().distance);
        group.energies.push_back(differences.back().energy);
    }
    for (auto& [types, group] : groups) {
        group.usual_distance = median(group.distances);
        group.usual_energy = median(group.energies);
    }
    for (std::size_t i = 0; i < matches.size(); ++i) {
        WeightMatch& match = matches[i];
        const Difference& difference = differences[i];
        if (!difference.known) continue;
        const bool same_type = types_of(a, match.a) == types_of(b, match.b);
        match.expected =
            same_type ? 0 : std::hypot(parts_rounding(a, match.a), parts_rounding(b, match.b));
        // In quadrature a rounding adds its square to the energy; its own noise is smaller.
        double energy = 4 * match.expected * match.expected + match.expected / 8;
        const Group& group = groups[key(match)];
        if (group.distances.size() >= enough) {
            match.expected = std::min(group.usual_distance, most_rounding);
            energy = group.usual_energy;
        }
        const bool equal =
            difference.distance <= equal_distance && difference.energy <= equal_distance;
        const bool explained = difference.distance <= several * match.expected &&
                               difference.energy <= 3 * several * energy + equal_distance;
        match.content = same_bits(a, b, match) ? Content::same_bits
                        : equal                ? Content::equal
                        : explained            ? Content::rounding
                                               : Content::changed;
        find_row_order(a, b, match);
    }
}

}  // namespace orch
