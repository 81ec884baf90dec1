#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/util/text.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

using Json = nlohmann::json;

std::string line(const std::string& checkpoint, const std::string& kind, const std::string& more,
                 int token = 0) {
    return fmt::format(
        R"({{"ts":"2026-01-31T12:00:00.000Z","team":"llama.cpp","checkpoint":"{}","token_idx":{},)"
        R"("dtype":"f32","shape":"[2,8]","kind":"{}",{}"values":[]}})"
        "\n",
        checkpoint, token, kind, more);
}

std::string header(const std::string& problems = "") {
    return line("orchtrace.header", "header",
                R"("schema":1,"version":"0.1.0","pid":17,"ppid":16,"host":"vm",)"
                R"("executable":"llama-cli","argv":["llama-cli","-p","two words"],"isa":"avx2",)"
                R"("backend":"preload","config":{"values":10,"rows":"all"},)"
                R"("libraries":["/usr/lib/libggml.so",{"path":"/usr/lib/libllama.so","size":7}],)"
                R"("problems":[)" +
                    problems + "],");
}

struct Counts {
    int seen = 0;
    int recorded = 0;
    int filtered = 0;
    int dropped = 0;
};

std::string ledger(Counts checkpoint, int rows, int lines, const std::string& more = "",
                   bool final = true) {
    return line(
        "orchtrace.ledger", "ledger",
        fmt::format(R"("final":{},"classes":{{"checkpoint":{{"seen":{},"recorded":{},)"
                    R"("filtered":{},"dropped":{}}},"weight":{{"seen":1,"recorded":1,)"
                    R"("filtered":0,"dropped":0}},"pass":{{"seen":2,"recorded":2,)"
                    R"("filtered":0,"dropped":0}}}},"row_lines":{},"lines":{},"lost_lines":0,)"
                    R"("dropped_rows":0,{})",
                    final, checkpoint.seen, checkpoint.recorded, checkpoint.filtered,
                    checkpoint.dropped, rows, lines, more));
}

/// 2 passes over 2 layers: 4 records, 1 row, 1 weight; 9 lines without the ledger's.
std::string body() {
    std::string text = header() + line("weight.w", "weight", R"("weight":"w","name":"w",)");
    for (int pass = 0; pass < 2; ++pass) {
        text += line("pass", "pass", R"("n_tokens":2,)");
        for (int layer = 0; layer < 2; ++layer) {
            text += line(fmt::format("layer_{}_output", layer), "checkpoint", "", pass);
        }
    }
    return text + line("layer_0_output", "row", "");
}

std::string whole() {
    return body() + ledger({10, 4, 6, 0}, 1, 9);
}

/// What was said, wherever it was wrapped.
std::string unwrapped(const std::string& text) {
    std::istringstream words(text);
    std::string result;
    for (std::string word; words >> word;)
        result += word + " ";
    return result;
}

class Info : public InDirectory {
  protected:
    Outcome text(const std::string& content) {
        const Outcome outcome = orchtrace({"info", file("t.jsonl", content)});
        std::istringstream lines(outcome.out);
        for (std::string each; std::getline(lines, each);) {
            EXPECT_LE(columns(each), text_width) << each;
        }
        return outcome;
    }
    Json json(const std::string& content) {
        const Outcome outcome = orchtrace({"info", "--format", "json", file("t.jsonl", content)});
        EXPECT_EQ(outcome.code, exit_ok) << outcome.err;
        return Json::parse(outcome.out).at("files").at(0);
    }
    std::string verdict(const std::string& content) { return json(content).at("verdict"); }
};

TEST_F(Info, FirstLineIsTheVerdict) {
    const Outcome outcome = text(whole());
    EXPECT_EQ(outcome.code, exit_ok);
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(outcome.out.substr(0, outcome.out.find('\n')),
              path("t.jsonl") + ": 1 run of llama.cpp, 4 records of 2 passes, complete");
}

TEST_F(Info, TextAndJsonAgree) {
    const std::string out = text(whole()).out;
    const Json file = json(whole());
    EXPECT_TRUE(contains(out, file.at("verdict").get<std::string>()));
    const Json& run = file.at("runs").at(0);
    EXPECT_EQ(file.at("completeness"), "complete");
    EXPECT_EQ(file.at("lines"), 10);
    EXPECT_EQ(run.at("records"), 4);
    EXPECT_EQ(run.at("rows"), 1);
    EXPECT_EQ(run.at("passes"), Json::parse(R"({"count":2,"tokens":4})"));
    EXPECT_TRUE(contains(out, "2 over 4 tokens"));
    EXPECT_EQ(run.at("weights").at("named"), 1);
    EXPECT_TRUE(contains(out, "1 (1 named, 0 nameless): 1 f32"));
    EXPECT_EQ(run.at("header").at("libraries"),
              Json::parse(R"(["/usr/lib/libggml.so","/usr/lib/libllama.so"])"));
    EXPECT_TRUE(contains(out, "libggml.so, libllama.so"));
    EXPECT_TRUE(contains(out, "llama-cli -p 'two words'"));
    EXPECT_TRUE(contains(out, "values=10 rows=all"));
    const Json& family = run.at("checkpoints").at(0);
    EXPECT_EQ(family.at("name"), "layer_0..1_output");
    EXPECT_EQ(family.at("records_per_member"), Json::parse("[2,2]"));
    EXPECT_EQ(family.at("token_idx"), Json::parse("[0,1]"));
    EXPECT_TRUE(contains(out, "layer_0..1_output"));
    EXPECT_TRUE(contains(out, "2 x 2"));
    EXPECT_EQ(run.at("ledger").at("classes").at("checkpoint").at("filtered"), 6);
}

