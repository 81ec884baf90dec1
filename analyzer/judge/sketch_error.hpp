// What sketches and the sums beside them say about the difference of two rows or matrices.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "analyzer/read/records.hpp"

namespace orch {

double dot(const Sketch& a, const Sketch& b);
double squared(const Sketch& s);
Sketch scaled(const Sketch& s, double factor);
Sketch added(const Sketch& a, const Sketch& b);
Sketch subtracted(const Sketch& a, const Sketch& b);

/// The sketch of a row of `cols` ones: what a constant that is added everywhere looks like.
Sketch sketch_of_ones(std::int64_t cols);

/// A side of one row as a row digest; `position` is what the sign of its mixed sketch is keyed by.
RowDigest as_row(const Side& side, std::int64_t position);

/// One row on both sides.
struct RowPair {
    std::int64_t position = 0;
    RowDigest a;
    RowDigest b;
};

/// The difference of two rows relative to the reference's: from the sketches where the features
/// stand in the same order; else from what no order changes: sums, which give one sample of the
/// error where sketches give sixteen, and energies, which give a lower bound.
double row_error(const RowDigest& a, const RowDigest& b, bool same_features);

/// The same for numbers of whole matrices.
/// Differences of many rows may share a sign, so the sum of `rows` rows says less than that of one.
double sum_error(double energy_a, double sum_a, double energy_b, double sum_b, std::int64_t rows);
double sketch_error(const Sketch& a, const Sketch& b, double energy_a);

/// b ≈ factor · a over all rows. `left` is what remains, `error` what there was without the
/// factor, both relative to the energy of a.
struct ScaleFit {
    double factor = 1;
    double error = 0;
    double left = 0;
};
ScaleFit fit_scale(std::span<const RowPair> rows);

/// Per row b ≈ s · a + Σ t · v with the same directions v for no two rows: how much of what
/// b ≈ s · a leaves is explained by the directions. The factors t / s are in units of the v.
struct DirectionFit {
    double explained = 0;                      ///< share of the squares, 0 to 1
    double by_chance = 0;                      ///< what unrelated directions would explain
    std::vector<std::vector<double>> factors;  ///< per row, per direction
};
struct DirectionRow {
    Sketch a{};
    Sketch b{};
    std::vector<Sketch> directions;
};
DirectionFit fit_directions(std::span<const DirectionRow> rows);

/// How much of the squares of many differences lies along one common line, and along which.
struct CommonLine {
    double share = 0;
    double by_chance = 0;  ///< for as many random differences
    Sketch line{};
    std::vector<double> along;  ///< the factor of each difference
};
CommonLine common_line(std::span<const Sketch> differences);

/// Binary digits that the significand of an f32 uses: 1 to 24.
int significant_bits(double value);

double median(std::vector<double> values);  ///< 0 of none

}  // namespace orch
