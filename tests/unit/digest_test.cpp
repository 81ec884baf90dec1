#include "core/digest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "tests/unit/digest_reference.hpp"

namespace orch {
namespace {

// ---- Against the slow implementation. -----------------------------------------------------------

TEST(Digest, OfWholeNumbersIsExactForEveryShapeAndType) {
    for (Kind kind : kinds) {
        for (Shape shape : shapes)
            expect_digest(whole_numbers(kind, shape), {}, 0);
    }
}

TEST(Digest, OfPaddedRowsStridedColumnsAndTransposesIsExact) {
    constexpr Layout layouts[] = {
        {7, 1, false}, {0, 3, false}, {5, 2, false}, {0, 1, true}, {3, 1, true}};
    for (Kind kind : {Kind::f32, Kind::f64, Kind::f16, Kind::bf16}) {
        for (Layout layout : layouts) {
            for (Shape shape : {Shape{1, 16}, Shape{3, 17}, Shape{5, 1025}, Shape{40, 33}})
                expect_digest(whole_numbers(kind, shape, layout), {}, 0);
        }
    }
    for (Kind kind : {Kind::block32, Kind::block256})
        expect_digest(whole_numbers(kind, {5, 1025}, {12, 1, false}), {}, 0);
}

TEST(Digest, OfRealValuesIsThatOfDoubleArithmeticWithinRounding) {
    for (Shape shape : shapes)
        expect_digest(f32_buffer(shape, normal_values(shape, 3)), {}, 1e-5);
    expect_digest(f32_buffer({64, 3000}, normal_values({64, 3000}, 4, 1e-12F)), {}, 1e-5);
}

TEST(Digest, OfRandom16BitPatternsCountsInfinitiesAndDenormals) {
    std::mt19937 random(5);
    for (DType type : {DType::f16, DType::bf16}) {
        for (Shape shape : {Shape{1, 1}, Shape{3, 17}, Shape{17, 1025}}) {
            std::vector<std::uint16_t> patterns(static_cast<std::size_t>(shape.rows * shape.cols));
            for (auto& p : patterns) {
                p = static_cast<std::uint16_t>(random());
                // bfloat16 reaches 3e38: keep the sums within float, all other fields as they fall.
                if (type == DType::bf16 && (p & 0x7f80) != 0x7f80) p &= 0xbfffU;
            }
            expect_digest(half_buffer(type, shape, patterns), {}, 1e-5);
            expect_digest(half_buffer(type, shape, patterns, {0, 2, false}), {}, 1e-5);
        }
    }
}

TEST(Digest, OfEvery16BitPatternAloneIsExact) {
    for (DType type : {DType::f16, DType::bf16}) {
        for (unsigned bits = 0; bits < 65536; bits += 7) {  // 7 and 65536 share no factor
            const auto pattern = static_cast<std::uint16_t>(bits);
            const Buffer b = half_buffer(type, {1, 1}, {pattern});
            const Digest d = digest_of(b);
            const float value = b.values[0];
            const bool finite = std::isfinite(value);
            ASSERT_EQ(d.argmax, finite ? 0 : -1) << bits;
            ASSERT_EQ(d.max, finite ? value : 0) << bits;
            ASSERT_EQ(d.sum, finite ? value : 0) << bits;
            ASSERT_EQ(d.nonfinite.nan, std::isnan(value)) << bits;
            ASSERT_EQ(d.nonfinite.pos_inf + d.nonfinite.neg_inf, std::isinf(value)) << bits;
        }
    }
}

TEST(Digest, WithANonfiniteValueAnywhereIsThatOfTheOthers) {
    const Shape shape{3, 33};
    for (float bad : {not_a_number, -not_a_number, infinity, -infinity}) {
        for (std::size_t at = 0; at < 99; ++at) {
            std::vector<float> values = whole_numbers(Kind::f32, shape).values;
            values[at] = bad;
            expect_digest(f32_buffer(shape, values), {}, 0);
        }
    }
}

TEST(Digest, OfManyNonfiniteValuesCountsThemAll) {
    const Shape shape{40, 1100};
    std::vector<float> values = whole_numbers(Kind::f32, shape).values;
    std::mt19937 random(6);
    constexpr float bad[] = {not_a_number, infinity, -infinity};
    for (float& v : values) {
        if (random() % 4 == 0) v = bad[random() % 3];
    }
    expect_digest(f32_buffer(shape, values), {}, 0);
    expect_digest(f32_buffer(shape, values, {3, 2, false}), {}, 0);
    DigestRequest sums;
    sums.extremes = false;
    expect_digest(f32_buffer(shape, values), sums, 0);
}

TEST(Digest, OfNothingButNansHasNoMaximum) {
    const Buffer b = f32_buffer({2, 1030}, std::vector<float>(2060, not_a_number));
    expect_digest(b, {}, 0);
    const Digest d = digest_of(b);
    EXPECT_EQ(d.argmax, -1);
    EXPECT_EQ(d.max, 0);
    EXPECT_EQ(d.min, 0);
    EXPECT_EQ(d.nonfinite.nan, 2060U);
    EXPECT_EQ(d.energy, 0);
    EXPECT_EQ(d.row[0].argmax, -1);
    EXPECT_EQ(d.row[0].max, 0);
}

TEST(Digest, WithOneRowOfNansAmongOthersIsThatOfTheOthers) {
    for (std::int64_t nan_row = 0; nan_row < 5; ++nan_row) {
        std::vector<float> values = whole_numbers(Kind::f32, {5, 1500}).values;
        std::fill_n(values.begin() + nan_row * 1500, 1500, not_a_number);
        expect_digest(f32_buffer({5, 1500}, values), {}, 0);
    }
}

TEST(Digest, OfHugeValuesStaysFinite) {
    for (float size : {1e30F, 1e20F, 1e36F}) {
        const Shape shape{6, 1040};
        const Buffer b = f32_buffer(shape, normal_values(shape, 7, size));
        expect_digest(b, {}, 1e-5);
        EXPECT_TRUE(std::isfinite(digest_of(b).energy));
    }
    const Buffer largest = f32_buffer({1, 64}, std::vector<float>(64, FLT_MAX));
    const Digest d = digest_of(largest);
    EXPECT_NEAR(d.energy / (64.0 * FLT_MAX * FLT_MAX), 1, 1e-12);
    EXPECT_NEAR(d.sum / (64.0 * FLT_MAX), 1, 1e-12);
    // The values of bfloat16 and of a strided row take a second look of their own.
    expect_digest(half_buffer(DType::bf16, {3, 50}, std::vector<std::uint16_t>(150, 0x7e00)), {},
                  1e-5);
    expect_digest(f32_buffer({3, 50}, std::vector<float>(150, 1e30F), {0, 2, false}), {}, 1e-5);
}

TEST(Digest, OfHugeAndNonfiniteValuesTogetherStaysFinite) {
    std::vector<float> values(200, 1e30F);
    values[3] = infinity;
    values[150] = not_a_number;
    expect_digest(f32_buffer({2, 100}, values), {}, 1e-5);
}

TEST(Digest, OfAMaximumThatOccursAgainNamesTheLowestIndex) {
    const Shape shape{4, 2100};
    std::mt19937 random(8);
    for (int i = 0; i < 200; ++i) {
        std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.cols), -1);
        for (int n = 0; n < 5; ++n)
            values[random() % values.size()] = 5;
        expect_digest(f32_buffer(shape, values), {}, 0);
    }
    EXPECT_EQ(digest_of(f32_buffer(shape, std::vector<float>(8400, 2))).argmax, 0);
    EXPECT_EQ(digest_of(f32_buffer({1, 3}, {-FLT_MAX, -FLT_MAX, -FLT_MAX})).argmax, 0);
}

