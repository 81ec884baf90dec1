// Between two products with a norm in between: the norm, its epsilon, and the residual addition.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzer/judge/signature.hpp"

namespace orch {
namespace {

bool has_norm(const Suspect& suspect) {
    return suspect.step == Step::norm || suspect.step == Step::embedding;
}

/// b ≈ factor · a, row by row.
struct RowFactor {
    double factor = 1;
    double left = 0;  ///< relative to the row of a
    double energy_shift = 0;
    double mean_square = 0;
    double expected = 0;
};

std::vector<RowFactor> row_factors(const Suspect& suspect, bool only_off) {
    std::vector<RowFactor> result;
    for (const NormRow& row : suspect.norm_rows) {
        const RowDigest& a = row.at.row.a;
        const RowDigest& b = row.at.row.b;
        if (!a.sketch || !b.sketch || a.energy <= 0) continue;
        if (only_off && !row.at.off()) continue;
        RowFactor fit;
        fit.factor = dot(*a.sketch, *b.sketch) / std::max(squared(*a.sketch), 1e-300);
        fit.left =
            std::sqrt(squared(subtracted(*b.sketch, scaled(*a.sketch, fit.factor))) / a.energy);
        fit.energy_shift = b.energy / a.energy - 1;
        fit.mean_square = row.mean_square;
        fit.expected = row.at.expected;
        result.push_back(fit);
    }
    return result;
}

/// How well the shifts fit c · (1 / mean square) and how well a constant, as sums of squares.
struct ShiftModels {
    double by_size = 0;
    double constant = 0;
    double total = 0;
    bool sizes_known = true;
};

ShiftModels fit_shifts(const std::vector<RowFactor>& rows) {
    ShiftModels models;
    double xy = 0;
    double xx = 0;
    double sum = 0;
    for (const RowFactor& row : rows) {
        models.sizes_known = models.sizes_known && row.mean_square > 0;
        const double x = row.mean_square > 0 ? 1 / row.mean_square : 1;
        xy += x * row.energy_shift;
        xx += x * x;
        sum += row.energy_shift;
        models.total += row.energy_shift * row.energy_shift;
    }
    const double mean = sum / static_cast<double>(rows.size());
    for (const RowFactor& row : rows) {
        const double x = row.mean_square > 0 ? 1 / row.mean_square : 1;
        models.by_size += std::pow(row.energy_shift - xy / xx * x, 2);
        models.constant += std::pow(row.energy_shift - mean, 2);
    }
    return models;
}

/// Median of what epsilon would have to be larger by, from (ms + eps_a) / (ms + eps_b).
double epsilon_change(const std::vector<RowFactor>& rows) {
    std::vector<double> changes;
    for (const RowFactor& row : rows)
        if (row.mean_square > 0)
            changes.push_back(row.mean_square * (1 / (1 + row.energy_shift) - 1));
    return median(changes);
}

}  // namespace

std::optional<Finding> find_norm_eps(const Suspect& suspect) {
    if (!has_norm(suspect) || !suspect.same_features) return {};
    const std::vector<RowFactor> rows = row_factors(suspect, false);
    if (rows.size() < 3) return {};
    double largest = 0;
    for (const RowFactor& row : rows) {
        // Its direction is kept, and every row moves to the same side.
        if (row.left > std::max(row.expected, 0.1 * std::abs(row.factor - 1))) return {};
        if (row.energy_shift * rows.front().energy_shift <= 0) return {};
        largest = std::max(largest, std::abs(row.energy_shift));
    }
    if (largest > 0.6) return {};
    const ShiftModels models = fit_shifts(rows);
    if (models.total <= 0) return {};
    const double spread = std::sqrt(models.constant / models.total);
    // A constant factor moves all rows alike to the rounding of sums; epsilon moves small rows
    // more.
    if (spread < 0.01) return {};
    const bool by_size = models.sizes_known && models.by_size < 0.6 * models.constant;
    if (spread > 1.0 && !by_size) return {};
    const double change = epsilon_change(rows);
    Finding result = finding(
        "norm_eps", by_size ? 0.97 : 0.8,
        fmt::format("each of {} rows keeps its direction and its energy changes by {:.1e} to one "
                    "side{}; epsilon would have to differ by {:.2g}",
                    rows.size(), largest, by_size ? ", small rows more, as 1 / mean square" : "",
                    change),
        "a row of large values whose energy changes as much as that of small ones");
    if (suspect.step == Step::embedding && suspect.persists.value_or(false)) {
        result.signature.name = "scale";
        result.op = "embedding";
        result.signature.because =
            "the first norm takes the size of the embedding out but for its epsilon, which is what "
            "is seen here; behind the next addition the difference is large";
    }
    return result;
}

std::optional<Finding> find_residual(const Suspect& suspect) {
    if (suspect.step != Step::norm || !suspect.same_features) return {};
    struct Attempt {
        const char* what;
        std::vector<DirectionRow> rows;
        std::vector<double> sizes;
        DirectionFit fit;
    };
    Attempt last{"last addend", {}, {}, {}};
    Attempt rest{"stream before the last addend", {}, {}, {}};
    Attempt earlier{"addend before the last", {}, {}, {}};
    Attempt moved{"last addend of this and the row before", {}, {}, {}};
    double open = 0;
    double noise = 0;
    std::vector<double> sizes;
    for (const NormRow& row : suspect.norm_rows) {
        if (!row.at.off() || !row.before || !row.addend) continue;
        const RowDigest& a = row.at.row.a;
        const RowDigest& b = row.at.row.b;
        if (!a.sketch || !b.sketch || a.energy <= 0) continue;
        sizes.push_back(b.energy / a.energy);
        const double size =
            std::sqrt(a.energy / std::max(squared(added(*row.before, *row.addend)), 1e-300));
        last.rows.push_back({*a.sketch, *b.sketch, {*row.addend}});
        last.sizes.push_back(size);
        rest.rows.push_back({*a.sketch, *b.sketch, {*row.before}});
        rest.sizes.push_back(size);
        if (row.earlier) earlier.rows.push_back({*a.sketch, *b.sketch, {*row.earlier}});
        if (row.earlier) earlier.sizes.push_back(size);
        if (row.addend_of_row_before) {
            moved.rows.push_back({*a.sketch, *b.sketch, {*row.addend, *row.addend_of_row_before}});
            moved.sizes.push_back(size);
        }
        const double factor = dot(*a.sketch, *b.sketch) / std::max(squared(*a.sketch), 1e-300);
        open += squared(subtracted(*b.sketch, scaled(*a.sketch, factor))) / a.energy;
        noise += row.at.expected * row.at.expected;
    }
    if (last.rows.empty() || open < noise) return {};
    // A norm brings any stream to one size, a wrong sum as well as a right one.
    if (std::abs(std::log(std::max(median(sizes), 1e-300))) > 0.4) return {};
    Attempt* best = nullptr;
    for (Attempt* attempt : {&last, &rest, &earlier, &moved}) {
        if (attempt->rows.empty()) continue;
        attempt->fit = fit_directions(attempt->rows);
        if (best == nullptr || attempt->fit.explained > best->fit.explained + 0.05) best = attempt;
    }
    const double explained = best->fit.explained;
    // The norm's weights bend the direction, the more the less even they are.
    if (explained < std::max(0.45, 3 * best->fit.by_chance)) return {};
    std::vector<double> weights;
    for (std::size_t i = 0; i < best->rows.size(); ++i)
        weights.push_back(1 + best->fit.factors[i][0] / best->sizes[i]);
    const double weight = median(weights);
    const std::string amount = std::abs(weight) > 30
                                   ? std::string{"as if nothing else were there"}
                                   : fmt::format("as if it were taken {:.2f} times", weight);
    Finding result =
        finding("residual", std::min(0.95, 0.4 + 0.55 * explained),
                fmt::format("{:.0f} % of the difference in {} rows lies along the {}, {} ({:.0f} % "
                            "would by chance)",
                            100 * explained, best->rows.size(), best->what, amount,
                            100 * best->fit.by_chance),
                "the addends of the stream logged one by one, and their sum");
    result.op = "residual";
    return result;
}

std::optional<Finding> find_norm(const Suspect& suspect) {
    if (!has_norm(suspect) || !suspect.same_features) return {};
    const std::vector<RowFactor> rows = row_factors(suspect, true);
    if (rows.empty()) return {};
    if (suspect.persists.value_or(false)) return {};
    const char* falsifier = "the norm's input, weights and result logged in both engines";
    double unit_b = 0;
    double unit_a = 0;
    double left = 0;
    double least = 1e300;
    double most = 0;
    for (const NormRow& row : suspect.norm_rows) {
        const auto cols = static_cast<double>(suspect.cols);
        unit_a = std::max(unit_a, std::abs(row.at.row.a.energy / cols - 1));
        unit_b = std::max(unit_b, std::abs(row.at.row.b.energy / cols - 1));
    }
    for (const RowFactor& row : rows) {
        left = std::max(left, row.left);
        least = std::min(least, row.factor);
        most = std::max(most, row.factor);
    }
    if (unit_b < 1e-3 && unit_a > 2 * unit_b)
        return finding("norm", 0.9,
                       fmt::format("every row of {} has a mean square of 1 to {:.1e}: normed and "
                                   "not weighted; in {} they differ from 1 by up to {:.1e}",
                                   suspect.team_b, unit_b, suspect.team_a, unit_a),
                       falsifier);
    std::vector<Sketch> differences;
    for (const NormRow& row : suspect.norm_rows)
        if (row.at.row.a.sketch && row.at.row.b.sketch)
            differences.push_back(subtracted(*row.at.row.b.sketch, *row.at.row.a.sketch));
    const CommonLine line = common_line(differences);
    const Sketch ones = sketch_of_ones(suspect.cols);
    const double alike =
        std::abs(dot(ones, line.line)) / std::max(std::sqrt(squared(ones)), 1e-300);
    double sum_a = 0;
    double sum_b = 0;
    for (const NormRow& row : suspect.norm_rows) {
        sum_a += std::abs(row.at.row.a.sum);
        sum_b += std::abs(row.at.row.b.sum);
    }
    const bool one_line = line.share > std::max(0.8, line.by_chance) && alike > 0.9;
    if (differences.size() >= 3 && one_line && sum_b < 0.4 * sum_a)
        return finding("norm", 0.93,
                       fmt::format("{:.0f} % of the difference is one number added to every "
                                   "feature, another one in each row: as if the mean were taken "
                                   "out",
                                   100 * line.share),
                       falsifier);
    if (least > 0 && most > 1.1 * least && left < 0.3 * most && left < most - least)
        return finding("norm", 0.85,
                       fmt::format("each row nearly keeps its direction and is {:.3g} to {:.3g} "
                                   "times as large: rows are not brought to one size",
                                   least, most),
                       falsifier);
    if (most < 0.6) return {};
    return finding("norm", 0.6,
                   fmt::format("rows are off by {:.1e} in no common direction, and the residual "
                               "stream behind is right: as with other weights of the norm",
                               left),
                   falsifier);
}

}  // namespace orch
