#include "analyzer/judge/sketch_error.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/hash.hpp"

namespace orch {
namespace {

constexpr std::size_t places = std::tuple_size_v<Sketch>;
constexpr double nothing = 1e-300;

/// Solves the normal equations of a few unknowns; what is not determined becomes 0.
std::vector<double> least_squares(const std::vector<Sketch>& columns, const Sketch& target) {
    const std::size_t n = columns.size();
    std::vector<std::vector<double>> m(n, std::vector<double>(n + 1));
    double size = nothing;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j)
            m[i][j] = dot(columns[i], columns[j]);
        m[i][n] = dot(columns[i], target);
        size = std::max(size, m[i][i]);
    }
    std::vector<bool> used(n, false);
    for (std::size_t i = 0; i < n; ++i) {
        if (m[i][i] <= 1e-12 * size) continue;
        used[i] = true;
        for (std::size_t j = 0; j < n; ++j) {
            if (j == i) continue;
            const double factor = m[j][i] / m[i][i];
            for (std::size_t k = 0; k <= n; ++k)
                m[j][k] -= factor * m[i][k];
        }
    }
    std::vector<double> solution(n, 0);
    for (std::size_t i = 0; i < n; ++i)
        if (used[i]) solution[i] = m[i][n] / m[i][i];
    return solution;
}

}  // namespace

double dot(const Sketch& a, const Sketch& b) {
    double sum = 0;
    for (std::size_t j = 0; j < places; ++j)
        sum += a[j] * b[j];
    return sum;
}

double squared(const Sketch& s) {
    return dot(s, s);
}

Sketch scaled(const Sketch& s, double factor) {
    Sketch result = s;
    for (double& value : result)
        value *= factor;
    return result;
}

Sketch added(const Sketch& a, const Sketch& b) {
    Sketch result = a;
    for (std::size_t j = 0; j < places; ++j)
        result[j] += b[j];
    return result;
}

Sketch subtracted(const Sketch& a, const Sketch& b) {
    return added(a, scaled(b, -1));
}

Sketch sketch_of_ones(std::int64_t cols) {
    Sketch result{};
    for (std::int64_t n = 0; n < cols; ++n) {
        const bool minus = (feature_hash(static_cast<std::uint32_t>(n)) >> 31U) != 0;
        result[static_cast<std::size_t>(n) % places] += minus ? -1 : 1;
    }
    return result;
}

RowDigest as_row(const Side& side, std::int64_t position) {
    if (side.last_row) return *side.last_row;
    RowDigest row{side.energy, side.sum, side.absmax, side.max, side.argmax, side.nonfinite, {}};
    if (side.mixed) row.sketch = scaled(*side.mixed, position_sign(position));
    return row;
}

double sketch_error(const Sketch& a, const Sketch& b, double energy_a) {
    const double difference = squared(subtracted(b, a));
    if (difference == 0) return 0;
    return std::sqrt(difference / std::max(energy_a, nothing));
}

double sum_error(double energy_a, double sum_a, double energy_b, double sum_b, std::int64_t rows) {
    const double norm_a = std::sqrt(std::max(energy_a, nothing));
    const double shared = std::sqrt(static_cast<double>(std::max<std::int64_t>(1, rows)));
    const double by_energy = std::abs(std::sqrt(energy_b) - std::sqrt(energy_a));
    return std::max(by_energy, std::abs(sum_b - sum_a) / shared) / norm_a;
}

double row_error(const RowDigest& a, const RowDigest& b, bool same_features) {
    if (same_features && a.sketch && b.sketch) return sketch_error(*a.sketch, *b.sketch, a.energy);
    return sum_error(a.energy, a.sum, b.energy, b.sum, 1);
}

ScaleFit fit_scale(std::span<const RowPair> rows) {
    double aa = 0;
    double ab = 0;
    double bb = 0;
    double energy = 0;
    for (const RowPair& row : rows) {
        if (!row.a.sketch || !row.b.sketch) continue;
        aa += squared(*row.a.sketch);
        ab += dot(*row.a.sketch, *row.b.sketch);
        bb += squared(*row.b.sketch);
        energy += row.a.energy;
    }
    ScaleFit fit;
    if (aa <= 0 || energy <= 0) return fit;
    fit.factor = ab / aa;
    fit.error = std::sqrt(std::max(0.0, bb - 2 * ab + aa) / energy);
    fit.left = std::sqrt(std::max(0.0, bb - ab * ab / aa) / energy);
    return fit;
}

DirectionFit fit_directions(std::span<const DirectionRow> rows) {
    DirectionFit fit;
    double before = 0;
    double after = 0;
    double chance = 0;
    for (const DirectionRow& row : rows) {
        const double alone = dot(row.a, row.b) / std::max(squared(row.a), nothing);
        const double open = squared(subtracted(row.b, scaled(row.a, alone)));
        std::vector<Sketch> columns = {row.a};
        columns.insert(columns.end(), row.directions.begin(), row.directions.end());
        const std::vector<double> x = least_squares(columns, row.b);
        Sketch left = row.b;
        for (std::size_t i = 0; i < columns.size(); ++i)
            left = subtracted(left, scaled(columns[i], x[i]));
        before += open;
        after += std::min(open, squared(left));
        chance += open * static_cast<double>(row.directions.size()) / (places - 1);
        std::vector<double> factors(x.begin() + 1, x.end());
        for (double& factor : factors)
            factor /= std::abs(x[0]) < nothing ? nothing : x[0];
        fit.factors.push_back(std::move(factors));
    }
    if (before > 0) {
        fit.explained = 1 - after / before;
        fit.by_chance = chance / before;
    }
    return fit;
}

CommonLine common_line(std::span<const Sketch> differences) {
    CommonLine result;
    double total = 0;
    for (const Sketch& d : differences) {
        total += squared(d);
        if (squared(d) > squared(result.line)) result.line = d;
    }
    if (total <= 0) return result;
    // Power iteration from the largest difference: sixteen dimensions, a few rows.
    for (int round = 0; round < 50; ++round) {
        Sketch next{};
        for (const Sketch& d : differences)
            next = added(next, scaled(d, dot(d, result.line)));
        const double size = std::sqrt(squared(next));
        if (size <= 0) break;
        result.line = scaled(next, 1 / size);
    }
    double along = 0;
    for (const Sketch& d : differences) {
        result.along.push_back(dot(d, result.line));
        along += result.along.back() * result.along.back();
    }
    result.share = along / total;
    const auto count = static_cast<double>(differences.size());
    result.by_chance = std::min(1.0, 1 / count + std::sqrt((count - 1) / count / places));
    return result;
}

int significant_bits(double value) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value)) & 0x7fffffU;
    return bits == 0 ? 1 : 24 - std::countr_zero(bits);
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

}  // namespace orch
