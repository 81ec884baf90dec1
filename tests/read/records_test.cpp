#include "analyzer/read/records.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/cli/cli_test_support.hpp"
#include "tests/read/trace_lines.hpp"

namespace orch {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

class Records : public InDirectory {
  protected:
    const Trace& trace(const std::string& text) {
        trace_.emplace(file("t.jsonl", text));
        return *trace_;
    }

  private:
    std::optional<Trace> trace_;
};

TEST_F(Records, AProductHasAllItsNumbers) {
    const Trace& t = trace(gemm_line + '\n');
    RecordParser parser{t};
    const CallRecord call = parser.call(t.entries()[0]);
    EXPECT_EQ(parser.problem(), "");
    EXPECT_EQ(call.op, "MUL_MAT");
    EXPECT_EQ(call.name, "Qcur-0");
    EXPECT_EQ(call.caller, "");
    EXPECT_FALSE(call.proof);
    ASSERT_TRUE(call.x);
    EXPECT_EQ(call.x->dtype, "f32");
    EXPECT_EQ(call.x->rows, 20);
    EXPECT_EQ(call.x->cols, 96);
    EXPECT_EQ(call.x->energy, 2565.127);
    EXPECT_EQ(call.x->argmax, 2025);
    EXPECT_EQ(call.x->hash, 0x176fce9d04a9859cU);
    EXPECT_EQ(call.x->nonfinite.total(), 0);
    ASSERT_TRUE(call.x->mixed);
    EXPECT_EQ((*call.x->mixed)[0], -22.38);
    EXPECT_EQ((*call.x->mixed)[15], 6.19);
    ASSERT_TRUE(call.x->last_row);
    EXPECT_EQ(call.x->last_row->argmax, 34);
    EXPECT_EQ((*call.x->last_row->sketch)[12], 5.49);
    EXPECT_TRUE(std::isnan(call.y.sum));  // null: it could not be represented
    EXPECT_EQ(call.y.nonfinite.nan, 1);
    EXPECT_EQ(call.y.nonfinite.neg_inf, 2);
    ASSERT_EQ(call.values.size(), 4U);
    EXPECT_EQ(call.values[0], 1.8366414);
    EXPECT_TRUE(std::isnan(call.values[1]));
    EXPECT_EQ(call.values[2], -infinity);
}

TEST_F(Records, ARowAWeightAndAPass) {
    const Trace& t = trace(row_line + '\n' + weight_line + '\n' + pass_line + '\n');
    RecordParser parser{t};
    const RowRecord row = parser.row(t.entries()[0]);
    EXPECT_EQ(row.position, 0);
    ASSERT_TRUE(row.x);
    EXPECT_FALSE(row.x->max);
    EXPECT_EQ(row.y.argmax, 16);
    EXPECT_EQ(row.values, (std::vector<double>{1, 2, 0}));
    const WeightRecord weight = parser.weight(t.entries()[1]);
    EXPECT_EQ(weight.id, "w1");
    EXPECT_EQ(weight.name, "blk.w");
    EXPECT_EQ(weight.rows, 17);
    EXPECT_EQ(weight.cols, 12);
    ASSERT_EQ(weight.row_digests.size(), 2U);
    EXPECT_EQ(weight.row_digests[1].first, 16);
    EXPECT_EQ(weight.row_digests[1].second.energy, 2);
    EXPECT_FALSE(weight.is_activation());
    const PassRecord pass = parser.pass(t.entries()[2]);
    EXPECT_EQ(pass.number, 1);
    EXPECT_EQ(pass.n_tokens, 2);
    EXPECT_EQ(pass.tokens, (std::vector<std::int64_t>{80, 81}));
    EXPECT_EQ(pass.positions, (std::vector<std::int64_t>{19, 20}));
    EXPECT_EQ(pass.sequences, (std::vector<std::int64_t>{0, 3}));
}

TEST_F(Records, WhatALineLacksStaysAtItsDefault) {
    const Trace& t = trace(R"({"checkpoint":"a","y":{"mixed":[1,2],"hash":"xyz"}})");
    RecordParser parser{t};
    const CallRecord call = parser.call(t.entries()[0]);
    EXPECT_FALSE(call.x);
    EXPECT_FALSE(call.y.mixed);
    EXPECT_FALSE(call.y.hash);
    EXPECT_EQ(call.y.energy, 0);
    EXPECT_TRUE(parser.values(t.entries()[0]).empty());
    EXPECT_EQ(parser.problem(), "");
}

// The index pass does not look at numbers: who asks for them learns that they are none.
TEST_F(Records, ANumberThatIsNoneIsFoundWhenItIsAskedFor) {
    const Trace& t = trace(log_line(1, "a", "1,2..5") + '\n' + log_line(2, "a", "1,2") + '\n');
    ASSERT_EQ(t.entries().size(), 2U);
    RecordParser parser{t};
    EXPECT_TRUE(parser.values(t.entries()[0]).empty());
    EXPECT_EQ(parser.problem(), "not valid JSON (bad number)");
    EXPECT_EQ(parser.values(t.entries()[1]).size(), 2U);
    EXPECT_EQ(parser.problem(), "");
    EXPECT_EQ(parser.bad_records(), 1U);
    EXPECT_EQ(parser.call(t.entries()[0]).values.size(), 0U);
    EXPECT_EQ(parser.bad_records(), 2U);
}

TEST_F(Records, BothWaysToTheValuesAgree) {
    std::string text;
    for (const char* values : {"", "1", "1.5,-0.0,2e-3,1e-320", "null", "null,null,7", "1, 2, 3",
                               "0.1,1234567890123456789"}) {
        text += log_line(1, "a", values) + '\n';
        std::string with = log_line(1, "a", values);
        with.insert(with.find("\"values\""), R"("nonfinite":[[0,"inf"],[1,"-inf"],[9,"nan"]],)");
        text += with + '\n';
    }
    const Trace& t = trace(text + gemm_line);
    RecordParser parser{t};
    for (const Entry& entry : t.entries()) {
        const std::vector<double> quick = parser.values(entry);
        const std::vector<double> thorough = parser.call(entry).values;
        ASSERT_EQ(quick.size(), thorough.size()) << t.text(entry);
        for (std::size_t i = 0; i < quick.size(); ++i) {
            EXPECT_TRUE(quick[i] == thorough[i] ||
                        (std::isnan(quick[i]) && std::isnan(thorough[i])))
                << t.text(entry) << ' ' << i;
        }
    }
}

}  // namespace
}  // namespace orch
