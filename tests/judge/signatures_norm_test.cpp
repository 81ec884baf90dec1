#include <gtest/gtest.h>

#include <cmath>

#include "analyzer/judge/signature.hpp"
#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr std::size_t cols = 256;
constexpr double expected = 1e-3;

struct Norm {
    double epsilon = 1e-5;
    bool weighted = true;
    bool centred = false;
    bool normed = true;
};

/// Rows of a residual stream: what was there, and what is added last. Sizes differ from row to row.
struct Stream {
    Matrix before = changed(random_matrix(10, cols, 1), [](Row& row, std::size_t r) {
        for (double& value : row)
            value *= 0.2 + 0.1 * static_cast<double>(r);
    });
    Matrix addend = changed(random_matrix(10, cols, 2), [](Row& row, std::size_t) {
        for (double& value : row)
            value *= 0.3;
    });

    Matrix sum(double of_before, double of_addend) const {
        return changed(before, [&](Row& row, std::size_t r) {
            for (std::size_t n = 0; n < row.size(); ++n)
                row[n] = of_before * row[n] + of_addend * addend[r][n];
        });
    }
};

Matrix norm(const Matrix& stream, const Norm& how) {
    const Row weights = random_row(cols, 99);
    return changed(stream, [&](Row& row, std::size_t) {
        double mean = 0;
        double square = 0;
        for (const double value : row)
            mean += value / static_cast<double>(cols);
        for (double& value : row) {
            if (how.centred) value -= mean;
            square += value * value / static_cast<double>(cols);
        }
        const double size = how.normed ? std::sqrt(square + how.epsilon) : 1;
        for (std::size_t n = 0; n < row.size(); ++n)
            row[n] *= (how.weighted ? 1 + 0.05 * weights[n] : 1) / size;
    });
}

Suspect suspect(const Matrix& b) {
    const Stream stream;
    const Matrix a = norm(stream.sum(1, 1), {});
    Suspect result = suspect_of(Step::norm, {{a}, {noisy(b, 1e-5, 3)}}, expected / 50);
    for (std::size_t r = 0; r < result.norm_rows.size(); ++r) {
        NormRow& row = result.norm_rows[r];
        row.before = sketch_of(stream.before[r]);
        row.addend = sketch_of(stream.addend[r]);
        if (r > 0) row.addend_of_row_before = sketch_of(stream.addend[r - 1]);
        row.mean_square = digest_of(stream.sum(1, 1)[r]).energy / static_cast<double>(cols);
    }
    result.persists = false;
    return result;
}

std::string best(const Matrix& b) {
    const auto findings = find_signatures(suspect(b));
    return findings.empty() ? "unknown" : findings.front().signature.name;
}

TEST(SignatureNorm, AnotherEpsilonMovesSmallRowsMore) {
    const Stream stream;
    EXPECT_EQ(best(norm(stream.sum(1, 1), {.epsilon = 1e-2})), "norm_eps");
    EXPECT_EQ(best(norm(stream.sum(1, 1), {.epsilon = 1e-3})), "norm_eps");
}

TEST(SignatureNorm, AConstantFactorIsNoEpsilon) {
    const Stream stream;
    EXPECT_EQ(best(changed(norm(stream.sum(1, 1), {}),
                           [](Row& row, std::size_t) {
                               for (double& value : row)
                                   value *= 0.98;
                           })),
              "scale");
}

TEST(SignatureNorm, WithoutWeightsWithoutMeanWithoutNorm) {
    const Stream stream;
    EXPECT_EQ(best(norm(stream.sum(1, 1), {.weighted = false})), "norm");
    EXPECT_EQ(best(norm(stream.sum(1, 1), {.centred = true})), "norm");
    EXPECT_EQ(best(norm(stream.sum(1, 1), {.normed = false})), "norm");
}

TEST(SignatureNorm, AnAddendThatIsMissingDoubledOrScaled) {
    const Stream stream;
    for (const double weight : {0.0, 2.0, 0.9, -1.0})
        EXPECT_EQ(best(norm(stream.sum(1, weight), {})), "residual") << weight;
    EXPECT_EQ(best(norm(stream.sum(0, 1), {})), "residual");
}

TEST(SignatureNorm, SizesThatDoNotExplainTheErrorAreNoMissingNorm) {
    const Stream stream;
    const Matrix right = norm(stream.sum(1, 1), {});
    const Matrix b = changed(noisy(right, 0.25, 8), [](Row& row, std::size_t r) {
        for (double& value : row)
            value *= 0.95 + 0.02 * static_cast<double>(r);
    });
    const auto found = find_norm(suspect(b));
    EXPECT_TRUE(!found || found->signature.confidence < floors::explained);
}

TEST(SignatureNorm, ACommonSizeStandsOutOfNoisyDirections) {
    const Matrix a = random_matrix(8, cols, 1);
    const auto noisy_and = [&](double spread) {
        return changed(noisy(a, 0.05, 2), [&](Row& row, std::size_t r) {
            const double energy = digest_of(a[r]).energy / digest_of(row).energy;
            const double factor = 1.05 + spread * static_cast<double>(r);
            for (double& value : row)
                value *= factor * std::sqrt(energy);
        });
    };
    // No row is off by itself.
    const auto found = find_scale(suspect_of(Step::norm, {{a}, {noisy_and(0)}}, 0.1));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->signature.name, "scale");
    EXPECT_FALSE(find_scale(suspect_of(Step::norm, {{a}, {noisy_and(0.01)}}, 0.1)));
    EXPECT_FALSE(find_scale(suspect_of(Step::norm, {{a}, {noisy_and(0)}}, 0.01)));
    EXPECT_FALSE(find_scale(suspect_of(Step::norm, {{a}, {a}}, 0.1)));  // no change at all
}

}  // namespace
}  // namespace orch
