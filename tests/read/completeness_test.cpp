// A trace that lacks lines is found out, every time.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "analyzer/info/trace_summary.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/read/trace_lines.hpp"

namespace orch {
namespace {

struct Lines {
    std::vector<std::string> lines;
    int gemms = 0;
    int rows = 0;
    int weights = 0;
    int passes = 0;
};

/// A run as llama.cpp has it: weights, then passes over layers, with rows behind the products.
Lines whole_run(int layers, int passes) {
    Lines run;
    run.lines.push_back(header_line);
    for (int layer = 0; layer < layers; ++layer, ++run.weights)
        run.lines.push_back(weight_line);
    for (int pass = 0; pass < passes; ++pass) {
        run.lines.push_back(pass_line);
        ++run.passes;
        for (int layer = 0; layer < layers; ++layer) {
            run.lines.push_back(gemm_line);
            ++run.gemms;
            for (int row = 0; pass == 0 && row < 4; ++row, ++run.rows)
                run.lines.push_back(row_line);
        }
    }
    const auto counts = [](int n) {
        return fmt::format(R"({{"seen":{0},"recorded":{0},"filtered":0,"dropped":0}})", n);
    };
    run.lines.push_back(fmt::format(
        R"({{"ts":"2026-01-31T12:00:02.733Z","team":"engine","checkpoint":"orchtrace.ledger",)"
        R"("token_idx":0,"dtype":"","shape":"[]","kind":"ledger","final":true,"classes":)"
        R"({{"gemm":{},"weight":{},"pass":{}}},"row_lines":{},"dropped_rows":0,"lines":{},)"
        R"("lost_lines":0,"values":[]}})",
        counts(run.gemms), counts(run.weights), counts(run.passes), run.rows, run.lines.size()));
    return run;
}

std::string joined_lines(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines)
        text += line + '\n';
    return text;
}

class CompletenessOfARun : public InDirectory {
  protected:
    Completeness of(const std::vector<std::string>& lines) {
        return summarize(Trace{file("t.jsonl", joined_lines(lines))}).completeness();
    }
};

TEST_F(CompletenessOfARun, AWholeOneIsComplete) {
    EXPECT_EQ(of(whole_run(8, 6).lines), Completeness::complete);
}

TEST_F(CompletenessOfARun, OneLineInAHundredKilledIsFoundHundredTimesInHundred) {
    const std::vector<std::string> whole = whole_run(12, 20).lines;
    const std::size_t killed = whole.size() / 100;
    ASSERT_GE(killed, 2U);
    int found = 0;
    for (unsigned seed = 0; seed < 100; ++seed) {
        std::vector<std::size_t> order(whole.size());
        for (std::size_t i = 0; i < order.size(); ++i)
            order[i] = i;
        std::shuffle(order.begin(), order.end(), std::mt19937{seed});
        order.resize(order.size() - killed);
        std::sort(order.begin(), order.end());
        std::vector<std::string> left;
        for (const std::size_t i : order)
            left.push_back(whole[i]);
        const bool is_incomplete = of(left) == Completeness::incomplete;
        EXPECT_TRUE(is_incomplete) << "seed " << seed;
        found += is_incomplete ? 1 : 0;
    }
    EXPECT_EQ(found, 100);
}

// Whichever line it is: a header, a ledger, a row, the first, the last.
TEST_F(CompletenessOfARun, AnySingleLineIsMissed) {
    const std::vector<std::string> whole = whole_run(4, 3).lines;
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::vector<std::string> left = whole;
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
        EXPECT_EQ(of(left), Completeness::incomplete) << whole[i];
    }
}

}  // namespace
}  // namespace orch
