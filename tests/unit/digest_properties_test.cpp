#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "core/digest.hpp"
#include "core/hash.hpp"
#include "tests/unit/digest_reference.hpp"

namespace orch {
namespace {

// ---- The hashes that everything rests on. -------------------------------------------------------

TEST(SketchHash, IsTheWrittenContract) {
    // Computed apart, in Python, from the constants of docs/FORMAT.md.
    EXPECT_EQ(feature_hash(0), 0x01fce552U);
    EXPECT_EQ(feature_hash(1), 0x9f505634U);
    EXPECT_EQ(feature_hash(2), 0x079f4eceU);
    EXPECT_EQ(feature_hash(1000), 0x37e6e4eeU);
    EXPECT_EQ(feature_hash(262144), 0x4ed5411aU);
    EXPECT_EQ(feature_hash(4294967295U), 0xa4f7896cU);
    EXPECT_EQ(position_multiplier(0), 0xe220a8397b1dcdafULL);
    EXPECT_EQ(position_multiplier(1), 0x910a2dec89025cc1ULL);
    EXPECT_EQ(position_multiplier(77), 0x6258cbe07c1ff081ULL);
    constexpr float signs[] = {1, -1, 1, 1, -1, -1, 1, 1, 1, 1, 1, 1, -1, -1, -1, 1};
    for (int p = 0; p < 16; ++p)
        EXPECT_EQ(position_sign(p), signs[p]) << p;
    EXPECT_EQ(position_sign(1000000), 1);
}

TEST(SketchHash, SignsAreBalanced) {
    double features = 0;
    double positions = 0;
    for (int i = 0; i < 100'000; ++i) {
        features += feature_sign(i);
        positions += position_sign(i);
    }
    EXPECT_LT(std::fabs(features), 1500);  // five standard deviations are 1581
    EXPECT_LT(std::fabs(positions), 1500);
}

// ---- What the sketches promise. -----------------------------------------------------------------

TEST(MixedSketch, AddsUpOverChunksOfRows) {
    const Shape shape{300, 130};
    for (Kind kind : kinds) {
        const Buffer b = whole_numbers(kind, shape);
        const Digest whole = digest_of(b, from_position(40));
        for (std::int64_t chunk : {1, 7, 128}) {
            Sketch sum{};
            std::uint64_t hash = 0;
            double energy = 0;
            for (std::int64_t r = 0; r < shape.rows; r += chunk) {
                MatrixView part = b.view;
                part.rows = std::min(chunk, shape.rows - r);
                const auto size = kind == Kind::block32 || kind == Kind::block256
                                      ? 1
                                      : static_cast<std::int64_t>(element_size(part.dtype));
                part.data = b.memory.data() + r * part.row_stride * size;
                const Digest d = digest_of(part, from_position(40 + r));
                for (std::size_t j = 0; j < 16; ++j)
                    sum[j] += d.mixed[j];
                hash += d.hash;
                energy += d.energy;
            }
            EXPECT_EQ(sum, whole.mixed);
            EXPECT_EQ(hash, whole.hash);
            EXPECT_EQ(energy, whole.energy);
        }
    }
}

TEST(MixedSketch, IsLinear) {
    for (Shape shape : shapes) {
        const std::vector<float> a = whole_numbers(Kind::f32, shape, {}, 10).values;
        const std::vector<float> b = whole_numbers(Kind::f32, shape, {}, 11).values;
        std::vector<float> sum(a.size());
        for (std::size_t i = 0; i < a.size(); ++i)
            sum[i] = a[i] + b[i];
        const Digest of_a = digest_of(f32_buffer(shape, a));
        const Digest of_b = digest_of(f32_buffer(shape, b));
        const Digest of_sum = digest_of(f32_buffer(shape, sum));
        for (std::size_t j = 0; j < 16; ++j) {
            EXPECT_EQ(of_sum.mixed[j], of_a.mixed[j] + of_b.mixed[j]);
            EXPECT_EQ(of_sum.row[0].sketch[j], of_a.row[0].sketch[j] + of_b.row[0].sketch[j]);
        }
    }
}

TEST(MixedSketch, OfOneRowIsItsSketchTimesTheSignOfItsPosition) {
    const Buffer b = whole_numbers(Kind::f32, {1, 77});
    for (std::int64_t p = 0; p < 20; ++p) {
        const Digest d = digest_of(b, from_position(p));
        for (std::size_t j = 0; j < 16; ++j)
            EXPECT_EQ(d.mixed[j], position_sign(p) * d.row[0].sketch[j]);
    }
}

DigestRequest weight_request() {
    DigestRequest request;
    request.sign_rows = false;
    return request;
}

TEST(WeightSketch, IsThatOfTheSumOfAllRows) {
    for (Kind kind : kinds) {
        const Buffer b = whole_numbers(kind, {300, 1100});
        expect_digest(b, weight_request(), 0);
        std::vector<float> columns(static_cast<std::size_t>(b.view.cols));
        for (std::int64_t r = 0; r < b.view.rows; ++r) {
            for (std::int64_t c = 0; c < b.view.cols; ++c)
                columns[static_cast<std::size_t>(c)] += b.at(r, c);
        }
        const Digest of_columns =
            digest_of(f32_buffer({1, b.view.cols}, columns), weight_request());
        EXPECT_EQ(digest_of(b, weight_request()).mixed, of_columns.mixed);
    }
}

TEST(WeightSketch, DoesNotChangeWhenRowsAreReordered) {
    const Shape shape{200, 90};
    const std::vector<float> values = whole_numbers(Kind::f32, shape).values;
    std::vector<std::size_t> order(200);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), std::mt19937(12));
    std::vector<float> shuffled;
    for (std::size_t r : order) {
        const auto row = values.begin() + static_cast<std::ptrdiff_t>(r * 90);
        shuffled.insert(shuffled.end(), row, row + 90);
    }
    const Digest before = digest_of(f32_buffer(shape, values), weight_request());
    const Digest after = digest_of(f32_buffer(shape, shuffled), weight_request());
    EXPECT_EQ(before.mixed, after.mixed);
    EXPECT_NE(before.hash, after.hash);
    EXPECT_NE(digest_of(f32_buffer(shape, values)).mixed,
              digest_of(f32_buffer(shape, shuffled)).mixed);
}