TEST_F(Info, ALedgerThatDoesNotAddUpIsFlagged) {
    const std::string trace = body() + ledger({11, 4, 6, 0}, 1, 9);
    EXPECT_TRUE(verdict(trace).ends_with("INCOMPLETE: its ledger does not add up"));
    EXPECT_TRUE(contains(unwrapped(text(trace).out),
                         "checkpoint: 11 seen, but 4 recorded + 6 filtered + 0 dropped = 10"));
}

TEST_F(Info, DroppedRecordsAreCounted) {
    EXPECT_TRUE(
        verdict(body() + ledger({22, 4, 6, 12}, 1, 9)).ends_with("INCOMPLETE: 12 records lost"));
}

TEST_F(Info, RecordsThatTheLedgerCountsAndTheFileLacksAreLost) {
    EXPECT_TRUE(
        verdict(body() + ledger({13, 7, 6, 0}, 1, 12)).ends_with("INCOMPLETE: 3 records lost"));
    EXPECT_TRUE(
        verdict(body() + ledger({10, 4, 6, 0}, 3, 11)).ends_with("INCOMPLETE: 2 records lost"));
    // A line of no class, such as a blind spot.
    EXPECT_TRUE(
        verdict(body() + ledger({10, 4, 6, 0}, 1, 10)).ends_with("INCOMPLETE: 1 record lost"));
}

TEST_F(Info, LinesThatCouldNotBeWrittenAreNamedWithTheReason) {
    std::string trace = body() + ledger({10, 4, 6, 0}, 1, 12, R"("write_error":"No space left",)");
    trace.replace(trace.find("\"lost_lines\":0"), 14, "\"lost_lines\":3");
    EXPECT_TRUE(verdict(trace).ends_with("INCOMPLETE: 3 records lost"));
    EXPECT_TRUE(
        contains(unwrapped(text(trace).out), "3 lines could not be written: No space left"));
}

TEST_F(Info, WithoutAFinalLedgerTheEndMayBeMissing) {
    for (const std::string& trace : {body(), body() + ledger({10, 4, 6, 0}, 1, 9, "", false)}) {
        EXPECT_TRUE(verdict(trace).ends_with("INCOMPLETE: no orderly end"));
        EXPECT_TRUE(contains(unwrapped(text(trace).out),
                             "records up to 100 ms before its end may be missing"));
    }
}

TEST_F(Info, BadLinesAreNumberedAndMakeTheTraceIncomplete) {
    const Outcome outcome = text("nonsense\n" + whole());
    EXPECT_EQ(outcome.code, exit_ok);
    EXPECT_TRUE(contains(outcome.out, "INCOMPLETE: 1 bad line skipped"));
    EXPECT_TRUE(contains(outcome.out, "! line 1: not valid JSON"));
    EXPECT_EQ(json("nonsense\n" + whole()).at("bad_lines").at("first").at(0).at("line"), 1);
}

TEST_F(Info, ManyBadLinesAreCapped) {
    std::string trace = whole();
    for (int i = 0; i < 2000; ++i)
        trace += "{\n";
    EXPECT_TRUE(contains(unwrapped(text(trace).out), "1,995 more bad lines"));
}

