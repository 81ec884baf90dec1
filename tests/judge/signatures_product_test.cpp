#include <gtest/gtest.h>

#include <cmath>

#include "analyzer/judge/signature.hpp"
#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr double expected = 2e-3;

/// y = x Wᵀ over the first `inputs` inputs.
Matrix product(const Matrix& x, const Matrix& w, std::size_t inputs) {
    Matrix y;
    for (const Row& row : x) {
        y.emplace_back();
        for (const Row& weight : w) {
            double sum = 0;
            for (std::size_t k = 0; k < inputs; ++k)
                sum += row[k] * weight[k];
            y.back().push_back(sum / std::sqrt(static_cast<double>(row.size())));
        }
    }
    return y;
}

struct Case {
    Matrix x = random_matrix(9, 128, 1);
    Matrix w = random_matrix(192, 128, 2);
    Matrix y = product(x, w, 128);
};

std::string best(const Matrix& a, const Matrix& b) {
    const auto findings = find_signatures(suspect_of(Step::product, {{a}, {b}}, expected));
    return findings.empty() ? "unknown" : findings.front().signature.name;
}

TEST(SignatureProduct, TheLastInputsLeftOut) {
    const Case c;
    EXPECT_EQ(best(c.y, product(c.x, c.w, 112)), "dropped_k_tail");
    EXPECT_EQ(best(c.y, product(c.x, c.w, 96)), "dropped_k_tail");
}

TEST(SignatureProduct, SomeFeaturesWrongAreTheProduct) {
    const Case c;
    EXPECT_EQ(best(c.y, changed(c.y,
                                [](Row& row, std::size_t) {
                                    std::fill(row.begin() + 16, row.begin() + 32, 0.0);
                                })),
              "product");
    EXPECT_EQ(best(c.y, changed(c.y, [](Row& row, std::size_t) { row[60] *= 1.5; })), "product");
}

TEST(SignatureProduct, OtherNumbersAreNoDroppedTail) {
    const Case c;
    EXPECT_EQ(best(c.y, product(c.x, random_matrix(192, 128, 3), 128)), "product");
}

}  // namespace
}  // namespace orch
