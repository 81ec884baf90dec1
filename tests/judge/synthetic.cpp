#include "synthetic.hpp"

#include <cmath>
#include <random>

#include "core/hash.hpp"

namespace orch::synthetic {

Row random_row(std::size_t cols, unsigned seed) {
    std::mt19937_64 bits{seed};
    std::normal_distribution<double> normal;
    Row row(cols);
    for (double& value : row)
        value = normal(bits);
    return row;
}

Matrix random_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
    Matrix matrix;
    for (std::size_t r = 0; r < rows; ++r)
        matrix.push_back(random_row(cols, seed * 1000 + static_cast<unsigned>(r)));
    return matrix;
}

Sketch sketch_of(const Row& row) {
    Sketch sketch{};
    for (std::size_t n = 0; n < row.size(); ++n) {
        const bool minus = (feature_hash(static_cast<std::uint32_t>(n)) >> 31U) != 0;
        if (std::isfinite(row[n])) sketch[n % 16] += minus ? -row[n] : row[n];
    }
    return sketch;
}

RowDigest digest_of(const Row& row) {
    RowDigest digest;
    digest.sketch = sketch_of(row);
    for (std::size_t n = 0; n < row.size(); ++n) {
        if (!std::isfinite(row[n])) {
            (std::isnan(row[n]) ? digest.nonfinite.nan
             : row[n] > 0       ? digest.nonfinite.pos_inf
                                : digest.nonfinite.neg_inf)++;
            continue;
        }
        digest.energy += row[n] * row[n];
        digest.sum += row[n];
        digest.absmax = std::max(digest.absmax, std::abs(row[n]));
        if (!digest.max || row[n] > *digest.max) {
            digest.max = row[n];
            digest.argmax = static_cast<std::int64_t>(n);
        }
    }
    return digest;
}

Side side_of(const Matrix& matrix, std::int64_t first) {
    Side side;
    side.dtype = "f32";
    side.rows = static_cast<std::int64_t>(matrix.size());
    side.cols = static_cast<std::int64_t>(matrix.front().size());
    side.mixed = Sketch{};
    for (std::size_t r = 0; r < matrix.size(); ++r) {
        const RowDigest row = digest_of(matrix[r]);
        const double sign = position_sign(first + static_cast<std::int64_t>(r));
        side.energy += row.energy;
        side.sum += row.sum;
        side.absmax = std::max(side.absmax, row.absmax);
        side.nonfinite.nan += row.nonfinite.nan;
        side.nonfinite.pos_inf += row.nonfinite.pos_inf;
        side.nonfinite.neg_inf += row.nonfinite.neg_inf;
        side.mixed = added(*side.mixed, scaled(*row.sketch, sign));
        if (r + 1 == matrix.size() && r > 0) side.last_row = row;
    }
    return side;
}

PlacedRows placed_of(const Matrix& matrix, std::int64_t first) {
    PlacedRows placed;
    placed.side = side_of(matrix, first);
    placed.first = placed.sign_of_0 = first;
    placed.contiguous = true;
    for (std::size_t r = 0; r < matrix.size(); ++r) {
        const std::int64_t position = first + static_cast<std::int64_t>(r);
        placed.rows.emplace(position, digest_of(matrix[r]));
        placed.values.emplace(position, Row(matrix[r].begin(), matrix[r].begin() + 10));
    }
    return placed;
}

MatrixPair pair_of(const Matrix& a, const Matrix& b, std::int64_t first, bool same_features) {
    return pair_rows(placed_of(a, first), placed_of(b, first), same_features);
}

Matrix changed(const Matrix& matrix, const std::function<void(Row&, std::size_t)>& change) {
    Matrix result = matrix;
    for (std::size_t r = 0; r < result.size(); ++r)
        change(result[r], r);
    return result;
}

Matrix noisy(const Matrix& matrix, double size, unsigned seed) {
    return changed(matrix, [&](Row& row, std::size_t r) {
        const Row noise = random_row(row.size(), seed * 7919 + static_cast<unsigned>(r));
        for (std::size_t n = 0; n < row.size(); ++n)
            row[n] += size * noise[n];
    });
}

Suspect suspect_of(Step step, const Passes& passes, double expected, bool same_features) {
    Suspect suspect;
    suspect.step = step;
    suspect.layer = 2;
    suspect.label = "place";
    suspect.team_a = "left";
    suspect.team_b = "right";
    suspect.same_features = same_features;
    suspect.expected = expected;
    std::int64_t position = 0;
    for (std::size_t i = 0; i < passes.a.size(); ++i) {
        Suspect::InPass pass;
        pass.pass = static_cast<int>(i);
        pass.prefill = passes.a[i].size() > 1;
        pass.matrix = pair_of(passes.a[i], passes.b[i], position, same_features);
        pass.expected = expected;
        suspect.cols = pass.matrix.b.cols;
        for (const RowPair& row : pass.matrix.rows) {
            SuspectRow one{pass.pass, pass.prefill, row, row_error(row.a, row.b, same_features),
                           expected};
            suspect.error = std::max(suspect.error, one.error);
            suspect.rows.push_back(one);
            NormRow norm;
            norm.at = one;
            suspect.norm_rows.push_back(norm);
        }
        const Digits a = digits_of(pass.matrix, false);
        const Digits b = digits_of(pass.matrix, true);
        suspect.digits_a.most = std::max(suspect.digits_a.most, a.most);
        suspect.digits_b.most = std::max(suspect.digits_b.most, b.most);
        suspect.digits_a.samples += a.samples;
        suspect.digits_b.samples += b.samples;
        suspect.passes.push_back(std::move(pass));
        position += static_cast<std::int64_t>(passes.a[i].size());
    }
    return suspect;
}

}  // namespace orch::synthetic
