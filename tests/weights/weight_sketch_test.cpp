#include "analyzer/weights/weight_sketch.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/half.hpp"
#include "core/hash.hpp"
#include "tests/weights/checkpoint_builder.hpp"

namespace orch {
namespace {

struct Matrix {
    std::string bytes;
    ModelTensor tensor;

    Matrix(std::uint64_t rows, std::uint64_t cols, const std::vector<float>& values,
           std::string_view type = "F32") {
        tensor.type = safetensors_element_type(type);
        for (const float value : values) {
            if (type == "F64") {
                bytes += raw(static_cast<double>(value));
            } else if (type == "BF16") {
                bytes += raw(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
            } else {
                bytes += raw(value);
            }
        }
        tensor.name = "w";
        tensor.rows = static_cast<std::int64_t>(rows);
        tensor.cols = static_cast<std::int64_t>(cols);
        tensor.data = bytes_of_text(bytes);
    }
    Matrix(const Matrix&) = delete;
    Matrix& operator=(const Matrix&) = delete;
};

std::vector<Digest> digests(const ModelTensor& tensor, std::int64_t most_bytes) {
    std::vector<Digest> result;
    for (const RowBlock& block : row_blocks({tensor}, most_bytes))
        result.push_back(digest_rows(tensor, block.first, block.count));
    return result;
}

WeightSketch sketch_of(const ModelTensor& tensor) {
    return WeightSketch{digests(tensor, std::int64_t{1} << 40)};
}

void expect_same(const WeightSketch& a, const WeightSketch& b) {
    EXPECT_EQ(a.energy, b.energy);
    EXPECT_EQ(a.sum, b.sum);
    EXPECT_EQ(a.absmax, b.absmax);
    EXPECT_EQ(a.hash, b.hash);
    EXPECT_EQ(a.sketch, b.sketch);
    ASSERT_EQ(a.rows.size(), b.rows.size());
    for (std::size_t i = 0; i < a.rows.size(); ++i) {
        EXPECT_EQ(a.rows[i].row, b.rows[i].row);
        EXPECT_EQ(a.rows[i].energy, b.rows[i].energy);
        EXPECT_EQ(a.rows[i].argmax, b.rows[i].argmax);
        EXPECT_EQ(a.rows[i].sketch, b.rows[i].sketch);
    }
}

TEST(WeightSketch, IsWhatTheFormatDefines) {
    const std::vector<float> values = some_floats(3 * 40);
    const Matrix matrix{3, 40, values};
    const WeightSketch sketch = sketch_of(matrix.tensor);
    double energy = 0;
    double sum = 0;
    std::uint64_t hash = 0;
    std::array<double, sketch_size> expected{};
    for (std::uint32_t row = 0; row < 3; ++row) {
        std::uint64_t inner = 0;
        for (std::uint32_t col = 0; col < 40; ++col) {
            const float value = values[row * 40 + col];
            const std::uint32_t feature = feature_hash(col);
            energy += static_cast<double>(value) * value;
            sum += value;
            expected[col % 16] += (feature >> 31) != 0 ? -value : value;
            inner += std::uint64_t{std::bit_cast<std::uint32_t>(value)} * (feature | 1);
        }
        hash += position_multiplier(row) * inner;
    }
    EXPECT_EQ(sketch.energy, energy);
    EXPECT_EQ(sketch.sum, sum);
    EXPECT_EQ(sketch.hash, hash);
    EXPECT_EQ(sketch.sketch, expected);
    ASSERT_EQ(sketch.rows.size(), 3U);
    EXPECT_EQ(sketch.rows[2].row, 2);
}

TEST(WeightSketch, PartsAddUpToTheWhole) {
    const Matrix matrix{5000, 24, some_floats(5000 * 24)};
    const auto parts = digests(matrix.tensor, 1);
    ASSERT_EQ(parts.size(), 5U);  // 1024 rows each
    expect_same(WeightSketch{parts}, sketch_of(matrix.tensor));
    std::vector<std::int64_t> rows;
    for (const RowDigest& row : WeightSketch{parts}.rows)
        rows.push_back(row.row);
    EXPECT_EQ(rows, (std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 4999}));
}

TEST(WeightSketch, BlocksCoverEachRowOnceAndLeaveOutWhatIsLeftOut) {
    const Matrix big{3000, 8, some_floats(3000 * 8)};
    const Matrix one{1, 8, some_floats(8)};
    ModelTensor none = one.tensor;
    none.left_out = "reason";
    const auto blocks = row_blocks({none, big.tensor, one.tensor}, 2048 * 32);
    ASSERT_EQ(blocks.size(), 3U);
    EXPECT_EQ(blocks[0].tensor, 1U);
    EXPECT_EQ(blocks[0].count, 2048);
    EXPECT_EQ(blocks[1].first, 2048);
    EXPECT_EQ(blocks[1].count, 952);
    EXPECT_EQ(blocks[2].tensor, 2U);
    EXPECT_EQ(blocks[2].count, 1);
}

TEST(WeightSketch, AWeightOfASmallBlockIsNotCut) {
    const Matrix matrix{1500, 8, some_floats(1500 * 8)};
    EXPECT_EQ(row_blocks({matrix.tensor}, 1500 * 32).size(), 1U);
    EXPECT_EQ(row_blocks({matrix.tensor}, 1024 * 32).size(), 2U);
}

TEST(WeightSketch, ATransposedTensorIsThatOfItsTranspose) {
    for (const char* type : {"F32", "BF16", "F64"}) {
        const std::vector<float> values = some_floats(7 * 2100);
        std::vector<float> turned(values.size());
        for (std::size_t row = 0; row < 7; ++row) {
            for (std::size_t col = 0; col < 2100; ++col)
                turned[col * 7 + row] = values[row * 2100 + col];
        }
        const Matrix straight{7, 2100, values, type};
        Matrix other{2100, 7, turned, type};
        other.tensor.transposed = true;
        EXPECT_EQ(other.tensor.outputs(), 7);
        expect_same(sketch_of(other.tensor), sketch_of(straight.tensor));
        EXPECT_EQ(first_values(other.tensor, 10), first_values(straight.tensor, 10)) << type;

        Matrix tall{7, 2100, values, type};
        tall.tensor.transposed = true;  // 2100 outputs
        const Matrix whole{2100, 7, turned, type};
        expect_same(WeightSketch{digests(tall.tensor, 1)}, sketch_of(whole.tensor));
    }
}

TEST(WeightSketch, DataMayBeginAnywhere) {
    const std::vector<float> values = some_floats(4 * 100);
    for (const char* type : {"F32", "BF16", "F64"}) {
        const Matrix matrix{4, 100, values, type};
        for (std::size_t shift = 1; shift < 8; ++shift) {
            const std::string moved = std::string(shift, 'x') + matrix.bytes;
            ModelTensor tensor = matrix.tensor;
            tensor.data = bytes_of_text(moved).subspan(shift);
            expect_same(sketch_of(tensor), sketch_of(matrix.tensor));
            EXPECT_EQ(first_values(tensor, 10), first_values(matrix.tensor, 10));
        }
    }
}

TEST(WeightSketch, BlocksOfOneByteAreRead) {
    ModelTensor tensor;
    tensor.type = safetensors_element_type("F8_E4M3");
    const std::string bytes(64, '\x38');  // 1
    tensor.rows = 4;
    tensor.cols = 16;
    tensor.data = bytes_of_text(bytes);
    const WeightSketch sketch = sketch_of(tensor);
    EXPECT_EQ(sketch.sum, 64);
    EXPECT_EQ(first_values(tensor, 3), (std::vector<double>{1, 1, 1}));
}

TEST(WeightSketch, WhatIsNotFiniteIsCounted) {
    std::vector<float> values = some_floats(2000 * 8);
    values[3] = NAN;
    values[1999 * 8] = INFINITY;
    values[1025 * 8] = -INFINITY;
    const Matrix matrix{2000, 8, values};
    const WeightSketch sketch{digests(matrix.tensor, 1)};
    EXPECT_EQ(sketch.nonfinite.nan, 1U);
    EXPECT_EQ(sketch.nonfinite.pos_inf, 1U);
    EXPECT_EQ(sketch.nonfinite.neg_inf, 1U);
    EXPECT_TRUE(std::isfinite(sketch.energy));
}

}  // namespace
}  // namespace orch
