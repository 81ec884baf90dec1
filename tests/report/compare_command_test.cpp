// The commands compare, baseline and selftest as a user calls them. Real engines: tests/faults.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "analyzer/cli/compare_options.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

using Json = nlohmann::json;

/// One set of traces for all: the selftest's.
class Compare : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        std::string name =
            (std::filesystem::temp_directory_path() / "orch_compare.XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        directory = name;
        selftest = orchtrace({"selftest", "--keep", (directory / "cases").string()});
    }
    static void TearDownTestSuite() { std::filesystem::remove_all(directory); }

    static std::string trace(const std::string& name) {
        return (directory / "cases" / (name + ".jsonl")).string();
    }
    static std::string path(const std::string& name) { return (directory / name).string(); }
    static Outcome compare(std::vector<std::string> more) {
        more.insert(more.begin(), "compare");
        return orchtrace(std::move(more));
    }
    static Json json_of(const Outcome& outcome) { return Json::parse(outcome.out, nullptr, false); }

    static std::filesystem::path directory;
    static Outcome selftest;
};
std::filesystem::path Compare::directory;
Outcome Compare::selftest;

TEST_F(Compare, SelftestTellsRightFromWrong) {
    EXPECT_EQ(selftest.code, exit_ok) << selftest.out << selftest.err;
    EXPECT_TRUE(contains(selftest.out, "PASSED: 12 of 12 cases")) << selftest.out;
    EXPECT_EQ(orchtrace({"selftest", "--keep", path("cases")}).code, exit_unusable) << "not empty";
}

TEST_F(Compare, TheExitCodeIsTheVerdict) {
    const std::string reference = trace("reference");
    const Outcome same = compare({reference, trace("rebuilt")});
    EXPECT_EQ(same.code, exit_ok) << same.out << same.err;
    EXPECT_TRUE(same.out.starts_with("PARITY: ")) << same.out;
    const Outcome other = compare({reference, trace("rope")});
    EXPECT_EQ(other.code, exit_divergence) << other.err;
    EXPECT_TRUE(other.out.starts_with("DIVERGENCE: ")) << other.out;
    const Outcome lost = compare({reference, trace("lost")});
    EXPECT_EQ(lost.code, exit_unusable) << lost.err;
    EXPECT_TRUE(lost.out.starts_with("NOT COMPARABLE: ")) << lost.out;
}

TEST_F(Compare, TheSameTracesGiveTheSameBytes) {
    for (const char* format : {"text", "json", "csv", "markdown"}) {
        const auto once = [&] {
            return compare(
                {"--format", format, trace("reference"), trace("rope"), trace("rebuilt")});
        };
        EXPECT_EQ(once().out, once().out) << format;
    }
}

TEST_F(Compare, OtherFormatsAreWrittenBesideTheReport) {
    const Outcome outcome =
        compare({"--junit", path("out.xml"), "--sarif", path("out.sarif"), "--format", "markdown",
                 "-o", path("out.md"), trace("reference"), trace("mask")});
    EXPECT_EQ(outcome.code, exit_divergence);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(contains(outcome.err, "orchtrace: DIVERGENCE: ")) << outcome.err;
    EXPECT_TRUE(read_file(path("out.md")).starts_with("### orchtrace: DIVERGENCE"));
    EXPECT_TRUE(read_file(path("out.xml")).starts_with("<?xml"));
    EXPECT_EQ(Json::parse(read_file(path("out.sarif")))["runs"][0]["results"].size(), 1U);
}

