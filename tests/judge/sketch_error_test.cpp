#include "analyzer/judge/sketch_error.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

TEST(SketchError, EstimatesTheRelativeErrorOfRows) {
    double sum = 0;
    constexpr unsigned tries = 200;
    for (unsigned seed = 0; seed < tries; ++seed) {
        const Matrix a = random_matrix(1, 512, seed);
        const double error = row_error(digest_of(a[0]), digest_of(noisy(a, 0.01, seed)[0]), true);
        EXPECT_GT(error, 0.01 * 0.35) << seed;
        EXPECT_LT(error, 0.01 * 1.9) << seed;
        sum += error * error;
    }
    EXPECT_NEAR(std::sqrt(sum / tries), 0.01, 0.001);
}

TEST(SketchError, EqualRowsHaveNoneEvenOfZeros) {
    const RowDigest zero = digest_of(Row(64, 0.0));
    EXPECT_EQ(row_error(zero, zero, true), 0);
    EXPECT_EQ(row_error(zero, zero, false), 0);
    EXPECT_GT(row_error(zero, digest_of(random_row(64, 1)), true), 1e6);
}

TEST(SketchError, SumsSeeASignAndAFactorInAnyOrderOfFeatures) {
    const Row row = random_row(256, 3);
    Row twice(row.rbegin(), row.rend());
    for (double& value : twice)
        value *= 2;
    EXPECT_GE(row_error(digest_of(row), digest_of(twice), false), 1);
    const Row reversed(row.rbegin(), row.rend());
    EXPECT_LT(row_error(digest_of(row), digest_of(reversed), false), 1e-12);
}

TEST(SketchError, SingleRowsLoseTheSignOfTheirPosition) {
    const Matrix row = random_matrix(1, 128, 5);
    for (const std::int64_t position : {0, 1, 5, 1000}) {
        const RowDigest digest = as_row(side_of(row, position), position);
        EXPECT_LT(row_error(digest_of(row[0]), digest, true), 1e-12) << position;
    }
}

TEST(ScaleFit, FindsTheFactorAndWhatItLeaves) {
    const Matrix a = random_matrix(4, 256, 7);
    const Matrix b = noisy(changed(a,
                                   [](Row& row, std::size_t) {
                                       for (double& value : row)
                                           value *= -1.5;
                                   }),
                           1e-3, 8);
    const MatrixPair pair = pair_of(a, b, 0);
    const ScaleFit fit = fit_scale(pair.rows);
    EXPECT_NEAR(fit.factor, -1.5, 1e-3);
    EXPECT_NEAR(fit.error, 2.5, 0.5);
    EXPECT_LT(fit.left, 2e-3);
    EXPECT_GT(fit.left, 3e-4);
}

TEST(DirectionFit, ExplainsWhatLiesAlongTheDirectionAndLittleElse) {
    std::vector<DirectionRow> along;
    std::vector<DirectionRow> apart;
    for (unsigned i = 0; i < 6; ++i) {
        const Row a = random_row(256, 100 + i);
        const Row v = random_row(256, 200 + i);
        Row b = a;
        for (std::size_t n = 0; n < b.size(); ++n)
            b[n] = 0.5 * (a[n] - 0.3 * v[n]);
        along.push_back({sketch_of(a), sketch_of(b), {sketch_of(v)}});
        apart.push_back({sketch_of(a), sketch_of(random_row(256, 300 + i)), {sketch_of(v)}});
    }
    const DirectionFit fit = fit_directions(along);
    EXPECT_GT(fit.explained, 0.999);
    EXPECT_NEAR(fit.factors[0][0], -0.3, 1e-6);
    const DirectionFit chance = fit_directions(apart);
    EXPECT_LT(chance.explained, 0.3);
    EXPECT_NEAR(chance.by_chance, 1.0 / 15, 1e-9);
}

TEST(CommonLine, TellsOneVectorFromMany) {
    std::vector<Sketch> same;
    std::vector<Sketch> different;
    const Sketch one = sketch_of(random_row(256, 9));
    for (unsigned i = 0; i < 8; ++i) {
        same.push_back(scaled(one, 1 + 0.1 * i));
        different.push_back(sketch_of(random_row(256, 400 + i)));
    }
    EXPECT_GT(common_line(same).share, 0.999);
    EXPECT_LT(common_line(different).share, 0.7);
    EXPECT_EQ(common_line(same).along.size(), 8U);
}

TEST(SketchOfOnes, IsTheSketchOfARowOfOnes) {
    EXPECT_EQ(sketch_of_ones(100), sketch_of(Row(100, 1.0)));
}

TEST(SignificantBits, CountsTheDigitsThatAreUsed) {
    EXPECT_EQ(significant_bits(1.0), 1);
    EXPECT_EQ(significant_bits(-1.5), 2);
    EXPECT_EQ(significant_bits(1.0 + 0x1p-7), 8);
    EXPECT_EQ(significant_bits(static_cast<double>(1.1F)), 24 - 0);
}

TEST(Median, IsOfTheMiddle) {
    EXPECT_EQ(median({}), 0);
    EXPECT_EQ(median({3, 1, 2}), 2);
}

}  // namespace
}  // namespace orch
