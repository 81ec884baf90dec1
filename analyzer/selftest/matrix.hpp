// Rows of floats: as much linear algebra as a small Llama needs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace orch::selftest {

struct Matrix {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::vector<float> values;

    Matrix() = default;
    Matrix(std::int64_t r, std::int64_t c)
        : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}

    float* row(std::int64_t r) { return values.data() + r * cols; }
    const float* row(std::int64_t r) const { return values.data() + r * cols; }
    float& at(std::int64_t r, std::int64_t c) { return row(r)[c]; }
    float at(std::int64_t r, std::int64_t c) const { return row(r)[c]; }
};

/// x·Wᵀ. `lanes` accumulators per sum: engines add up in orders of their own.
Matrix times_transposed(const Matrix& x, const Matrix& w, int lanes);
Matrix rows_of(const Matrix& m, std::int64_t begin, std::int64_t end);
Matrix columns_of(const Matrix& m, std::int64_t begin, std::int64_t end);
/// One above the other.
Matrix stacked(const std::vector<const Matrix*>& parts);

}  // namespace orch::selftest
