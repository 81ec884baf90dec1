#include <gtest/gtest.h>

#include "analyzer/judge/judge.hpp"
#include "trace_files.hpp"

namespace orch {
namespace {

std::vector<PlainLine> reference() {
    std::vector<PlainLine> lines;
    for (int token = 0; token < 3; ++token) {
        const double t = token;
        lines.push_back({"embedding", token, {1 + t, -2, 3, 0.5}});
        for (int layer = 0; layer < 4; ++layer)
            lines.push_back(
                {fmt::format("layer_{}_output", layer), token, {2 + t, layer + 1.0, -1, 4}});
        lines.push_back({"logits", token, {10, 8 + t, -3, 1}});
    }
    return lines;
}

PairReport compare(const std::vector<PlainLine>& other, const JudgeOptions& options = {}) {
    const TraceFile a{plain_text("left", reference())};
    const TraceFile b{plain_text("right", other)};
    return judge(align(a.engine(), b.engine()), nullptr, options);
}

TEST(JudgePlain, EqualLinesAreIdentical) {
    const PairReport report = compare(reference());
    EXPECT_EQ(report.verdict, Verdict::parity);
    EXPECT_EQ(report.grade, Grade::identical);
    EXPECT_FALSE(report.first_divergence);
}

TEST(JudgePlain, UnderOnePercentIsReasonable) {
    auto lines = reference();
    for (PlainLine& line : lines)
        for (double& value : line.values)
            value *= 1.004;
    const PairReport report = compare(lines);
    EXPECT_EQ(report.verdict, Verdict::parity);
    EXPECT_EQ(report.grade, Grade::reasonable);
}

TEST(JudgePlain, OverTenPercentIsBadAndItsFirstPlaceIsNamed) {
    auto lines = reference();
    for (PlainLine& line : lines)
        if (line.token >= 1 && line.checkpoint >= "layer_2" && line.checkpoint != "logits")
            for (double& value : line.values)
                value *= -1;
    const PairReport report = compare(lines);
    ASSERT_EQ(report.verdict, Verdict::divergence);
    ASSERT_TRUE(report.first_divergence);
    EXPECT_EQ(report.first_divergence->checkpoint, "layer_2_output");
    EXPECT_EQ(report.first_divergence->layer, 2);
    EXPECT_EQ(report.first_divergence->token_idx, 1);
    EXPECT_EQ(report.first_divergence->signature.name, "sign");
    EXPECT_NE(report.first_divergence->between.find("layer_1_output"), std::string::npos);
}

TEST(JudgePlain, AnotherWinnerIsBad) {
    auto lines = reference();
    lines.back().values = {10, 10.5, -3, 1};
    const PairReport report = compare(lines);
    EXPECT_EQ(report.verdict, Verdict::divergence);
    EXPECT_EQ(report.grade, Grade::bad);
    ASSERT_EQ(report.tokens.size(), 3U);
    EXPECT_EQ(report.tokens[2].flip, "hard");
}

TEST(JudgePlain, GarbageIsFoundAndLeftOutOnRequest) {
    auto lines = reference();
    for (PlainLine& line : lines)
        if (line.token == 0 && line.checkpoint == "logits") line.values[2] = 1.01e18;
    const PairReport found = compare(lines);
    ASSERT_TRUE(found.first_divergence);
    EXPECT_EQ(found.first_divergence->signature.name, "uninitialised");
    EXPECT_EQ(found.first_divergence->team, "right");

    JudgeOptions without_garbage;
    without_garbage.skip_garbage = true;
    const PairReport rest = compare(lines, without_garbage);
    EXPECT_EQ(rest.verdict, Verdict::parity);
    ASSERT_EQ(rest.tokens.size(), 3U);
    EXPECT_FALSE(rest.tokens[0].skipped.empty());

    JudgeOptions without_first;
    without_first.skip_positions = {0};
    EXPECT_EQ(compare(lines, without_first).verdict, Verdict::parity);
}

TEST(JudgePlain, NaNOnOneSideIsNeverParity) {
    auto lines = reference();
    lines[3].values[1] = 1e300;
    const PairReport report = compare(lines);
    ASSERT_TRUE(report.first_divergence);
    EXPECT_EQ(report.first_divergence->signature.name, "nonfinite");
}

TEST(JudgePlain, NothingInCommonIsNoParity) {
    const PairReport report = compare({{"something_else", 0, {1, 2, 3}}});
    EXPECT_EQ(report.verdict, Verdict::not_comparable);
    EXPECT_FALSE(report.reasons.empty());
}

TEST(JudgePlain, EverythingLeftOutIsNoParity) {
    JudgeOptions options;
    options.skip_positions = {0, 1, 2};
    EXPECT_EQ(compare(reference(), options).verdict, Verdict::not_comparable);
}

TEST(JudgePlain, DriftIsByLayer) {
    auto lines = reference();
    for (PlainLine& line : lines)
        for (int layer = 0; layer < 4; ++layer)
            if (line.checkpoint == fmt::format("layer_{}_output", layer))
                line.values[0] += 1e-4 * (layer + 1) * (layer + 1);
    EXPECT_EQ(compare(lines).drift.kind, "growing");
}

}  // namespace
}  // namespace orch