TEST_F(Compare, TwoTracesOfOneTeamAreToldApart) {
    const Json report =
        json_of(compare({"--format", "json", trace("reference"), trace("rebuilt"), trace("rope")}));
    ASSERT_TRUE(report.is_object());
    EXPECT_EQ(report["consensus"]["teams"], (Json{"reference", "other (rebuilt)", "other (rope)"}));
    EXPECT_EQ(report["consensus"]["outlier"], "other (rope)");
    const Json twice =
        json_of(compare({"--format", "json", trace("reference"), trace("reference")}));
    EXPECT_EQ(twice["engines"][0]["team"], "reference (cases/reference)");
    EXPECT_EQ(twice["engines"][1]["team"], "reference (cases/reference) #2");
    EXPECT_EQ(twice["pairs"][0]["grade"], "identical");
}

TEST_F(Compare, TheNearestToTheBaselineIsNamed) {
    const Json report = json_of(compare({"--format", "json", "--baseline", "reference",
                                         trace("rope"), trace("rebuilt"), trace("reference")}));
    ASSERT_TRUE(report.is_object());
    EXPECT_TRUE(contains(report["consensus"]["nearest"].get<std::string>(), "rebuilt"));
    const Outcome unknown = compare({"--baseline", "candle", trace("reference"), trace("rebuilt")});
    EXPECT_EQ(unknown.code, exit_unusable);
    EXPECT_TRUE(
        contains(unknown.err, "--baseline candle: no such engine; there are reference, other"))
        << unknown.err;
}

TEST_F(Compare, ARunOfAFileWithSeveralIsChosen) {
    const std::string both = path("both.jsonl");
    write_file(both, read_file(trace("rope")) + read_file(trace("rebuilt")));
    const Outcome last = compare({trace("reference"), both});
    EXPECT_EQ(last.code, exit_ok) << last.out << last.err;
    EXPECT_TRUE(contains(last.out, "holds 2 runs")) << last.out;
    EXPECT_EQ(compare({"--run", "1,1", trace("reference"), both}).code, exit_divergence);
    EXPECT_EQ(compare({"--run", "1,2", trace("reference"), both}).code, exit_ok);
    EXPECT_TRUE(
        contains(compare({"--run", "1,3", trace("reference"), both}).err, "there is no run 3"));
    EXPECT_TRUE(
        contains(compare({"--run", "2,1,1", trace("reference"), both}).err, "--run: one number"));
    EXPECT_EQ(compare({"--run", "0", trace("reference"), both}).code, exit_unusable);
}

TEST_F(Compare, ABadLineMakesTheTraceIncomplete) {
    const std::string torn = path("torn.jsonl");
    std::string text = read_file(trace("rebuilt"));
    const std::size_t middle = text.find('\n', text.size() / 2) + 1;
    text.insert(middle, "{\"ts\":oops}\n");
    write_file(torn, text);
    const Outcome outcome = compare({trace("reference"), torn});
    EXPECT_EQ(outcome.code, exit_unusable) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "torn.jsonl cannot be read, the first is line "))
        << outcome.out;
}

TEST_F(Compare, AFloorOfTheUsersIsUsed) {
    const Json report = json_of(compare(
        {"--format", "json", "--floor", trace("again"), trace("reference"), trace("rebuilt")}));
    ASSERT_TRUE(report.is_object());
    EXPECT_EQ(report["pairs"][0]["calibrated"], true);
}

TEST_F(Compare, SkippedPositionsAreShownApart) {
    const Json report = json_of(compare(
        {"--format", "json", "--skip-positions", "8,10-11", trace("reference"), trace("rebuilt")}));
    ASSERT_TRUE(report.is_object());
    std::vector<int> skipped;
    for (const Json& token : report["tokens"]) {
        if (!token["skipped"].is_null()) skipped.push_back(token["token_idx"]);
    }
    EXPECT_EQ(skipped, (std::vector<int>{8, 10, 11}));
}

