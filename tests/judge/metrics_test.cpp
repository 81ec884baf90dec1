#include "analyzer/judge/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace orch {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

TEST(ValueMetrics, OfAVectorAgainstItself) {
    const std::vector<double> a = {1, -2, 3};
    const ValueMetrics m = compare_values(a, a, "f32");
    EXPECT_EQ(m.count, 3U);
    EXPECT_EQ(m.rel_l2, 0);
    EXPECT_DOUBLE_EQ(m.cosine, 1);
    EXPECT_DOUBLE_EQ(m.norm_ratio, 1);
    EXPECT_EQ(m.max_ulp, 0);
    EXPECT_TRUE(m.same_argmax);
    EXPECT_TRUE(m.same_order);
}

TEST(ValueMetrics, ByHand) {
    const std::vector<double> a = {3, 4};
    const std::vector<double> b = {3, 4.5};
    const ValueMetrics m = compare_values(a, b, "f32");
    EXPECT_DOUBLE_EQ(m.rel_l2, 0.1);
    EXPECT_DOUBLE_EQ(m.max_abs, 0.5);
    EXPECT_DOUBLE_EQ(m.mean_abs, 0.25);
    EXPECT_DOUBLE_EQ(m.max_rel, 0.125);
    EXPECT_DOUBLE_EQ(m.norm_ratio, std::sqrt(9 + 20.25) / 5);
    EXPECT_DOUBLE_EQ(m.cosine, (9 + 18) / (5 * std::sqrt(29.25)));
}

TEST(ValueMetrics, CosineMissesAScaleTheNormRatioDoesNot) {
    const std::vector<double> a = {1, 2, 3};
    const std::vector<double> b = {2, 4, 6};
    const ValueMetrics m = compare_values(a, b, "f32");
    EXPECT_DOUBLE_EQ(m.cosine, 1);
    EXPECT_DOUBLE_EQ(m.norm_ratio, 2);
    EXPECT_DOUBLE_EQ(m.rel_l2, 1);
}

TEST(ValueMetrics, SmallValuesHaveNoRelativeError) {
    const std::vector<double> a = {1, 1e-9};
    const std::vector<double> b = {1, -2e-9};
    const ValueMetrics m = compare_values(a, b, "f32");
    EXPECT_EQ(m.max_rel, 0);
    EXPECT_DOUBLE_EQ(m.sign_agreement, 1);
    EXPECT_DOUBLE_EQ(m.magnitude_agreement, 1);
}

TEST(ValueMetrics, UnitsInTheLastPlaceDependOnTheType) {
    const std::vector<double> a = {1};
    const std::vector<double> b = {1 + 0x1p-7};
    EXPECT_DOUBLE_EQ(compare_values(a, b, "bf16").max_ulp, 1);
    EXPECT_DOUBLE_EQ(compare_values(a, b, "f16").max_ulp, 8);
    EXPECT_DOUBLE_EQ(compare_values(a, b, "f32").max_ulp, 65536);
}

TEST(ValueMetrics, WhatIsNotFiniteIsCountedNotSwallowed) {
    const std::vector<double> a = {1, nan, 3, inf};
    const std::vector<double> b = {1, nan, nan, 4};
    const ValueMetrics m = compare_values(a, b, "f32");
    EXPECT_EQ(m.count, 1U);
    EXPECT_EQ(m.nonfinite_a, 2U);
    EXPECT_EQ(m.nonfinite_b, 2U);
    EXPECT_EQ(m.nonfinite_apart, 2U);
    EXPECT_EQ(m.rel_l2, 0);
}

TEST(ValueMetrics, ZerosAgreeWithZerosAndWithNothingElse) {
    const std::vector<double> zero = {0, 0};
    const std::vector<double> one = {0, 1};
    EXPECT_EQ(compare_values(zero, zero, "f32").rel_l2, 0);
    EXPECT_DOUBLE_EQ(compare_values(zero, zero, "f32").cosine, 1);
    EXPECT_GT(compare_values(zero, one, "f32").rel_l2, 1e6);
}

TEST(LogitMetrics, DivergenceOfTwoDistributionsByHand) {
    const std::vector<double> a = {std::log(0.5), std::log(0.25), std::log(0.25)};
    const std::vector<double> b = {std::log(0.25), std::log(0.5), std::log(0.25)};
    const auto m = compare_logits(a, b);
    ASSERT_TRUE(m);
    EXPECT_NEAR(m->kl, 0.5 * std::log(2) + 0.25 * std::log(0.5), 1e-12);
    EXPECT_NEAR(m->margin, std::log(2), 1e-12);
    EXPECT_EQ(m->argmax_a, 0);
    EXPECT_EQ(m->argmax_b, 1);
    EXPECT_DOUBLE_EQ(m->top5, 1);
}

TEST(LogitMetrics, AConstantAddedToAllChangesNothing) {
    const std::vector<double> a = {1000, 999, 990};
    const std::vector<double> b = {0, -1, -10};
    const auto m = compare_logits(a, b);
    ASSERT_TRUE(m);
    EXPECT_NEAR(m->kl, 0, 1e-9);
    EXPECT_DOUBLE_EQ(m->margin, 1);
}

TEST(LogitMetrics, SharesOfTheBest) {
    std::vector<double> a(20);
    std::vector<double> b(20);
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = -static_cast<double>(i);
        b[i] = -static_cast<double>((i + 18) % 20);  // two others have moved in front
    }
    const auto m = compare_logits(a, b);
    ASSERT_TRUE(m);
    EXPECT_DOUBLE_EQ(m->top5, 0.6);
    EXPECT_DOUBLE_EQ(m->top10, 0.8);
}

TEST(LogitMetrics, NotOfVectorsWithNaNOrOfUnequalLength) {
    EXPECT_FALSE(compare_logits(std::vector<double>{1, nan}, std::vector<double>{1, 2}));
    EXPECT_FALSE(compare_logits(std::vector<double>{1, 2, 3}, std::vector<double>{1, 2}));
}

TEST(Garbage, HugeValuesBesideSaneOnesAndFloodsOfDenormals) {
    EXPECT_EQ(count_garbage(std::vector<double>{1.01e18, 2, -3e15, nan, 16.38}, 1e15), 3U);
    EXPECT_EQ(count_garbage(std::vector<double>{1e-40, 0.5, 0.25}, 1e15), 0U);
    EXPECT_EQ(count_garbage(std::vector<double>{1e-40, 2e-41, 0.25}, 1e15), 2U);
}

TEST(Percentile, TakesTheValueAtTheShare) {
    EXPECT_EQ(percentile({}, 0.99), 0);
    EXPECT_EQ(percentile({5, 1, 3}, 1), 5);
    EXPECT_EQ(percentile({5, 1, 3}, 0), 1);
}

}  // namespace
}  // namespace orch
