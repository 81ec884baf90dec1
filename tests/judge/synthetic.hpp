// Digests of matrices that a test makes up, by the formulas of docs/FORMAT.md in double.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analyzer/judge/placed_rows.hpp"
#include "analyzer/judge/suspect.hpp"

namespace orch::synthetic {

using Row = std::vector<double>;
using Matrix = std::vector<Row>;

/// Normal values of size 1, the same for the same seed.
Row random_row(std::size_t cols, unsigned seed);
Matrix random_matrix(std::size_t rows, std::size_t cols, unsigned seed);

Sketch sketch_of(const Row& row);
RowDigest digest_of(const Row& row);
/// Rows at positions first, first + 1, …
Side side_of(const Matrix& matrix, std::int64_t first);
PlacedRows placed_of(const Matrix& matrix, std::int64_t first);
MatrixPair pair_of(const Matrix& a, const Matrix& b, std::int64_t first, bool same_features = true);

Matrix changed(const Matrix& matrix, const std::function<void(Row&, std::size_t)>& change);
/// With independent errors of that relative size.
Matrix noisy(const Matrix& matrix, double size, unsigned seed);

/// One or more passes of a suspect: the first has several tokens, each further one follows it.
struct Passes {
    std::vector<Matrix> a;
    std::vector<Matrix> b;
};
Suspect suspect_of(Step step, const Passes& passes, double expected, bool same_features = true);

}  // namespace orch::synthetic
