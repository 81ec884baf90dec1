#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "analyzer/judge/signature.hpp"
#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr double noise = 1e-3;
constexpr double expected = 2e-3;

Passes right() {
    Passes passes;
    passes.a = {random_matrix(9, 256, 1), random_matrix(1, 256, 2), random_matrix(1, 256, 3)};
    for (std::size_t i = 0; i < passes.a.size(); ++i)
        passes.b.push_back(noisy(passes.a[i], noise, static_cast<unsigned>(i)));
    return passes;
}

Passes with(const std::function<void(Row&, std::size_t)>& change) {
    Passes passes = right();
    for (Matrix& b : passes.b)
        b = changed(b, change);
    return passes;
}

std::string best(const Suspect& suspect) {
    const auto findings = find_signatures(suspect);
    return findings.empty() ? "unknown" : findings.front().signature.name;
}

TEST(SignatureValues, NothingOfAllThisIsInNoise) {
    const Suspect suspect = suspect_of(Step::norm, right(), expected);
    EXPECT_FALSE(find_nonfinite(suspect));
    EXPECT_FALSE(find_uninitialised(suspect));
    EXPECT_FALSE(find_zeros(suspect));
    EXPECT_FALSE(find_scale(suspect));
    EXPECT_FALSE(find_bias(suspect));
    EXPECT_FALSE(find_low_precision(suspect));
}

TEST(SignatureValues, AFactorIsAScaleAndItsSignASign) {
    for (const double factor : {1.05, 2.0, 0.5}) {
        const Suspect suspect = suspect_of(Step::product, with([&](Row& row, std::size_t) {
                                               for (double& value : row)
                                                   value *= factor;
                                           }),
                                           expected);
        EXPECT_EQ(best(suspect), "scale") << factor;
    }
    const auto found = find_scale(suspect_of(Step::attention, with([](Row& row, std::size_t) {
                                                 for (double& value : row)
                                                     value *= -1;
                                             }),
                                             expected));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->signature.name, "sign");
}

TEST(SignatureValues, AFactorIsSeenInSumsAlone) {
    const Suspect suspect = suspect_of(Step::product, with([](Row& row, std::size_t) {
                                           for (double& value : row)
                                               value *= -1;
                                       }),
                                       expected, false);
    const auto found = find_scale(suspect);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->signature.name, "sign");
}

TEST(SignatureValues, AFactorThatChangesFromFeatureToFeatureIsNone) {
    const Row weights = random_row(256, 77);
    EXPECT_FALSE(find_scale(suspect_of(Step::norm, with([&](Row& row, std::size_t) {
                                           for (std::size_t n = 0; n < row.size(); ++n)
                                               row[n] *= 2 + 0.1 * weights[n];
                                       }),
                                       expected)));
}

TEST(SignatureValues, OneVectorAddedToAllRowsIsABias) {
    const Row bias = random_row(256, 78);
    const Suspect suspect = suspect_of(Step::attention, with([&](Row& row, std::size_t) {
                                           for (std::size_t n = 0; n < row.size(); ++n)
                                               row[n] += 0.3 * bias[n];
                                       }),
                                       expected);
    EXPECT_EQ(best(suspect), "bias");
}

TEST(SignatureValues, ZerosInTheRowsThatDiffer) {
    const Suspect suspect = suspect_of(Step::activation, with([](Row& row, std::size_t) {
                                           for (double& value : row)
                                               value = 0;
                                       }),
                                       expected);
    const auto found = find_zeros(suspect);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->team, "right");
    EXPECT_EQ(best(suspect), "zeros");
}

TEST(SignatureValues, HugeValuesAndFloodsOfDenormalsWereNeverWritten) {
    for (const double value : {1.5e18, 1e-38}) {
        const Suspect suspect = suspect_of(Step::norm, with([&](Row& row, std::size_t r) {
                                               if (r == 3) std::fill(row.begin(), row.end(), value);
                                           }),
                                           expected);
        EXPECT_EQ(best(suspect), "uninitialised") << value;
    }
}

TEST(SignatureValues, NotFiniteInOneEngineAlone) {
    const Suspect suspect = suspect_of(Step::attention, with([](Row& row, std::size_t r) {
                                           if (r == 4)
                                               row[10] = std::numeric_limits<double>::quiet_NaN();
                                       }),
                                       expected);
    const auto found = find_nonfinite(suspect);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->team, "right");
    EXPECT_NE(found->signature.because.find("position 4"), std::string::npos);
}

TEST(SignatureValues, FewSignificantBitsInOneEngineAreLowPrecision) {
    const auto round = [](Row& row, std::size_t) {
        for (double& value : row) {
            int exponent = 0;
            const double fraction = std::frexp(value, &exponent);
            value = std::ldexp(std::nearbyint(fraction * 256) / 256, exponent);
        }
    };
    const Suspect suspect = suspect_of(Step::norm, with(round), expected / 10);
    const auto found = find_low_precision(suspect);
    ASSERT_TRUE(found);
    EXPECT_GT(found->signature.confidence, 0.9);
    EXPECT_EQ(found->team, "right");
}

TEST(SignatureValues, AnEngineThatIsNarrowEverywhereIsNotBlamedForIt) {
    const auto round = [](Row& row, std::size_t) {
        for (double& value : row) {
            int exponent = 0;
            const double fraction = std::frexp(value, &exponent);
            value = std::ldexp(std::nearbyint(fraction * 256) / 256, exponent);
        }
    };
    Suspect suspect = suspect_of(Step::norm, with(round), 0.1);
    suspect.arithmetic_b.activations = "bf16";
    EXPECT_FALSE(find_low_precision(suspect));
}

TEST(SignatureValues, AFewValuesWithoutTheirLastDigitAreChance) {
    const Matrix a = random_matrix(6, 64, 5);
    const Matrix b = noisy(a, 0.1, 6);
    Suspect suspect = suspect_of(Step::attention, {{a}, {b}}, 1e-3);
    suspect.arithmetic_b.activations = "bf16";
    suspect.digits_a = {24, 6};
    suspect.digits_b = {7, 6};  // of 8, in six values: once in 64 runs
    const auto is_low_precision = [&] {
        const auto found = find_low_precision(suspect);
        return found && found->signature.confidence > 0.9;
    };
    EXPECT_FALSE(is_low_precision());
    suspect.digits_b = {4, 6};
    EXPECT_TRUE(is_low_precision());
}

TEST(SignatureValues, AFactorMustExplainTheProof) {
    const Matrix a = random_matrix(6, 64, 5);
    const Matrix b = changed(a, [](Row& row, std::size_t) {
        for (double& value : row)
            value *= 1.0007;
    });
    Suspect suspect = suspect_of(Step::product, {{a}, {b}}, 1e-5, false);
    suspect.product = ProductData{};
    suspect.product->proof_b = Proof{7e-4, 7e-4, {}};
    EXPECT_TRUE(find_scale(suspect));
    suspect.product->proof_b = Proof{2e-2, 2e-2, {}};  // off by more than the factor
    EXPECT_FALSE(find_scale(suspect));
}

}  // namespace
}  // namespace orch
