#include "analyzer/report/budget.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "analyzer/report/report_print.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/report/sample_reports.hpp"

namespace orch {
namespace {

std::vector<std::string> broken_names(const BudgetCheck& check) {
    std::vector<std::string> names;
    for (const Overrun& one : check.broken)
        names.push_back(one.what);
    return names;
}

TEST(Budget, WhatSetItKeepsIt) {
    for (const PairReport& pair : {parity_pair(), divergent_pair()}) {
        for (const double margin : {1.0, 2.0}) {
            const BudgetCheck check = check_budget(budget_of(pair, margin), pair);
            EXPECT_TRUE(check.broken.empty()) << check.broken.front().what;
            EXPECT_GT(check.limits, 10U);
            EXPECT_NEAR(check.nearest_part, 1 / margin, 1e-3);
        }
    }
}

TEST(Budget, AnErrorAboveItsMarginBreaksItsLimitAlone) {
    const Budget budget = budget_of(parity_pair(), 2);
    PairReport worse = parity_pair();
    worse.sites[1].output_error = 2.7e-3;
    const BudgetCheck check = check_budget(budget, worse);
    ASSERT_EQ(broken_names(check), std::vector<std::string>{"layer_0_o output"});
    EXPECT_NEAR(check.broken[0].allowed, 2.6e-3, 1e-6);
    EXPECT_EQ(check.broken[0].measured, 2.7e-3);
    worse.sites[1].output_error = NAN;
    EXPECT_EQ(check_budget(budget, worse).broken.size(), 1U) << "NaN keeps no limit";
    worse.sites[1].output_error = INFINITY;
    EXPECT_EQ(check_budget(budget, worse).broken.size(), 1U);
}

TEST(Budget, ErrorsUnderTheRoundingOfSumsAreNoNews) {
    PairReport pair = parity_pair();
    pair.sites[0].input_error = 0.0;
    const Budget budget = budget_of(pair, 2);
    pair.sites[0].input_error = 9e-7;
    EXPECT_TRUE(check_budget(budget, pair).broken.empty());
    pair.sites[0].input_error = 1.1e-6;
    EXPECT_EQ(check_budget(budget, pair).broken.size(), 1U);
}

TEST(Budget, LookingAtLessBreaksIt) {
    const Budget budget = budget_of(parity_pair(), 2);
    PairReport pair = parity_pair();
    pair.sites[2].input_error.reset();
    pair.sites[2].output_error.reset();
    pair.tokens.pop_back();
    EXPECT_EQ(broken_names(check_budget(budget, pair)),
              (std::vector<std::string>{"layer_1_qkv input", "layer_1_qkv output",
                                        "places measured", "positions compared"}));
}

TEST(Budget, AFlipAWorseGradeAndADivergenceBreakIt) {
    const Budget budget = budget_of(parity_pair(), 2);
    PairReport pair = parity_pair();
    pair.grade = Grade::bad;
    pair.first_divergence = divergent_pair().first_divergence;
    pair.tokens[0].flip = "hard";
    const BudgetCheck check = check_budget(budget, pair);
    EXPECT_EQ(broken_names(check),
              (std::vector<std::string>{"hard flips", "grade", "first divergence"}));
    EXPECT_EQ(check.broken[2].sentence, "layer_2_attention diverges");
}

TEST(Budget, AKnownDivergenceIsAllowedInItsPlaceOnly) {
    const Budget budget = budget_of(divergent_pair(), 2);
    EXPECT_EQ(budget.first_divergence, "layer_2_attention");
    PairReport pair = divergent_pair();
    pair.first_divergence->checkpoint = "layer_1_o";
    EXPECT_EQ(broken_names(check_budget(budget, pair)),
              std::vector<std::string>{"first divergence"});
}

TEST(Budget, ABetterRunTightensAndNothingElse) {
    const Budget old = budget_of(parity_pair(), 2);
    PairReport better = parity_pair();
    better.sites[1].output_error = 1e-4;
    better.sites[0].output_error = 4e-7;  // worse, and within its limit
    const Tightened result = tighten(old, better, 2, "");
    EXPECT_TRUE(result.looser.empty());
    EXPECT_EQ(result.tighter, 1U);
    EXPECT_TRUE(result.budget.loosened.empty());
    Budget expected = old;
    for (auto& [name, limit] : expected.at_most) {
        if (name == "layer_0_o output") limit = 2.00002e-4;
    }
    EXPECT_EQ(budget_json(result.budget).dump(), budget_json(expected).dump());
}

TEST(Budget, WhatGotWorseIsLoosenedWithItsReason) {
    const Budget old = budget_of(parity_pair(), 2);
    PairReport worse = parity_pair();
    worse.sites[1].output_error = 0.5;
    worse.sites[2].input_error.reset();
    worse.grade = Grade::reasonable;
    const Tightened result = tighten(old, worse, 2, "a new kernel");
    EXPECT_EQ(result.looser, (std::vector<std::string>{"layer_0_o output: 2.6e-3 to 1",
                                                       "layer_1_qkv input: 1.8e-3 to no limit",
                                                       "grade: within_floor to reasonable"}));
    ASSERT_EQ(result.budget.loosened.size(), 1U);
    EXPECT_EQ(result.budget.loosened[0].reason, "a new kernel");
    EXPECT_EQ(result.budget.loosened[0].what, result.looser);
    EXPECT_TRUE(check_budget(result.budget, worse).broken.empty());
}

class BudgetFile : public InDirectory {
  protected:
    static std::string problem_of(const std::string& path) {
        try {
            read_budget(path);
        } catch (const std::runtime_error& error) {
            return error.what();
        }
        return {};
    }
};

TEST_F(BudgetFile, ReadsWhatItWrote) {
    Budget budget = budget_of(divergent_pair(), 3);
    budget.loosened = {{"why", {"what"}}};
    const std::string text = document_text(budget_json(budget));
    const Budget again = read_budget(file("budget.json", text));
    EXPECT_EQ(document_text(budget_json(again)), text);
    EXPECT_TRUE(check_budget(again, divergent_pair()).broken.empty());
}

TEST_F(BudgetFile, ABadFileIsNamedWithWhatIsWrong) {
    EXPECT_TRUE(contains(problem_of(path("none.json")), "none.json: cannot be read"));
    EXPECT_TRUE(contains(problem_of(file("a.json", "{]")), "this is no budget"));
    EXPECT_TRUE(contains(problem_of(file("b.json", "[]")), "this is no budget"));
    EXPECT_TRUE(
        contains(problem_of(file("c.json", R"({"orchtrace_budget":2})")), "another version"));
    EXPECT_TRUE(contains(problem_of(file("d.json", R"({"orchtrace_budget":1})")), "with an error"));
    Budget budget = budget_of(parity_pair(), 2);
    auto json = budget_json(budget);
    json["at_most"]["layer_0_o output"] = "much";
    EXPECT_TRUE(contains(problem_of(file("e.json", json.dump())), "with an error"));
    json = budget_json(budget);
    json["grade"] = "splendid";
    EXPECT_TRUE(contains(problem_of(file("f.json", json.dump())), "no such grade"));
}

}  // namespace
}  // namespace orch