TEST(Digest, OfZerosOfBothSignsHasAnIndexAndNoEnergy) {
    const Digest d = digest_of(f32_buffer({1, 4}, {-0.0F, 0.0F, -0.0F, 0.0F}));
    EXPECT_EQ(d.argmax, 0);
    EXPECT_EQ(d.max, 0.0F);
    EXPECT_EQ(d.min, 0.0F);
    EXPECT_EQ(d.energy, 0);
}

TEST(Digest, OfAnEmptyBufferIsEmpty) {
    MatrixView view;
    EXPECT_EQ(digest_of(view).rows, 0);
    const float value = 1;
    view.data = &value;
    view.rows = 1;
    EXPECT_EQ(digest_of(view).selected, 0);
}

TEST(Digest, BeyondTheTableOfHashesIsTheSame) {
    // 262,144 hashes are kept in a table; the features behind it are hashed on the spot.
    expect_digest(whole_numbers(Kind::bf16, {2, 262144 + 1500}), {}, 0);
}

// ---- Rows and positions. ------------------------------------------------------------------------

TEST(DigestPositions, SpreadIsZeroAndThePowersOfTwo) {
    std::vector<int> spread;
    for (int p = -5; p < 1100; ++p) {
        if (in_spread(p)) spread.push_back(p);
    }
    EXPECT_EQ(spread, (std::vector<int>{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}));
}

