// A product whose input agrees and whose result does not.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzer/judge/signature.hpp"

namespace orch {
namespace {

const WeightRecord* weight_of(const EngineTrace& engine, const std::vector<std::size_t>& products) {
    const auto weights = weights_of(engine, products);
    return weights.size() == 1 && weights.front() != nullptr ? &weights.front()->record : nullptr;
}

bool near(double a, double b, double size, double tolerance) {
    return std::abs(b - a) <= tolerance * std::max(size, 1e-300);
}

/// From here on two weights have nothing in common: unrelated ones differ by the root of two.
constexpr double unrelated = 0.7;

/// What two weights that are no match have in common all the same.
std::optional<Finding> find_kinship(const WeightRecord& a, const WeightRecord& b) {
    constexpr double tolerance = 1e-4;
    if (!a.sketch || !b.sketch ||
        sketch_error(*a.sketch, *b.sketch, squared(*a.sketch)) < unrelated)
        return {};
    if (!near(a.energy, b.energy, a.energy, tolerance) ||
        !near(a.absmax, b.absmax, a.absmax, tolerance))
        return {};
    const double size = std::sqrt(a.energy);
    if (near(a.sum, -b.sum, size, tolerance) &&
        near(-dot(*a.sketch, *b.sketch), squared(*a.sketch), squared(*a.sketch), 1e-2))
        return finding("sign", 0.95,
                       "the weights have one energy and largest value and opposite sums and "
                       "sketches: they are negated",
                       "a weight with the reference's sign");
    if (near(a.sum, b.sum, size, tolerance))
        return finding("transposition", 0.93,
                       fmt::format("the weights agree in energy, sum and largest value, [{}, {}] "
                                   "and [{}, {}], and in no row: they are transposed or shuffled",
                                   a.rows, a.cols, b.rows, b.cols),
                       "a row of one that is a row of the other");
    return {};
}

std::string match_label(const Alignment& alignment, int match) {
    return match < 0 ? std::string{} : alignment.weights[static_cast<std::size_t>(match)].label;
}

/// In a fused weight: one part is another weight of the reference.
std::optional<Finding> find_other_part(const Alignment& alignment, const ProductPair& pair) {
    const std::vector<const Weight*> parts = weights_of(*alignment.a, pair.a);
    const WeightRecord* b = weight_of(*alignment.b, pair.b);
    if (parts.size() < 2 || b == nullptr || !b->sketch) return {};
    const auto& weights = alignment.a->weights;
    Sketch rest = *b->sketch;
    for (const Weight* part : parts) {
        if (part == nullptr || !part->record.sketch) return {};
        rest = subtracted(rest, *part->record.sketch);
    }
    for (const Weight* part : parts) {
        const Sketch& own = *part->record.sketch;
        const double factor = 1 + dot(rest, own) / std::max(squared(own), 1e-300);
        const double left = sketch_error(scaled(own, factor - 1), rest, squared(rest));
        if (left > 0.02) continue;
        Finding found = finding(
            factor < 0 ? "sign" : "scale", 0.95,
            fmt::format(
                "the fused weight is that of the reference with {} times {:.4g} (to {:.1e})",
                part->name.empty() ? part->record.id : part->name, factor, left),
            "the sketch of that part alone");
        found.op = part_name(part->role.part);
        return found;
    }
    for (const Weight* part : parts)
        for (const Weight& other : weights) {
            const WeightRecord& record = other.record;
            if (&other == part || !record.sketch || record.rows != part->record.rows ||
                record.cols != part->record.cols)
                continue;
            const Sketch change = subtracted(*record.sketch, *part->record.sketch);
            const double left = sketch_error(change, rest, squared(change));
            if (left > 0.05) continue;
            Finding found = finding(
                "wrong_weight", 0.95,
                fmt::format("the fused weight is that of the reference with {} in place of {} (to "
                            "{:.1e})",
                            other.name.empty() ? record.id : other.name,
                            part->name.empty() ? part->record.id : part->name, left),
                "the sketch of the part that belongs here");
            found.op = part_name(part->role.part);
            return found;
        }
    return {};
}

/// The share of the first values of rows that did not change.
std::optional<double> unchanged_share(const Suspect& suspect) {
    std::size_t count = 0;
    std::size_t same = 0;
    for (const Suspect::InPass& pass : suspect.passes)
        for (const MatrixPair::Values& row : pass.matrix.values) {
            double size = 0;
            for (const double value : row.a)
                size += value * value;
            if (row.a.empty()) continue;
            size = std::sqrt(size / static_cast<double>(row.a.size()));
            for (std::size_t i = 0; i < std::min(row.a.size(), row.b.size()); ++i) {
                ++count;
                const double allowed = std::max(2 * pass.expected, 1e-6) * size;
                same += std::abs(row.b[i] - row.a[i]) <= allowed ? 1 : 0;
            }
        }
    if (count < 8) return {};
    return static_cast<double>(same) / static_cast<double>(count);
}

/// The result lost a part that is at right angles to what is left: error² = lost energy.
struct Loss {
    double lost = 0;           ///< mean share of the energy
    double squares = 0;        ///< mean squared error
    double exactness = 1e300;  ///< largest relative difference of the two in a row
    std::size_t rows = 0;
};

Loss loss_of(const Suspect& suspect) {
    Loss loss;
    loss.exactness = 0;
    for (const SuspectRow* row : suspect.off_rows()) {
        if (row->row.a.energy <= 0) continue;
        const double lost = 1 - row->row.b.energy / row->row.a.energy;
        const double square = row->error * row->error;
        loss.lost += lost;
        loss.squares += square;
        loss.exactness =
            std::max(loss.exactness, std::abs(square - lost) / std::max(square, 1e-12));
        ++loss.rows;
    }
    if (loss.rows > 0) {
        loss.lost /= static_cast<double>(loss.rows);
        loss.squares /= static_cast<double>(loss.rows);
    }
    return loss;
}

}  // namespace

std::optional<Finding> find_weight_fault(const Suspect& suspect) {
    if (!suspect.product || suspect.alignment == nullptr) return {};
    const ProductPair& pair = *suspect.product->pair;
    const Alignment& alignment = *suspect.alignment;
    const WeightRecord* a = weight_of(*alignment.a, pair.a);
    const WeightRecord* b = weight_of(*alignment.b, pair.b);
    if (pair.wrong_match >= 0)
        return finding("wrong_weight", 0.97,
                       fmt::format("{} multiplies here what the reference calls {}, in place of {}",
                                   suspect.team_b, match_label(alignment, pair.wrong_match),
                                   match_label(alignment, pair.match)),
                       "the sketch of the weight that belongs here");
    if (pair.match < 0 || suspect.product->content == Content::changed) {
        if (a != nullptr && b != nullptr)
            if (auto kin = find_kinship(*a, *b)) return kin;
    }
    if (suspect.product->content == Content::changed && pair.match >= 0) {
        const WeightMatch& match = alignment.weights[static_cast<std::size_t>(pair.match)];
        if (auto other = find_other_part(alignment, pair)) return other;
        if (match.distance > unrelated)
            return finding("wrong_weight", 0.9,
                           fmt::format("the weights in this place have nothing in common: their "
                                       "sketches differ by {:.1e}",
                                       match.distance),
                           "the sketch of the weight that belongs here");
        return finding("weight_changed", 0.95,
                       fmt::format("the sketches of the weights differ by {:.1e}, where their "
                                   "element types explain {:.1e}",
                                   match.distance, match.expected),
                       "the same bytes in both files");
    }
    if (pair.match < 0 && a != nullptr && b != nullptr)
        return finding("wrong_weight", 0.8,
                       fmt::format("no weight of the reference is like the one that {} multiplies "
                                   "in this place",
                                   suspect.team_b),
                       "the sketch of the weight that belongs here");
    return {};
}

namespace {

/// A row of a fused result and what its parts are in the reference.
struct FusedRow {
    int pass = -1;
    std::int64_t position = 0;
    RowDigest b;
    std::vector<RowDigest> parts;
};

/// From the blamed pass on: before it the product may have been right.
std::vector<FusedRow> fused_rows(const Suspect& suspect) {
    std::vector<FusedRow> rows;
    for (const Suspect::InPass& pass : suspect.passes) {
        if (pass.pass < suspect.product->pair->pass) continue;
        const MatrixPair& y = pass.matrix;
        for (std::size_t row = 0; row < y.rows.size(); ++row) {
            rows.push_back({pass.pass, y.rows[row].position, y.rows[row].b, {}});
            for (const std::vector<RowDigest>& part : y.parts_a)
                rows.back().parts.push_back(part[row]);
        }
    }
    return rows;
}

/// What one part of a fused result must be, row by row, if the others are right.
struct RestOfParts {
    std::vector<double> energies;
    std::vector<double> sums;
};

RestOfParts rest_of_parts(const std::vector<FusedRow>& rows, std::size_t part) {
    RestOfParts rest;
    for (const FusedRow& row : rows) {
        double energy = row.b.energy;
        double sum = row.b.sum;
        for (std::size_t other = 0; other < row.parts.size(); ++other) {
            if (other == part) continue;
            energy -= row.parts[other].energy;
            sum -= row.parts[other].sum;
        }
        rest.energies.push_back(energy);
        rest.sums.push_back(sum);
    }
    return rest;
}

/// Rows of the part that are the rows before them.
bool is_delayed(const std::vector<FusedRow>& rows, std::size_t part, const RestOfParts& rest) {
    std::size_t matched = 0;
    for (std::size_t row = 1; row < rows.size(); ++row) {
        if (rows[row - 1].pass != rows[row].pass ||
            rows[row - 1].position + 1 != rows[row].position)
            continue;
        const RowDigest& before = rows[row - 1].parts[part];
        const RowDigest& own = rows[row].parts[part];
        const double size = std::sqrt(before.energy);
        if (std::abs(rest.energies[row] - before.energy) > 0.02 * before.energy ||
            std::abs(rest.sums[row] - before.sum) > 0.05 * size)
            return false;
        if (std::abs(own.energy - before.energy) > 0.05 * before.energy) ++matched;
    }
    return matched > 0;
}

}  // namespace

std::optional<Finding> find_part_fault(const Suspect& suspect) {
    if (suspect.step != Step::product || !suspect.product) return {};
    const std::size_t parts = suspect.product->y.parts_a.size();
    if (parts < 2) return {};
    const std::vector<FusedRow> rows = fused_rows(suspect);
    const bool all_fused = std::all_of(
        rows.begin(), rows.end(), [&](const FusedRow& row) { return row.parts.size() == parts; });
    if (!all_fused) return {};
    for (std::size_t part = 0; part < parts; ++part) {
        const RestOfParts rest = rest_of_parts(rows, part);
        std::vector<double> squares;
        double agree = 0;
        double sums = 0;
        for (std::size_t row = 0; row < rows.size(); ++row) {
            const RowDigest& own = rows[row].parts[part];
            if (own.energy <= 0) return {};
            squares.push_back(rest.energies[row] / own.energy);
            agree += rest.sums[row] * own.sum;
            sums += own.sum * own.sum;
        }
        if (squares.empty() || sums <= 0) continue;
        if (is_delayed(rows, part, rest))
            return finding("position_offset", 0.85,
                           "energies and sums of neighbouring rows fit if one part of the fused "
                           "result is that of the row before and the other parts are right",
                           "a row whose energy is its own");
        const auto [least, most] = std::minmax_element(squares.begin(), squares.end());
        const double square = median(squares);
        const double factor = agree / sums;
        // Energies and sums of all rows must tell one factor for this part, and another than 1.
        const bool is_sign = std::abs(square - 1) < 0.05 && factor < 0;
        const double tolerance =
            is_sign ? 0.02 : std::min(0.02 * std::max(1.0, square), 0.2 * std::abs(square - 1));
        // One row alone must tell it twice, by its energy and by its sum.
        const bool one_factor =
            (squares.size() > 1 || std::abs(factor * factor - square) <= 1e-3 * square) &&
            *most - *least <= tolerance && std::abs(factor * factor - square) <= 4 * tolerance;
        if (!one_factor || std::abs(factor - 1) < 0.02) continue;
        const auto weights = weights_of(*suspect.alignment->a, suspect.product->pair->a);
        if (part >= weights.size() || weights[part] == nullptr) continue;
        const Part name = weights[part]->role.part;
        Finding found = finding(
            std::abs(factor) < 0.02 ? "zeros"
            : factor < 0            ? "sign"
                                    : "scale",
            squares.size() > 1 ? 0.9 : 0.75,
            fmt::format("energies and sums of all {} rows fit if the part {} is {:.3g} times the "
                        "reference's and the other parts are right",
                        squares.size(), part_name(name), factor),
            "a row that needs another factor");
        found.op = part_name(name);
        return found;
    }
    return {};
}

std::optional<Finding> find_dropped_k_tail(const Suspect& suspect) {
    if (suspect.step != Step::product) return {};
    const Loss loss = loss_of(suspect);
    if (loss.rows == 0 || loss.squares < 1e-4) return {};
    const auto unchanged = unchanged_share(suspect);
    if (unchanged && *unchanged > 0.5) return {};
    const char* falsifier = "the product summed up over all of its inputs, and still off";
    if (!suspect.same_features) {
        if (loss.rows < 3 || loss.lost < 0.003 || loss.lost > 0.7) return {};
        return finding("dropped_k_tail", 0.6,
                       fmt::format("the result has {:.0f} % less energy over {} rows: a part of "
                                   "the sum is missing",
                                   100 * loss.lost, loss.rows),
                       falsifier);
    }
    const double ratio = loss.squares / std::max(loss.lost, 1e-12);
    if (loss.exactness < 0.02 || suspect.share_of_fullest_place() > 0.6) return {};
    if (ratio < 0.45 || ratio > 2.2) {
        // Inputs that hang together: what is left out is not at right angles to the rest.
        const ScaleFit fit = fit_scale(suspect.off_pairs());
        const bool alike = fit.factor > 0.4 && fit.factor < 1.4 && fit.left < 0.9;
        if (!alike || (unchanged && *unchanged > 0.2)) return {};
        return finding("dropped_k_tail", 0.6,
                       fmt::format("every feature is off, and the result still points where it "
                                   "should ({:.2f} of it, {:.2f} beside it): a part of each sum is "
                                   "missing",
                                   fit.factor, fit.left),
                       falsifier);
    }
    return finding("dropped_k_tail", 0.82,
                   fmt::format("every feature is off; the result lost {:.1f} % of its energy and "
                               "differs by {:.1f} %, as when a part of each sum is left out",
                               100 * loss.lost, 100 * loss.squares),
                   falsifier);
}

namespace {

/// The residual of a proof has a place for every sixteenth (or fourth) output: how many are not as
/// good as 0. Rounding, and whatever else is wrong with a sum, is in all of them.
bool is_in_few_outputs(const Proof& proof) {
    constexpr double nothing = 1e-3;
    double most = 0;
    for (const double value : proof.residual)
        most = std::max(most, std::abs(value));
    const auto wrong =
        std::count_if(proof.residual.begin(), proof.residual.end(),
                      [&](double value) { return std::abs(value) > nothing * most; });
    return most > 0 && static_cast<std::size_t>(2 * wrong) <= proof.residual.size();
}

}  // namespace

std::optional<Finding> find_product(const Suspect& suspect) {
    if (suspect.step != Step::product) return {};
    if (suspect.product && suspect.product->proof_b && is_in_few_outputs(*suspect.product->proof_b))
        return finding("product", 0.89,
                       fmt::format("by its own input and weight {} is wrong by {:.1e}, and that in "
                                   "a few outputs alone, all others are right to a thousandth of "
                                   "it",
                                   suspect.team_b, error_of(*suspect.product->proof_b)),
                       "outputs of all sixteen groups that are off");
    const auto unchanged = unchanged_share(suspect);
    const Loss loss = loss_of(suspect);
    if (suspect.same_features && loss.rows > 1 && loss.exactness < 0.02 && loss.lost > 0)
        return finding("product", 0.85,
                       fmt::format("a few features are zero in all {} rows ({:.1f} % of the "
                                   "energy), all others are right",
                                   loss.rows, 100 * loss.lost),
                       "a value other than zero in those features");
    if (suspect.same_features && suspect.share_of_fullest_place() > 0.9)
        return finding("product", 0.9,
                       fmt::format("{:.0f} % of the difference lies in one of the sixteen groups "
                                   "of features that sketches tell apart: a single feature is "
                                   "wrong",
                                   100 * suspect.share_of_fullest_place()),
                       "a feature of another group that is off");
    // Of a fused result they are those of its first part, and the others may be rounded.
    if (unchanged && *unchanged > 0.5)
        return finding("product", suspect.same_features ? 0.75 : 0.55,
                       fmt::format("{:.0f} % of the first values of the rows are right: some "
                                   "features are wrong, not the sum as such",
                                   100 * *unchanged),
                       "all features off");
    return finding("product", 0.5,
                   fmt::format("input and weight agree to {:.1e}, the result is off by {:.1e}",
                               suspect.input_error, suspect.error),
                   "the product of the recorded input and weight, computed elsewhere");
}

}  // namespace orch
