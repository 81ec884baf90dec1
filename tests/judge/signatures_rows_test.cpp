#include <gtest/gtest.h>

#include <algorithm>

#include "analyzer/judge/signature.hpp"
#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr double noise = 1e-3;
constexpr double expected = 2e-3;

Passes passes_of(Matrix prompt, Matrix prompt_b) {
    Passes passes;
    passes.a.push_back(std::move(prompt));
    passes.b.push_back(noisy(prompt_b, noise, 5));
    return passes;
}

std::string name_of(const std::optional<Finding>& found) {
    return found ? found->signature.name : "";
}

TEST(SignatureRows, RowsOnePositionLate) {
    const Matrix a = random_matrix(9, 256, 1);
    Matrix b = a;
    std::copy(a.begin(), a.end() - 1, b.begin() + 1);
    for (const bool same_features : {true, false})
        EXPECT_EQ(name_of(find_row_permutation(
                      suspect_of(Step::norm, passes_of(a, b), expected, same_features))),
                  "position_offset")
            << same_features;
}

TEST(SignatureRows, RowsInReverse) {
    const Matrix a = random_matrix(9, 256, 2);
    const Matrix b(a.rbegin(), a.rend());
    EXPECT_EQ(name_of(find_row_permutation(suspect_of(Step::norm, passes_of(a, b), expected))),
              "row_permutation");
}

TEST(SignatureRows, OtherNumbersAreNoPermutation) {
    const Matrix a = random_matrix(9, 256, 3);
    const Suspect suspect =
        suspect_of(Step::norm, passes_of(a, random_matrix(9, 256, 4)), expected);
    EXPECT_FALSE(find_row_permutation(suspect));
    EXPECT_FALSE(find_column_permutation(suspect));
    EXPECT_FALSE(find_transposition(suspect));
    EXPECT_FALSE(find_stale(suspect));
}

TEST(SignatureRows, FeaturesInAnotherOrder) {
    const Matrix a = random_matrix(9, 256, 5);
    const Matrix b =
        changed(a, [](Row& row, std::size_t) { std::reverse(row.begin(), row.end()); });
    const auto found = find_signatures(suspect_of(Step::attention, passes_of(a, b), expected));
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front().signature.name, "column_permutation");
}

TEST(SignatureRows, TokensAndFeaturesExchanged) {
    const Matrix a = random_matrix(9, 256, 6);
    Matrix b = a;
    for (std::size_t i = 0; i < 9 * 256; ++i)
        b[i / 256][i % 256] = a[i % 9][i / 9];
    const Suspect suspect = suspect_of(Step::attention, passes_of(a, b), 1e-3);
    EXPECT_EQ(name_of(find_transposition(suspect)), "transposition");
}

TEST(SignatureRows, ThePassBeforeOnceMore) {
    Passes passes;
    for (unsigned i = 0; i < 4; ++i)
        passes.a.push_back(random_matrix(i == 0 ? 9 : 1, 256, 10 + i));
    passes.b = passes.a;
    for (std::size_t i = 1; i < passes.a.size(); ++i)
        passes.b[i] = {passes.a[i - 1].back()};
    const auto found = find_signatures(suspect_of(Step::norm, passes, expected));
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front().signature.name, "stale");
    EXPECT_EQ(found.front().team, "right");
}

TEST(SignatureRows, RowsOnePositionLateInEachChunk) {
    const Matrix a = random_matrix(9, 256, 1);
    Matrix b = a;
    for (std::size_t row = 1; row < a.size(); ++row)
        if (row != 5) b[row] = a[row - 1];
    Suspect suspect = suspect_of(Step::norm, passes_of(a, b), expected);
    EXPECT_NE(name_of(find_row_permutation(suspect)), "position_offset");  // row 5 is right
    suspect.passes[0].chunks = {0, 5};
    EXPECT_EQ(name_of(find_row_permutation(suspect)), "position_offset");
}

TEST(SignatureRows, RowsInReverseInEachChunk) {
    const Matrix a = random_matrix(9, 256, 2);
    Matrix b = a;
    std::reverse(b.begin(), b.begin() + 5);
    std::reverse(b.begin() + 5, b.end());
    Suspect suspect = suspect_of(Step::norm, passes_of(a, b), expected);
    suspect.passes[0].chunks = {0, 5};
    EXPECT_EQ(name_of(find_row_permutation(suspect)), "row_permutation");
    EXPECT_GT(find_row_permutation(suspect)->signature.confidence, 0.9);
}

}  // namespace
}  // namespace orch
