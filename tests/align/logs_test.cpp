// Plain lines of any logger, and named tensors.
#include <gtest/gtest.h>

#include "tests/align/align_support.hpp"

namespace orch {
namespace {

std::string lines_of(const std::string& team,
                     const std::vector<std::tuple<std::string, int, std::string>>& lines) {
    FakeTrace trace(team);
    for (const auto& [checkpoint, token, shape] : lines)
        trace.log(checkpoint, token, shape);
    return trace.text();
}

TEST(Logs, JoinsByCheckpointAndToken) {
    const std::string text = lines_of(
        "a", {{"embedding", 0, "[1,8]"}, {"logits", 0, "[1,20]"}, {"logits", 1, "[1,20]"}});
    const Aligned result = aligned(
        text,
        lines_of("b", {{"logits", 1, "[20]"}, {"logits", 0, "[20]"}, {"embedding", 0, "[8]"}}));
    EXPECT_EQ(result.why(), "");
    ASSERT_EQ(result->tensors.size(), 3U);
    EXPECT_EQ(result->tensors[0].checkpoint, "embedding");
    EXPECT_EQ(result->tensors[2].token_idx, 1);
    EXPECT_EQ(result->sites.size(), 3U);
    EXPECT_EQ(result->notes.size(), 2U);  // no ledger vouches for either
}

TEST(Logs, TheKthLineOfATokenIsJoinedWithTheKth) {
    const std::string a =
        lines_of("a", {{"layer_0_output", 3, "[8]"}, {"layer_0_output", 3, "[8]"}});
    const Aligned result = aligned(a, a);
    ASSERT_EQ(result->tensors.size(), 2U);
    EXPECT_EQ(result->tensors[0].a, result->tensors[0].b);
    EXPECT_EQ(result->tensors[1].a, result->tensors[1].b);
    EXPECT_EQ(result->tensors[0].layer, 0);
}

TEST(Logs, AConstantOffsetOfTokensIsFoundAndSaid) {
    const Aligned result = aligned(
        lines_of("a", {{"logits", 20, "[8]"}, {"logits", 21, "[8]"}, {"logits", 22, "[8]"}}),
        lines_of("b", {{"logits", 0, "[8]"}, {"logits", 1, "[8]"}, {"logits", 2, "[8]"}}));
    EXPECT_EQ(result.why(), "");
    EXPECT_EQ(result->tensors.size(), 3U);
    EXPECT_EQ(result->notes.front(),
              "token_idx of a is larger by 20 than that of b for the same lines");
}

TEST(Logs, WhatOneSideLacksIsExplained) {
    const Aligned result = aligned(
        lines_of(
            "a",
            {{"logits", 0, "[8]"}, {"logits", 1, "[8]"}, {"logits", 2, "[8]"}, {"q", 0, "[4]"}}),
        lines_of("b", {{"logits", 0, "[8]"}, {"logits", 1, "[8]"}}));
    EXPECT_EQ(result.why(), "");
    EXPECT_EQ(result->ledger_a.dropped.at("token that the other engine did not reach"), 1U);
    EXPECT_EQ(result->ledger_a.dropped.at("checkpoint that the other engine does not log"), 1U);
}

TEST(Logs, AHoleInTheMiddleIsAHole) {
    const Aligned result =
        aligned(lines_of("a", {{"logits", 0, "[8]"}, {"logits", 1, "[8]"}, {"logits", 2, "[8]"}}),
                lines_of("b", {{"logits", 0, "[8]"}, {"logits", 2, "[8]"}}));
    EXPECT_NE(result.why().find("the other engine has no such line for token 1"), std::string::npos)
        << result.why();
}

TEST(Logs, OtherShapesAreNotJoined) {
    const Aligned result =
        aligned(lines_of("a", {{"logits", 0, "[8]"}}), lines_of("b", {{"logits", 0, "[9]"}}));
    EXPECT_EQ(result->tensors.size(), 0U);
    EXPECT_EQ(result->ledger_a.unmatched.size(), 1U);
    EXPECT_EQ(result->ledger_a.unmatched[0].why, "shape [8] in a, [9] in b");
    EXPECT_FALSE(result->not_comparable.empty());
}

TEST(Logs, NothingInCommonIsNotComparable) {
    const Aligned result =
        aligned(lines_of("a", {{"logits", 0, "[8]"}}), lines_of("b", {{"embedding", 0, "[8]"}}));
    EXPECT_EQ(result.why(),
              "the traces have no checkpoint in common; 'orchtrace info' lists those of each");
}

TEST(Logs, ALineMayStandForATensorThatTheOtherEngineNames) {
    FakeTrace named("llama.cpp");
    const FakeWeight weight = random_weight(16, 16, 1);
    for (int pass = 0; pass < 2; ++pass) {
        named.pass(pass == 0 ? std::vector<int>{1, 2, 3} : std::vector<int>{4}, pass * 3);
        named.weight("output.weight", weight, "output.weight");
        FakeProduct product;
        product.weight = "output.weight";
        product.x = std::to_string(pass);
        named.product(product);
        named.tensor("logits", 1, 16);
    }
    const Aligned result =
        aligned(named.text(), lines_of("candle", {{"logits", 2, "[16]"}, {"logits", 3, "[16]"}}));
    ASSERT_EQ(result->tensors.size(), 2U);
    EXPECT_EQ(result->tensors[1].token_idx, 3);
}

TEST(Logs, NamedTensorsStandAmongTheProducts) {
    const FakeModel model = fake_model(1);
    FakeEngine other = llama();
    other.team = "other";
    const Aligned result = aligned(model, llama(), other);
    EXPECT_EQ(result.why(), "");
    std::vector<std::string> labels;
    for (const Site& site : result->sites) {
        if (site.pass == 0) labels.push_back(site.label);
    }
    EXPECT_EQ(labels,
              (std::vector<std::string>{"layer_0_qkv", "layer_0_attn_out", "layer_0_gate_up",
                                        "layer_0_ffn_down", "layer_0_output", "head"}));
}

}  // namespace
}  // namespace orch
