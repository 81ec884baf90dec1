#include "analyzer/selftest/matrix.hpp"

#include <algorithm>
#include <array>

namespace orch::selftest {

Matrix times_transposed(const Matrix& x, const Matrix& w, int lanes) {
    constexpr int most_lanes = 8;
    const int used = std::clamp(lanes, 1, most_lanes);
    Matrix y(x.rows, w.rows);
    for (std::int64_t r = 0; r < x.rows; ++r) {
        for (std::int64_t n = 0; n < w.rows; ++n) {
            std::array<float, most_lanes> sum{};
            for (std::int64_t k = 0; k < x.cols; ++k)
                sum[static_cast<std::size_t>(k % used)] += x.at(r, k) * w.at(n, k);
            for (const float part : sum)
                y.at(r, n) += part;
        }
    }
    return y;
}

Matrix rows_of(const Matrix& m, std::int64_t begin, std::int64_t end) {
    Matrix part(end - begin, m.cols);
    std::copy(m.row(begin), m.row(begin) + part.rows * m.cols, part.values.begin());
    return part;
}

Matrix columns_of(const Matrix& m, std::int64_t begin, std::int64_t end) {
    Matrix part(m.rows, end - begin);
    for (std::int64_t r = 0; r < m.rows; ++r)
        std::copy(m.row(r) + begin, m.row(r) + end, part.row(r));
    return part;
}

Matrix stacked(const std::vector<const Matrix*>& parts) {
    Matrix all;
    for (const Matrix* part : parts) {
        all.cols = part->cols;
        all.rows += part->rows;
        all.values.insert(all.values.end(), part->values.begin(), part->values.end());
    }
    return all;
}

}  // namespace orch::selftest
