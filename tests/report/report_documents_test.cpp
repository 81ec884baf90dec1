// The formats that programs read.
#include <cmath>
#include <sstream>

#include "analyzer/report/escape.hpp"
#include "analyzer/report/report_print.hpp"
#include "tests/report/golden.hpp"
#include "tests/report/sample_reports.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;
using nlohmann::literals::operator""_json_pointer;

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

TEST(ReportJson, IsWhatTheGoldenFilesSay) {
    expect_golden("divergence.json", document_text(report_json(divergence())));
    expect_golden("three_engines.json", document_text(report_json(three_engines())));
}

TEST(ReportJson, HasTheSameKeysWhateverTheVerdict) {
    const auto keys = [](const Json& json) {
        std::vector<std::string> all;
        for (const auto& item : json.items())
            all.push_back(item.key());
        return all;
    };
    const Json one = report_json(divergence());
    for (const Report& report : {parity(), not_comparable(), three_engines(), Report{}}) {
        const Json other = report_json(report);
        EXPECT_EQ(keys(other), keys(one));
        for (std::size_t i = 0; i < other["pairs"].size(); ++i)
            EXPECT_EQ(keys(other["pairs"][i]), keys(one["pairs"][0]));
    }
    EXPECT_TRUE(report_json(parity())["first_divergence"].is_null());
    EXPECT_TRUE(report_json(parity())["consensus"].is_null());
}

TEST(ReportJson, WhatNobodyCanSayIsNull) {
    PairReport pair = divergent_pair();
    pair.first_divergence->team.clear();
    pair.first_divergence->layer = -1;
    pair.first_divergence->error = INFINITY;
    const Json first = report_json(one_pair(pair))["first_divergence"];
    EXPECT_TRUE(first["team"].is_null());
    EXPECT_TRUE(first["layer"].is_null());
    EXPECT_TRUE(first["error"].is_null());
    EXPECT_TRUE(report_json(three_engines())["consensus"]["matrix"][1][2].is_null());
}

TEST(ReportJson, HostileTextIsStillADocument) {
    const std::string text = document_text(report_json(hostile()));
    EXPECT_EQ(valid_utf8(text), text);
    EXPECT_FALSE(Json::parse(text, nullptr, false).is_discarded());
}

TEST(ReportCsv, IsWhatTheGoldenFilesSay) {
    expect_golden("tokens.csv", report_csv(divergence(), CsvTable::tokens));
    expect_golden("sites.csv", report_csv(divergence(), CsvTable::sites));
    expect_golden("drift.csv", report_csv(three_engines(), CsvTable::drift));
    expect_golden("matrix.csv", report_csv(three_engines(), CsvTable::matrix));
}

TEST(ReportMarkdown, IsWhatTheGoldenFilesSay) {
    expect_golden("divergence.md", report_markdown(divergence()));
    expect_golden("three_engines.md", report_markdown(three_engines()));
}

TEST(ReportMarkdown, EveryRowOfATableHasAsManyCellsAsItsHead) {
    std::istringstream in(report_markdown(hostile()));
    std::size_t cells = 0;
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with('|')) {
            cells = 0;
            continue;
        }
        const std::size_t bars = count_of(line, "|") - count_of(line, "\\|");
        if (cells == 0) cells = bars;
        EXPECT_EQ(bars, cells) << line;
    }
}

TEST(ReportJunit, IsWhatTheGoldenFileSays) {
    expect_golden("divergence.junit.xml", report_junit(divergence()));
}

TEST(ReportJunit, TheVerdictIsInTheCountsOfFailuresAndErrors) {
    const auto total = [](const Report& report) {
        const std::string text = report_junit(report);
        return std::pair{count_of(text, "<failure "), count_of(text, "<error ")};
    };
    EXPECT_EQ(total(parity()), (std::pair<std::size_t, std::size_t>{0, 0}));
    EXPECT_EQ(total(divergence()), (std::pair<std::size_t, std::size_t>{2, 0}));
    EXPECT_EQ(total(not_comparable()), (std::pair<std::size_t, std::size_t>{0, 1}));
    PairReport blameless = divergent_pair();
    blameless.first_divergence.reset();
    blameless.sites.clear();
    EXPECT_EQ(total(one_pair(blameless)), (std::pair<std::size_t, std::size_t>{1, 0}));
}

TEST(ReportSarif, IsWhatTheGoldenFilesSay) {
    expect_golden("divergence.sarif", document_text(report_sarif(divergence())));
    expect_golden("not_comparable.sarif", document_text(report_sarif(not_comparable())));
}

TEST(ReportSarif, HasWhatTheStandardRequires) {
    PairReport blameless = divergent_pair();
    blameless.first_divergence.reset();
    for (const Report& report : {parity(), divergence(), not_comparable(), three_engines(),
                                 hostile(), one_pair(blameless)}) {
        const Json sarif = Json::parse(document_text(report_sarif(report)));
        EXPECT_EQ(sarif["version"], "2.1.0");
        const Json& run = sarif["runs"][0];
        const Json& driver = run["tool"]["driver"];
        EXPECT_EQ(driver["name"], "orchtrace");
        EXPECT_EQ(run["results"].empty(), report.verdict != Verdict::divergence);
        EXPECT_EQ(run["invocations"][0]["executionSuccessful"],
                  report.verdict != Verdict::not_comparable);
        for (const Json& result : run["results"]) {
            EXPECT_FALSE(result["message"]["text"].get<std::string>().empty());
            EXPECT_EQ(driver["rules"][result["ruleIndex"].get<std::size_t>()]["id"],
                      result["ruleId"]);
            const Json& place = result["locations"][0]["physicalLocation"];
            EXPECT_FALSE(place["artifactLocation"]["uri"].get<std::string>().empty());
            EXPECT_GE(place.value("/region/startLine"_json_pointer, 1), 1);
        }
    }
}

}  // namespace
}  // namespace orch
