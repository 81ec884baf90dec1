#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

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

TEST(SignatureProduct, AResidualInOnePlaceIsOneOutput) {
    const Case c;
    Suspect suspect = suspect_of(
        Step::product, {{c.y}, {changed(c.y, [](Row& row, std::size_t) { row[60] *= 1.25; })}},
        expected, false);
    suspect.product = ProductData{};
    suspect.product->proof_b = Proof{0.02, 0.03, {1e-7, 0, 1.4, -5e-6}};
    EXPECT_EQ(find_signatures(suspect).front().signature.name, "product");
    suspect.product->proof_b = Proof{0.02, 0.03, {0.5, -1.1, 1.4, 0.2}};
    EXPECT_EQ(find_signatures(suspect).front().signature.name, "low_precision");
}

TEST(SignatureProduct, AProofIsAsBadAsItsWorstRow) {
    EXPECT_DOUBLE_EQ(error_of(Proof{1e-3, 2e-3, {}}), 1e-3);
    EXPECT_DOUBLE_EQ(error_of(Proof{1e-6, 3e-2, {}}), 1e-2);
}

TEST(SignatureProduct, RightFirstValuesOfAFusedResultSayLessOfItsOtherParts) {
    const Case c;
    const Matrix b = changed(c.y, [](Row& row, std::size_t) { row[60] *= 1.5; });
    const Suspect alone = suspect_of(Step::product, {{c.y}, {b}}, expected);
    Suspect fused = suspect_of(Step::product, {{c.y}, {b}}, expected, false);
    fused.passes[0].matrix.values = alone.passes[0].matrix.values;
    const auto found = find_product(fused);
    ASSERT_TRUE(found);
    EXPECT_LT(found->signature.confidence, 0.6);  // of low precision
    EXPECT_GT(find_product(alone)->signature.confidence, 0.6);
}

/// Two chunks of one product on each side; one weight is the other, negated.
TEST(SignatureProduct, TheWeightOfChunksIsLookedAtAsOne) {
    EngineTrace a;
    EngineTrace b;
    for (EngineTrace* engine : {&a, &b}) {
        engine->weights.resize(1);
        engine->products.resize(2);
        engine->products[0].weight = engine->products[1].weight = 0;
    }
    const Row weight = random_row(64, 1);
    for (const auto& [engine, sign] : {std::pair{&a, 1.0}, std::pair{&b, -1.0}}) {
        WeightRecord& record = engine->weights[0].record;
        const RowDigest digest = digest_of(weight);
        record.energy = digest.energy;
        record.absmax = digest.absmax;
        record.sum = sign * digest.sum;
        record.sketch = scaled(*digest.sketch, sign);
    }
    Alignment alignment;
    alignment.a = &a;
    alignment.b = &b;
    ProductPair pair;
    pair.a = pair.b = {0, 1};
    const Case c;
    Suspect suspect = suspect_of(Step::product, {{c.y}, {c.y}}, expected);
    suspect.alignment = &alignment;
    suspect.product = ProductData{};
    suspect.product->pair = &pair;
    const auto found = find_weight_fault(suspect);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->signature.name, "sign");
}

/// Two parts in the reference, one result in the other engine: the first part and the second.
Suspect fused(const std::vector<Matrix>& first, const std::vector<Matrix>& second,
              const std::function<void(Row&, std::size_t pass)>& change) {
    Passes passes;
    for (std::size_t pass = 0; pass < first.size(); ++pass) {
        Matrix y = first[pass];
        for (std::size_t row = 0; row < y.size(); ++row)
            y[row].insert(y[row].end(), second[pass][row].begin(), second[pass][row].end());
        passes.a.push_back(y);
        passes.b.push_back(changed(y, [&](Row& row, std::size_t) { change(row, pass); }));
    }
    Suspect suspect = suspect_of(Step::product, passes, expected, false);
    for (std::size_t pass = 0; pass < first.size(); ++pass)
        for (const auto& part : {first[pass], second[pass]}) {
            suspect.passes[pass].matrix.parts_a.emplace_back();
            for (const Row& row : part)
                suspect.passes[pass].matrix.parts_a.back().push_back(digest_of(row));
        }
    return suspect;
}

TEST(SignatureProduct, APartIsFollowedThroughThePassesFromTheFirstWrongOne) {
    const std::vector<Matrix> first = {random_matrix(5, 32, 1), random_matrix(1, 32, 2),
                                       random_matrix(1, 32, 3)};
    const std::vector<Matrix> second = {random_matrix(5, 32, 4), random_matrix(1, 32, 5),
                                        random_matrix(1, 32, 6)};
    Suspect suspect = fused(first, second, [](Row& row, std::size_t pass) {
        if (pass > 0) std::for_each(row.begin(), row.begin() + 32, [](double& v) { v *= 2; });
    });
    EngineTrace engine;
    engine.weights.resize(2);
    engine.weights[0].role.part = Part::gate;
    engine.weights[1].role.part = Part::up;
    engine.products.resize(2);
    engine.products[0].weight = 0;
    engine.products[1].weight = 1;
    Alignment alignment;
    alignment.a = &engine;
    ProductPair pair;
    pair.pass = 1;
    pair.a = {0, 1};
    suspect.alignment = &alignment;
    suspect.product = ProductData{};
    suspect.product->pair = &pair;
    suspect.product->y = suspect.passes[1].matrix;
    const auto found = find_part_fault(suspect);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->signature.name, "scale");
    EXPECT_EQ(found->op, "gate");
}

}  // namespace
}  // namespace orch
