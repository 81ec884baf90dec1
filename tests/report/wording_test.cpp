#include "analyzer/report/wording.hpp"

#include "analyzer/report/escape.hpp"
#include "analyzer/report/numbers.hpp"
#include "tests/report/sample_reports.hpp"

#include <gtest/gtest.h>

namespace orch {
namespace {

TEST(Wording, ErrorsAreShort) {
    const std::pair<double, const char*> cases[] = {
        {0, "0"},         {0.147, "0.147"},  {2.6e-3, "2.6e-3"},   {1e-3, "1e-3"},
        {0.01, "0.01"},   {3.14159, "3.14"}, {123.4, "123"},       {9999, "1e+04"},
        {1e18, "1e18"},   {-0.5, "-0.5"},    {1.5e-10, "1.5e-10"}, {NAN, "-"},
        {INFINITY, "inf"}};
    for (const auto& [value, text] : cases)
        EXPECT_EQ(error_text(value), text) << value;
}

TEST(Wording, SharesAreInPercent) {
    const std::pair<double, const char*> cases[] = {{0, "0 %"},
                                                    {0.147, "15 %"},
                                                    {0.0026, "0.26 %"},
                                                    {1e-6, "under 0.01 %"},
                                                    {2, "200 %"},
                                                    {0.0999, "10 %"},
                                                    {5.4e17, "5.4e17 times its size"},
                                                    {INFINITY, "beyond measure"}};
    for (const auto& [value, text] : cases)
        EXPECT_EQ(percent_text(value), text) << value;
}

TEST(Wording, AnErrorIsSetAgainstItsFloor) {
    EXPECT_EQ(against_floor(0.147, 2.6e-3), "57 times the floor of 2.6e-3");
    EXPECT_EQ(against_floor(1.1e-3, 2.6e-3), "0.42 times the floor of 2.6e-3");
    EXPECT_EQ(against_floor(1e18, 1e-7), "1e25 times the floor of 1e-7");
    EXPECT_EQ(against_floor(1, 0), "the floor is 0");
    EXPECT_EQ(against_floor(INFINITY, 0.5), "floor 0.5");
}

TEST(Wording, FlipsAreCountedByKindAndTheFirstHardOneIsNamed) {
    EXPECT_EQ(
        tokens_text(divergent_pair().tokens),
        "the same one wins at 1 of 3 positions; 1 hard flip; 1 tie; first at 20: 95 against "
        "12, margin 1.25; logits differ by at most 0.3; KL mean 0.015, most 0.02; 1 left out");
    EXPECT_EQ(tokens_text({token(7, -1, -1, "", 0.5)}),
              "which one wins is not known at 1 position; logits differ by at most 0.5");
    EXPECT_EQ(tokens_text({}), "no logits that are in both traces");
}

TEST(Wording, TheWorstVerdictDecides) {
    Report report = three_engines();
    EXPECT_EQ(deciding_pair(report), &report.pairs[1]);
    report.pairs[1].verdict = Verdict::not_comparable;
    EXPECT_EQ(deciding_pair(report), &report.pairs[1]);
    report.pairs[1].verdict = Verdict::parity;
    EXPECT_EQ(deciding_pair(report), &report.pairs[0]);
    EXPECT_EQ(deciding_pair(Report{}), nullptr);
}

TEST(Numbers, HaveSixDigitsAndNoneThatIsNotANumber) {
    EXPECT_EQ(json_number(0.1470000001).dump(), "0.147");
    EXPECT_EQ(json_number(1234567.8).dump(), "1234570.0");
    EXPECT_EQ(json_number(NAN).dump(), "null");
    EXPECT_EQ(json_number(INFINITY).dump(), "null");
    EXPECT_EQ(json_number(std::optional<double>{}).dump(), "null");
    EXPECT_EQ(csv_number(NAN), "");
    EXPECT_EQ(csv_number(INFINITY), "inf");
    EXPECT_EQ(csv_number(2.6e-3), "0.0026");
}

TEST(Escape, WhatIsNoUtf8IsReplaced) {
    EXPECT_EQ(valid_utf8("a\xff"), "a\xEF\xBF\xBD");
    EXPECT_EQ(valid_utf8("\xE2\x82\xAC"), "\xE2\x82\xAC");
    EXPECT_EQ(valid_utf8("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");
    EXPECT_EQ(valid_utf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // too long a form
    EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
    EXPECT_EQ(valid_utf8("\xF0\x9F\x99\x82"), "\xF0\x9F\x99\x82");
}

TEST(Escape, XmlAndUrisKeepTheirSyntax) {
    EXPECT_EQ(xml_text("<a b=\"c\">&\x1b\n"), "&lt;a b=&quot;c&quot;&gt;&amp;\xEF\xBF\xBD&#10;");
    EXPECT_EQ(uri_of_path("/tmp/a b%.jsonl"), "file:///tmp/a%20b%25.jsonl");
    EXPECT_EQ(uri_of_path("dir/a.jsonl"), "dir/a.jsonl");
    EXPECT_EQ(markdown_text("a|b\n*c*"), "a\\|b \\*c\\*");
}

}  // namespace
}  // namespace orch