TEST_F(Compare, BadUsageIsToldInALineAndExitsWithTwo) {
    const std::string reference = trace("reference");
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {},
             {reference},
             {"/nonexistent.jsonl", reference},
             {reference, "/dev/null"},
             {"--format", "xml", reference, reference},
             {"--table", "sites", reference, reference},
             {"--skip-positions", "3-1", reference, reference},
             {"--skip-positions", "x", reference, reference},
             {"--skip-positions", "0-9999999999", reference, reference},
             {"--bad", "0.001", reference, reference},
             {"--floor", "/nonexistent.jsonl", reference, reference},
             {"--index", "/nonexistent.idx", reference, reference},
             {"-o", "/nonexistent/out", reference, reference}}) {
        const Outcome outcome = compare(arguments);
        EXPECT_EQ(outcome.code, exit_unusable) << outcome.err;
        EXPECT_EQ(outcome.out, "");
        EXPECT_TRUE(outcome.err.starts_with("orchtrace: ")) << outcome.err;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    }
}

TEST_F(Compare, ABudgetIsKeptTightenedAndLoosenedWithAReasonOnly) {
    const std::string budget = path("budget.json");
    const auto save = [&](const std::string& other, std::vector<std::string> more = {}) {
        std::vector<std::string> all{"baseline",   "save", trace("reference"),
                                     trace(other), "-o",   budget};
        all.insert(all.end(), more.begin(), more.end());
        return orchtrace(all);
    };
    const auto check = [&](const std::string& other) {
        return orchtrace({"baseline", "check", budget, trace("reference"), trace(other)});
    };
    EXPECT_EQ(save("rope").code, exit_divergence) << "a divergence is no budget";
    EXPECT_FALSE(std::filesystem::exists(budget));
    const Outcome first = save("rebuilt");
    EXPECT_EQ(first.code, exit_ok) << first.err;
    const std::string saved = read_file(budget);

    EXPECT_EQ(check("rebuilt").code, exit_ok);
    EXPECT_EQ(check("lost").code, exit_unusable);
    const Outcome broken = check("rope");
    EXPECT_EQ(broken.code, exit_divergence) << broken.out;
    EXPECT_TRUE(broken.out.starts_with("OVER BUDGET: ")) << broken.out;
    EXPECT_TRUE(contains(broken.out, "layer_1_")) << broken.out;

    EXPECT_EQ(save("rope").code, exit_divergence);
    EXPECT_EQ(read_file(budget), saved) << "refused, and untouched";
    EXPECT_EQ(save("rope", {"--loosen", "known, being worked on"}).code, exit_ok);
    EXPECT_EQ(Json::parse(read_file(budget))["loosened"][0]["reason"], "known, being worked on");
    EXPECT_EQ(check("rope").code, exit_ok);
    EXPECT_EQ(save("rebuilt").code, exit_ok);
    EXPECT_EQ(check("rope").code, exit_divergence) << "tightened again";
}

TEST_F(Compare, BaselineSaysWhatIsWrongWithItsArguments) {
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {"baseline"},
             {"baseline", "keep", "a", "b"},
             {"baseline", "save", "a", "b"},
             {"baseline", "save", "a", "-o", path("x.json")},
             {"baseline", "check", trace("reference"), trace("rebuilt")},
             {"baseline", "check", trace("reference"), trace("reference"), trace("rebuilt")}}) {
        const Outcome outcome = orchtrace(arguments);
        EXPECT_EQ(outcome.code, exit_unusable) << outcome.err;
        EXPECT_TRUE(outcome.err.starts_with("orchtrace: ")) << outcome.err;
    }
}

TEST(NumbersOf, ReadsNumbersAndRanges) {
    EXPECT_EQ(numbers_of("--x", ""), std::vector<std::int64_t>{});
    EXPECT_EQ(numbers_of("--x", "7"), std::vector<std::int64_t>{7});
    EXPECT_EQ(numbers_of("--x", "0,3-5"), (std::vector<std::int64_t>{0, 3, 4, 5}));
    for (const char* bad : {"-1", "1-", "a", "1,,2", "5-4", "1.5", "99999999999999999999"})
        EXPECT_THROW(numbers_of("--x", bad), UsageError) << bad;
}

}  // namespace
}  // namespace orch
