#include "analyzer/judge/tokens.hpp"

#include <gtest/gtest.h>

namespace orch {
namespace {

TokenRow flipped(double error, double expected) {
    TokenRow row;
    row.argmax_a = 1;
    row.argmax_b = 2;
    row.error = error;
    row.expected = expected;
    row.size = 2;
    return row;
}

TEST(Flips, TheSameTokenIsNoFlip) {
    std::vector<TokenRow> rows(1);
    rows[0].argmax_a = rows[0].argmax_b = 7;
    classify_flips(rows, 0);
    EXPECT_EQ(rows[0].flip, "");
}

TEST(Flips, AMarginWithinTheFloorIsATie) {
    std::vector<TokenRow> rows(2, flipped(0.5, 0));
    rows[0].margin = 0.19;
    rows[1].margin = 0.21;
    classify_flips(rows, 0.1);
    EXPECT_EQ(rows[0].flip, "tie");
    EXPECT_EQ(rows[1].flip, "hard");
}

TEST(Flips, TheObservedDifferenceIsNoFloor) {
    // Any flip has a margin below twice the largest difference: that test would pass all of them.
    std::vector<TokenRow> rows = {flipped(0.5, 1e-3)};
    rows[0].margin = 0.3;
    rows[0].max_abs = 10;
    classify_flips(rows, 0);
    EXPECT_EQ(rows[0].flip, "hard");
}

TEST(Flips, WithoutAMarginTheWholeRowMustBeWithinItsFloor) {
    std::vector<TokenRow> rows = {flipped(1e-3, 1e-3), flipped(1e-2, 1e-3)};
    classify_flips(rows, 0);
    EXPECT_EQ(rows[0].flip, "tie");
    EXPECT_EQ(rows[1].flip, "hard");
}

TEST(LogitFloor, IsTheLargestOfTheFloorRun) {
    std::vector<TokenRow> rows(3);
    rows[0].max_abs = 0.1;
    rows[1].max_abs = 0.3;
    rows[2].max_abs = 50;
    rows[2].skipped = "garbage values";
    EXPECT_DOUBLE_EQ(logit_floor(rows), 0.3);
    EXPECT_EQ(logit_floor({}), 0);
}

}  // namespace
}  // namespace orch