TEST(WeightSketch, AddsUpOverWeightsThatAreStackedIntoOne) {
    const Buffer q = whole_numbers(Kind::f32, {40, 64}, {}, 13);
    const Buffer k = whole_numbers(Kind::f32, {10, 64}, {}, 14);
    const Buffer v = whole_numbers(Kind::f32, {10, 64}, {}, 15);
    std::vector<float> stacked;
    Sketch sum{};
    for (const Buffer* part : {&q, &k, &v}) {
        stacked.insert(stacked.end(), part->values.begin(), part->values.end());
        const Digest d = digest_of(*part, weight_request());
        for (std::size_t j = 0; j < 16; ++j)
            sum[j] += d.mixed[j];
    }
    EXPECT_EQ(digest_of(f32_buffer({60, 64}, stacked), weight_request()).mixed, sum);
}

TEST(WeightSketch, OfManyRowsKeepsItsDigits) {
    // 150,000 rows of about 1000: one f32 accumulator would lose the last three digits.
    const Shape shape{150'000, 16};
    std::vector<float> values = normal_values(shape, 16);
    for (float& v : values)
        v += 1000;
    const Buffer b = f32_buffer(shape, values);
    const Digest d = digest_of(b, weight_request());
    const Naive wanted = naive_digest(b, weight_request());
    for (std::size_t j = 0; j < 16; ++j)
        EXPECT_NEAR(d.mixed[j] / wanted.all.sketch[j], 1, 1e-6) << j;
}

// ---- Buffer hash. -------------------------------------------------------------------------------

TEST(BufferHash, OfEqualDataIsEqualWhateverTheLayoutInMemory) {
    for (Shape shape : {Shape{1, 1}, Shape{3, 17}, Shape{9, 1025}}) {
        const std::vector<float> values = normal_values(shape, 17);
        const std::uint64_t hash = digest_of(f32_buffer(shape, values)).hash;
        EXPECT_EQ(digest_of(f32_buffer(shape, values, {9, 1, false})).hash, hash);
        EXPECT_EQ(digest_of(f32_buffer(shape, values, {0, 2, false})).hash, hash);
        EXPECT_EQ(digest_of(f32_buffer(shape, values, {0, 1, true})).hash, hash);
    }
    for (Kind kind : {Kind::f64, Kind::f16, Kind::bf16}) {
        const std::uint64_t hash = digest_of(whole_numbers(kind, {9, 1025})).hash;
        EXPECT_EQ(digest_of(whole_numbers(kind, {9, 1025}, {9, 1, false})).hash, hash);
        EXPECT_EQ(digest_of(whole_numbers(kind, {9, 1025}, {0, 1, true})).hash, hash);
    }
}

TEST(BufferHash, DoesNotDependOnTheOrderOfTheRowsButOnTheirPositions) {
    const std::vector<float> values = normal_values({2, 20}, 18);
    std::vector<float> swapped(values.begin() + 20, values.end());
    swapped.insert(swapped.end(), values.begin(), values.begin() + 20);
    const std::int32_t positions[] = {1, 0};
    DigestRequest request;
    request.positions.list = positions;
    const std::uint64_t hash = digest_of(f32_buffer({2, 20}, values)).hash;
    EXPECT_EQ(digest_of(f32_buffer({2, 20}, swapped), request).hash, hash);
    EXPECT_NE(digest_of(f32_buffer({2, 20}, swapped)).hash, hash);
}

TEST(BufferHash, ChangesWithEverySingleBit) {
    for (Kind kind : {Kind::f32, Kind::f16, Kind::bf16}) {
        Buffer b = whole_numbers(kind, {3, 17});
        const std::uint64_t hash = digest_of(b).hash;
        for (std::size_t bit = 0; bit < b.memory.size() * 8; ++bit) {
            b.memory[bit / 8] = static_cast<char>(b.memory[bit / 8] ^ (1 << bit % 8));
            ASSERT_NE(digest_of(b).hash, hash) << "bit " << bit;
            b.memory[bit / 8] = static_cast<char>(b.memory[bit / 8] ^ (1 << bit % 8));
        }
        ASSERT_EQ(digest_of(b).hash, hash);
    }
}

TEST(BufferHash, ChangesWhenTwoValuesTradePlaces) {
    Buffer b = f32_buffer({1, 40}, normal_values({1, 40}, 19));
    const std::uint64_t hash = digest_of(b).hash;
    for (std::size_t i = 0; i + 1 < 40; ++i) {
        std::vector<float> values = b.values;
        std::swap(values[i], values[i + 1]);
        EXPECT_NE(digest_of(f32_buffer({1, 40}, values)).hash, hash);
    }
}

}  // namespace
}  // namespace orch
