// What the numbers themselves look like.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzer/judge/signature.hpp"

namespace orch {
namespace {

constexpr double garbage_size = 1e15;
constexpr double denormal_size = 1e-30;
/// Throws of a coin that do not all fall on one side by chance.
constexpr std::size_t no_chance = 14;

/// Sums alone (fused or permuted results): the factor that makes energies and sums agree, where
/// it is the same in all rows.
std::optional<double> factor_of_sums(const std::vector<RowPair>& rows) {
    std::vector<double> sizes;
    double same_sign = 0;
    double sums = 0;
    for (const RowPair& row : rows) {
        if (row.a.energy <= 0) return {};
        sizes.push_back(std::sqrt(row.b.energy / row.a.energy));
        same_sign += row.a.sum * row.b.sum;
        sums += std::abs(row.a.sum * row.b.sum);
    }
    if (sizes.empty() || sums <= 0) return {};
    const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
    if (*most - *least > std::min(0.02 * *most, 0.2 * std::abs(*most - 1)) && *least > 1e-6) {
        // A sign alone keeps all sizes, to noise.
        if (*most - *least > 0.02 * *most || std::abs(median(sizes) - 1) > 0.01) return {};
    }
    const double agreement = same_sign / sums;
    if (std::abs(agreement) < 0.95) return {};
    const double size = median(sizes);
    // The sums must say the same factor as the energies.
    double left = 0;
    double energy = 0;
    const double factor = agreement > 0 ? size : -size;
    for (const RowPair& row : rows) {
        left += std::pow(row.b.sum - factor * row.a.sum, 2);
        energy += row.a.energy;
    }
    if (std::sqrt(left / energy) > 0.05 * size) return {};
    return factor;
}

std::string row_text(const SuspectRow& row) {
    return fmt::format("position {}", row.row.position);
}

}  // namespace

Finding finding(std::string name, double confidence, std::string because, std::string falsifier) {
    Finding result;
    result.signature = {std::move(name), confidence, std::move(because), std::move(falsifier)};
    return result;
}

std::optional<Finding> find_nonfinite(const Suspect& suspect) {
    for (const Suspect::InPass& pass : suspect.passes) {
        const std::int64_t a = pass.matrix.a.nonfinite.total();
        const std::int64_t b = pass.matrix.b.nonfinite.total();
        if (a == b) continue;
        const bool is_b = b > a;
        const Nonfinite& more = is_b ? pass.matrix.b.nonfinite : pass.matrix.a.nonfinite;
        std::string where;
        for (const RowPair& row : pass.matrix.rows)
            if (where.empty() && row.a.nonfinite.total() != row.b.nonfinite.total())
                where = fmt::format(", the first at position {}", row.position);
        Finding result = finding("nonfinite", 0.99,
                                 fmt::format("{} has {} NaN and {} infinities here{}; {} has {}",
                                             is_b ? suspect.team_b : suspect.team_a, more.nan,
                                             more.pos_inf + more.neg_inf, where,
                                             is_b ? suspect.team_a : suspect.team_b, is_b ? a : b),
                                 "the same place without NaN or infinities in a second run");
        result.team = is_b ? suspect.team_b : suspect.team_a;
        result.team_because = "its values are not finite, the other engine's are";
        return result;
    }
    return {};
}

std::optional<Finding> find_uninitialised(const Suspect& suspect) {
    for (const SuspectRow* row : suspect.off_rows()) {
        const double a = row->row.a.absmax;
        const double b = row->row.b.absmax;
        const bool huge = std::max(a, b) >= garbage_size && std::min(a, b) < garbage_size / 1e3;
        const bool flood = std::max(a, b) > 1e10 * denormal_size && std::min(a, b) > 0 &&
                           std::min(a, b) < denormal_size;
        if (!huge && !flood) continue;
        const bool is_b = huge ? b > a : b < a;
        Finding result =
            finding("uninitialised", huge ? 0.97 : 0.8,
                    fmt::format("at {} the largest value is {:.2g} in {} and {:.2g} in {}",
                                row_text(*row), b, suspect.team_b, a, suspect.team_a),
                    "the same huge values in a run with the buffer set to zero first");
        result.team = is_b ? suspect.team_b : suspect.team_a;
        result.team_because = "its values are those of memory that nobody wrote";
        return result;
    }
    return {};
}

std::optional<Finding> find_zeros(const Suspect& suspect) {
    const auto off = suspect.off_rows();
    if (off.empty()) return {};
    std::size_t zero_b = 0;
    std::size_t zero_a = 0;
    for (const SuspectRow* row : off) {
        zero_b += row->row.b.absmax == 0 && row->row.b.nonfinite.total() == 0 ? 1 : 0;
        zero_a += row->row.a.absmax == 0 && row->row.a.nonfinite.total() == 0 ? 1 : 0;
    }
    const std::size_t zero = std::max(zero_a, zero_b);
    if (zero * 2 < off.size()) return {};
    const bool is_b = zero_b >= zero_a;
    Finding result = finding(
        "zeros", 0.98,
        fmt::format("{} of {} rows that differ are all zero in {} and not in {}", zero, off.size(),
                    is_b ? suspect.team_b : suspect.team_a, is_b ? suspect.team_a : suspect.team_b),
        "a value other than zero in one of those rows");
    result.team = is_b ? suspect.team_b : suspect.team_a;
    result.team_because = "its values are all zero, the other engine's are not";
    return result;
}

namespace {

/// The sizes of normed rows hardly depend on the noise of their directions: a factor that all rows
/// have in common stands out where the rows themselves are lost in noise.
std::optional<Finding> find_common_size(const Suspect& suspect) {
    constexpr std::size_t enough = 4;
    constexpr double alike = 0.1;
    if (!suspect.same_features) return {};
    if (suspect.step != Step::norm && suspect.step != Step::embedding) return {};
    std::vector<double> factors;
    std::vector<RowPair> rows;
    for (const SuspectRow& row : suspect.rows)
        rows.push_back(row.row);
    if (fit_scale(rows).left > suspect.noise()) return {};
    for (const SuspectRow& row : suspect.rows)
        if (row.row.a.energy > 0) factors.push_back(std::sqrt(row.row.b.energy / row.row.a.energy));
    if (factors.size() < enough) return {};
    const auto [least, most] = std::minmax_element(factors.begin(), factors.end());
    const double factor = median(factors);
    const double change = std::abs(factor - 1);
    if (change < 4 * floors::f32 || *most - *least > alike * change) return {};
    return finding("scale", 0.85,
                   fmt::format("the sizes of all {} rows are {:.4g} to {:.4g} times the "
                               "reference's; their directions differ no more than noise does",
                               factors.size(), *least, *most),
                   "a row whose size changes by another factor");
}

}  // namespace

std::optional<Finding> find_scale(const Suspect& suspect) {
    const std::vector<RowPair> rows = suspect.off_pairs();
    if (rows.empty()) return find_common_size(suspect);
    double factor = 0;
    double left = 0;
    double error = 0;
    if (suspect.same_features) {
        const ScaleFit fit = fit_scale(rows);
        factor = fit.factor;
        left = fit.left;
        error = fit.error;
        double noise = 0;
        for (const SuspectRow* row : suspect.off_rows())
            noise = std::max(noise, row->expected);
        // One row cannot tell a scale from a coincidence by its size alone; the residual can.
        if (left > std::max(noise, 0.005 * error) || left > 0.25 * error)
            return find_common_size(suspect);
    } else {
        const auto found = factor_of_sums(rows);
        if (!found) return {};
        factor = *found;
        error = std::abs(factor - 1);
        // A result that is f times too large is off by 1 - 1/f by the engine's own numbers.
        const auto& proof = suspect.product ? suspect.product->proof_b : std::nullopt;
        if (proof && std::abs(1 - 1 / factor) < 0.3 * error_of(*proof)) return {};
    }
    if (std::abs(factor) < 1e-6 || error <= 0) return {};
    const bool sign = factor < 0;
    const double confidence = suspect.same_features ? 0.96 : 0.88;
    return finding(
        sign ? "sign" : "scale", confidence,
        fmt::format("{} is {:.4g} times {} in all {} rows that differ; what the factor leaves is "
                    "{:.1e} of {:.1e}",
                    suspect.team_b, factor, suspect.team_a, rows.size(), left, error),
        "a row in which the factor is another one");
}

/// Too few rows for a common vector: one number added to every feature is known in advance.
std::optional<Finding> find_constant(const Suspect& suspect) {
    std::vector<DirectionRow> rows;
    const Sketch ones = sketch_of_ones(suspect.cols);
    for (const SuspectRow* row : suspect.off_rows())
        if (row->row.a.sketch && row->row.b.sketch)
            rows.push_back({*row->row.a.sketch, *row->row.b.sketch, {ones}});
    if (rows.empty()) return {};
    const DirectionFit fit = fit_directions(rows);
    if (fit.explained < 0.9) return {};
    return finding("bias", 0.8,
                   fmt::format("{:.0f} % of the difference is one number in every feature "
                               "({:.0f} % would be by chance)",
                               100 * fit.explained, 100 * fit.by_chance),
                   "features that differ by other numbers");
}

std::optional<Finding> find_bias(const Suspect& suspect) {
    if (!suspect.same_features) return {};
    std::vector<Sketch> differences;
    const bool in_stream = suspect.step == Step::norm || suspect.step == Step::embedding;
    for (const SuspectRow* row : suspect.off_rows()) {
        const auto& a = row->row.a;
        const auto& b = row->row.b;
        if (!a.sketch || !b.sketch) continue;
        // Behind a norm a constant comes divided by the size of the row, and the row with it.
        double factor = 1;
        if (in_stream) factor = dot(*a.sketch, *b.sketch) / std::max(squared(*a.sketch), 1e-300);
        differences.push_back(subtracted(*b.sketch, scaled(*a.sketch, factor)));
    }
    if (differences.size() < 3) return find_constant(suspect);
    const CommonLine line = common_line(differences);
    if (line.share < std::max(0.85, 0.5 + 0.5 * line.by_chance)) return {};
    double least = std::abs(line.along.front());
    double most = 0;
    bool one_sign = true;
    for (const double along : line.along) {
        one_sign = one_sign && (along > 0) == (line.along.front() > 0);
        least = std::min(least, std::abs(along));
        most = std::max(most, std::abs(along));
    }
    if (!one_sign || least < (in_stream ? 0.25 : 0.5) * most) return {};
    if (suspect.share_of_fullest_place() > 0.9) return {};  // one feature, not all
    // A few generated rows may well be wrong in a like way, as when one cached row is.
    const auto any = [&](const auto& test) {
        return std::any_of(suspect.rows.begin(), suspect.rows.end(), test);
    };
    const bool has_prompt = any([](const SuspectRow& row) { return row.prefill; });
    const bool prompt_off = any([](const SuspectRow& row) { return row.prefill && row.off(); });
    if (has_prompt && !prompt_off && line.share < 0.98) return {};
    const Sketch ones = sketch_of_ones(suspect.cols);
    const double alike =
        std::abs(dot(ones, line.line)) / std::max(std::sqrt(squared(ones)), 1e-300);
    return finding(
        "bias", 0.92 * line.share,
        fmt::format("the difference is the same vector in all {} rows ({:.1f} % of it){}",
                    differences.size(), 100 * line.share,
                    alike > 0.95 ? ", and the same number in every feature" : ""),
        "a row whose difference points elsewhere");
}

std::optional<Finding> find_low_precision(const Suspect& suspect) {
    const auto own_bits = [](const Arithmetic& engine) {
        return engine.activations == "bf16" ? 8 : engine.activations == "f16" ? 11 : 24;
    };
    for (const bool is_b : {true, false}) {
        const Digits& digits = is_b ? suspect.digits_b : suspect.digits_a;
        const Digits& other = is_b ? suspect.digits_a : suspect.digits_b;
        const int own = own_bits(is_b ? suspect.arithmetic_b : suspect.arithmetic_a);
        if (digits.samples < 4 || digits.most >= own || digits.most >= other.most ||
            digits.most > 12)
            continue;
        // The last digit of a right value is 0 half the time.
        const std::size_t zeros = digits.samples * static_cast<std::size_t>(own - digits.most);
        if (zeros < no_chance) continue;
        Finding result = finding(
            "low_precision", 0.95,
            fmt::format("all {} values that the trace shows have at most {} significant bits in "
                        "{}, {} in {}",
                        digits.samples, digits.most, is_b ? suspect.team_b : suspect.team_a,
                        other.most, is_b ? suspect.team_a : suspect.team_b),
            "a value with more significant bits");
        result.team = is_b ? suspect.team_b : suspect.team_a;
        result.team_because = "its values have fewer significant bits here than elsewhere";
        return result;
    }
    if (suspect.step == Step::attention)
        for (const SuspectRow& row : suspect.rows) {
            // Position 0 sees one value alone, and unchanged.
            const int bits = significant_bits(row.row.b.absmax);
            if (row.row.position != 0 || !row.off() || bits > 8 ||
                significant_bits(row.row.a.absmax) < 16 || own_bits(suspect.arithmetic_b) <= bits)
                continue;
            return finding("low_precision", 0.9,
                           fmt::format("position 0, which sees its own value alone, has {} as its "
                                       "largest, a number of {} significant bits; the reference "
                                       "has {}",
                                       row.row.b.absmax, bits, row.row.a.absmax),
                           "a value of position 0 with more significant bits");
        }
    if (suspect.product && !suspect.same_features) {
        // Without a common order of features the engine's own proof tells the size.
        const auto& proof = suspect.product->proof_b;
        if (!proof || proof->error < 4e-4 || error_of(*proof) > 0.05) return {};
        return finding("low_precision", 0.6,
                       fmt::format("by its own input and weight the result is off by {:.1e}, as "
                                   "after a rounding to a coarse type",
                                   proof->error),
                       "a row of the result with an error that is no rounding");
    }
    if (!suspect.same_features || suspect.share_of_fullest_place() > 0.6) return {};
    // Without exact values: rounding is small, of one relative size, and takes no side.
    double least = 1e300;
    double most = 0;
    double shift = 0;
    std::size_t off = 0;
    for (const SuspectRow& row : suspect.rows) {
        least = std::min(least, row.error);
        most = std::max(most, row.error);
        off += row.off() ? 1 : 0;
        if (row.row.a.energy > 0) shift += row.row.b.energy / row.row.a.energy - 1;
    }
    if (suspect.rows.size() < 3 || off < suspect.rows.size() || most > 0.15 || least <= 0)
        return {};
    shift = std::abs(shift) / static_cast<double>(suspect.rows.size());
    if (most > 8 * least || shift > 0.5 * most) return {};
    return finding(
        "low_precision", shift < 0.05 * most ? 0.65 : 0.55,
        fmt::format("all {} rows are off by a like share, {:.1e} to {:.1e}, and none in a common "
                    "direction: rounding to a coarse type",
                    suspect.rows.size(), least, most),
        "the same difference with the step computed in f32");
}

}  // namespace orch