TEST(DigestPositions, SelectTheSpreadAndTheLastRow) {
    const Digest d = digest_of(whole_numbers(Kind::f32, {100, 3}));
    std::vector<std::int64_t> rows;
    for (int i = 0; i < d.selected; ++i)
        rows.push_back(d.row[static_cast<std::size_t>(i)].row);
    EXPECT_EQ(rows, (std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 64, 99}));
}

TEST(DigestPositions, OfASmallerRequestSelectTheFirstOfTheSpreadAndTheLastRow) {
    for (int wanted = 1; wanted <= 16; ++wanted) {
        DigestRequest request;
        request.selected_rows = wanted;
        for (std::int64_t first : {0, 1, 5, 100}) {
            request.positions.first = first;
            expect_digest(whole_numbers(Kind::f32, {90, 17}), request, 0);
        }
    }
    const Digest d = digest_of(whole_numbers(Kind::f32, {70000, 1}));  // 0 .. 65536 and the last
    EXPECT_EQ(d.selected, 16);
    EXPECT_EQ(d.row[14].row, 8192);
    EXPECT_EQ(d.row[15].row, 69999);
}

TEST(DigestPositions, FromAListGiveEachRowItsOwn) {
    std::vector<std::int32_t> list(50);
    std::iota(list.begin(), list.end(), 0);
    std::shuffle(list.begin(), list.end(), std::mt19937(9));
    DigestRequest request;
    request.positions.list = list.data();
    for (Kind kind : kinds)
        expect_digest(whole_numbers(kind, {50, 40}), request, 0);
}

TEST(DigestPositions, FarAlongAreStillExact) {
    for (std::int64_t first : {1LL, 1023LL, 131072LL, 5'000'000'000LL})
        expect_digest(whole_numbers(Kind::f32, {9, 40}), from_position(first), 0);
}

// ---- Reading rows. ------------------------------------------------------------------------------

TEST(CopyRow, ReadsAnyStretchOfAnyType) {
    for (Kind kind : kinds) {
        const bool block = kind == Kind::block32 || kind == Kind::block256;
        const Buffer b = whole_numbers(kind, {4, 1000}, {4, 1, false});
        for (std::int64_t first : {0, 256, 512}) {
            const std::int64_t count = block ? b.view.cols - first : 37;
            std::vector<float> out(static_cast<std::size_t>(count) + 1, 99);
            copy_row_f32(b.view, 2, first, count, out.data());
            for (std::int64_t i = 0; i < count; ++i)
                ASSERT_EQ(out[static_cast<std::size_t>(i)], b.at(2, first + i));
            ASSERT_EQ(out.back(), 99);
        }
    }
}

}  // namespace
}  // namespace orch