TEST_F(Info, ATornLastLineIsToldApart) {
    EXPECT_TRUE(
        verdict(whole() + R"({"ts":"2026)").ends_with("INCOMPLETE: the last line is cut off"));
    EXPECT_TRUE(json(whole() + R"({"ts":"2026)").at("truncated"));
}

TEST_F(Info, SeveralRunsInOneFileAreToldApart) {
    const Json file = json(whole() + whole());
    ASSERT_EQ(file.at("runs").size(), 2U);
    EXPECT_EQ(file.at("runs").at(1).at("first_line"), 11);
    EXPECT_EQ(file.at("records"), 8);
    EXPECT_EQ(file.at("completeness"), "complete");
}

TEST_F(Info, PlainLinesHaveNoLedgerToJudgeBy) {
    const std::string plain =
        R"({"ts":"t","team":"candle","checkpoint":"logits","token_idx":0,"dtype":"f32",)"
        R"("shape":"[4]","values":[1]})"
        "\n";
    EXPECT_EQ(verdict(plain + plain),
              "1 run of candle, 2 records, no ledger: completeness is not known");
    EXPECT_TRUE(contains(text(plain).out, "made by another logger"));
    // Appended to a trace of orchtrace, they are a run of their own.
    const Json file = json(whole() + plain);
    ASSERT_EQ(file.at("runs").size(), 2U);
    EXPECT_EQ(file.at("runs").at(0).at("completeness"), "complete");
    EXPECT_EQ(file.at("completeness"), "unknown");
}

TEST_F(Info, BlindSpotsAndConfigProblemsStandOut) {
    const std::string why(150, 'w');
    const std::string trace =
        header(R"("ORCH_TRACE_ROWS=99 is none of: 1..16")") +
        line("orchtrace.blind_spot", "blind_spot",
             R"("what":"CPU_REPACK","why":"cannot be read here)" + why + "\",");
    const std::string out = text(trace).out;
    EXPECT_TRUE(contains(out, "! config: ORCH_TRACE_ROWS=99 is none of: 1..16"));
    EXPECT_TRUE(contains(out, "! blind spot: CPU_REPACK: cannot be read"));
    EXPECT_EQ(json(trace).at("runs").at(0).at("blind_spots").at(0).at("what"), "CPU_REPACK");
}

TEST_F(Info, SettingsAreFactsAndNoRecords) {
    const std::string trace = header() + line("orchtrace.setting", "setting",
                                              R"("op":"cublasSetWorkspace_v2","bytes":4194304,)");
    const std::string out = text(trace).out;
    EXPECT_TRUE(contains(out, "cublasSetWorkspace_v2: 4.2 MB"));
    EXPECT_FALSE(contains(out, "orchtrace.setting"));
    const Json run = json(trace).at("runs").at(0);
    EXPECT_EQ(run.at("records"), 0U);
    EXPECT_EQ(run.at("settings").at(0).at("bytes"), 4194304U);
}

TEST_F(Info, NonfiniteValuesAndGapsStandOut) {
    const std::string out =
        text(header() + line("layer_0_q", "checkpoint", R"("nonfinite":[[0,"nan"]],)") +
             line("layer_3_q", "checkpoint", ""))
            .out;
    EXPECT_TRUE(contains(out, "! values: NaN or Inf in 1 record"));
    EXPECT_TRUE(contains(out, "! gap: layer_0..3_q: 2 numbers missing in between"));
}

TEST_F(Info, ANewerFormatIsNotTrusted) {
    std::string trace = whole();
    trace.replace(trace.find("\"schema\":1"), 10, "\"schema\":99");
    EXPECT_TRUE(verdict(trace).ends_with("INCOMPLETE: it is of a newer format"));
}

TEST_F(Info, NamesOfTheEngineCannotDriveTheTerminal) {
    const std::string out = text(header() + line("a\\u001b[31m", "checkpoint", "")).out;
    EXPECT_EQ(out.find('\033'), std::string::npos);
}

TEST_F(Info, ColourIsOnlyUsedWhereItIsWanted) {
    const std::string trace = file("t.jsonl", whole());
    EXPECT_EQ(orchtrace({"info", trace}).out.find('\033'), std::string::npos);
    EXPECT_NE(orchtrace({"info", trace}, true).out.find('\033'), std::string::npos);
}

TEST_F(Info, LongNamesAndPathsStayWithinTheWidth) {
    std::string trace = header();
    for (int i = 0; i < 80; ++i) {
        const std::string name(static_cast<std::size_t>(60 + i), 'n');
        trace += line(name, "checkpoint", "", 1000000000 + i);
    }
    const std::string out = text(trace).out;
    EXPECT_TRUE(contains(out, "and 20 more lines; --format json lists all"));
}

TEST_F(Info, AFileThatCannotBeReadExitsWithTwoAndTheOthersAreShown) {
    const Outcome outcome = orchtrace({"info", path("none"), file("t.jsonl", whole())});
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_EQ(outcome.err, "orchtrace: " + path("none") + ": No such file or directory\n");
    EXPECT_TRUE(contains(outcome.out, "complete"));
}

TEST_F(Info, AFileWithoutARecordExitsWithTwo) {
    EXPECT_EQ(text("").code, exit_unusable);
    const Outcome outcome = text("to be\nor not\n");
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_EQ(outcome.err, "orchtrace: " + path("t.jsonl") +
                               ": no record in it (2 lines, 2 of them bad; line 1: not valid JSON "
                               "(wrong structure)); is it a trace?\n");
}

}  // namespace
}  // namespace orch
