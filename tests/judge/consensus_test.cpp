#include <gtest/gtest.h>

#include <cmath>
#include <deque>

#include "analyzer/judge/judge.hpp"
#include "trace_files.hpp"

namespace orch {
namespace {

/// Engines that log the same two checkpoints, each off by its own amount.
Report consensus(const std::vector<double>& offsets, const std::string& baseline = "") {
    std::deque<TraceFile> files;
    std::vector<const EngineTrace*> engines;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        std::vector<PlainLine> lines;
        for (int token = 0; token < 3; ++token) {
            lines.push_back({"layer_0_output", token, {1, 2, 3, 4}});
            lines.push_back({"logits", token, {9, 5 + offsets[i], 1, 0}});
        }
        files.emplace_back(plain_text(fmt::format("engine{}", i), lines));
        engines.push_back(&files.back().engine());
    }
    std::vector<Alignment> all;
    for (std::size_t i = 0; i < engines.size(); ++i)
        for (std::size_t j = i + 1; j < engines.size(); ++j)
            all.push_back(align(*engines[i], *engines[j]));
    std::vector<PairReport> pairs;
    for (std::size_t j = 1; j < engines.size(); ++j)
        pairs.push_back(judge(all[j - 1], nullptr, {}));
    return judge_all(std::move(pairs), all, engines, baseline, {});
}

TEST(Consensus, TheOddOneIsNamedWhereverItStands) {
    for (std::size_t odd = 0; odd < 4; ++odd) {
        std::vector<double> offsets = {0, 1e-4, 2e-4, 3e-4};
        offsets[odd] = 3;
        const Report report = consensus(offsets);
        EXPECT_EQ(report.outlier, fmt::format("engine{}", odd));
        EXPECT_NE(report.medoid, report.outlier);
        ASSERT_EQ(report.outliers.size(), 1U);
        EXPECT_EQ(report.outliers[0].checkpoint, "logits");
    }
}

TEST(Consensus, EnginesThatAgreeHaveNoOutlier) {
    const Report report = consensus({0, 1e-4, 2e-4, 1e-4});
    EXPECT_EQ(report.outlier, "");
    EXPECT_TRUE(report.outliers.empty());
    EXPECT_EQ(report.verdict, Verdict::parity);
}

TEST(Consensus, OfTwoNoneStandsApart) {
    const Report report = consensus({0, 3});
    EXPECT_EQ(report.outlier, "");
    EXPECT_EQ(report.verdict, Verdict::divergence);
    EXPECT_EQ(report.headline, report.pairs[0].headline);
}

TEST(Consensus, NearestToTheBaseline) {
    EXPECT_EQ(consensus({0, 1e-2, 2e-2, 5e-2}, "engine2").nearest, "engine1");
    EXPECT_EQ(consensus({0, 1e-2, 2e-2, 5e-2}, "").nearest, "");
}

TEST(Consensus, TheMatrixIsOfAllPairs) {
    const Report report = consensus({0, 1e-2, 3});
    ASSERT_EQ(report.matrix.size(), 3U);
    EXPECT_EQ(report.matrix[1][1], 0);
    EXPECT_GT(report.matrix[0][2], report.matrix[0][1]);
    EXPECT_DOUBLE_EQ(report.matrix[2][0], report.matrix[0][2]);
}

}  // namespace
}  // namespace orch
