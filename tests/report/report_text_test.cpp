#include <algorithm>
#include <sstream>

#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"
#include "tests/report/golden.hpp"
#include "tests/report/sample_reports.hpp"

namespace orch {
namespace {

const Paint plain{false};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

TEST(ReportText, IsWhatTheGoldenFilesSay) {
    expect_golden("divergence.txt", report_text(divergence(), plain, false));
    expect_golden("parity.txt", report_text(parity(), plain, false));
    expect_golden("not_comparable.txt", report_text(not_comparable(), plain, false));
    expect_golden("three_engines.txt", report_text(three_engines(), plain, false));
    expect_golden("verbose.txt", report_text(divergence(), plain, true));
}

TEST(ReportText, FitsOneScreen) {
    for (const Report& report : {divergence(), parity(), not_comparable()})
        EXPECT_LE(lines_of(report_text(report, plain, false)).size(), 40U);
    EXPECT_LE(lines_of(report_text(three_engines(), plain, false)).size(), 50U);
}

TEST(ReportText, FitsTheColumnsWhateverTheNamesAre) {
    for (const bool verbose : {false, true}) {
        for (const std::string& line : lines_of(report_text(hostile(), plain, verbose))) {
            // A command must not be cut: it is to be pasted.
            if (line.find("orchtrace show") != std::string::npos) continue;
            if (line.starts_with("                ") || line.find("'") != std::string::npos)
                continue;
            EXPECT_LE(columns(line), text_width) << line;
        }
    }
}

TEST(ReportText, LetsNoControlCharacterThrough) {
    for (const char c : report_text(hostile(), plain, true))
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n') << int{c};
}

TEST(ReportText, PaintsTheVerdictAndNothingElseChanges) {
    const Paint paint{true};
    for (const Report& report : {divergence(), parity(), not_comparable()}) {
        const std::string painted = report_text(report, paint, false);
        EXPECT_TRUE(painted.starts_with("\033["));
        std::string stripped;
        for (std::size_t i = 0; i < painted.size(); ++i) {
            if (painted[i] == '\033')
                i = painted.find('m', i);
            else
                stripped += painted[i];
        }
        EXPECT_EQ(stripped, report_text(report, plain, false));
    }
}

TEST(ReportText, ShowsTheBlamedLayerOfManyAndBothEnds) {
    PairReport pair = divergent_pair();
    pair.drift.layers.clear();
    for (int i = 0; i < 80; ++i)
        pair.drift.layers.push_back({i, i < 43 ? 1e-3 : 0.2, 1});
    pair.first_divergence->layer = 43;
    const auto lines = lines_of(report_text(one_pair(pair), plain, false));
    const auto layers = std::find_if(lines.begin(), lines.end(),
                                     [](const auto& l) { return l.starts_with("  layer"); });
    ASSERT_NE(layers, lines.end());
    for (const char* shown : {" 0 ", " 42 ", ">43 ", " 44 "})
        EXPECT_NE(layers->find(shown), std::string::npos) << *layers;
    EXPECT_TRUE(layers->ends_with(" 79")) << *layers;
    EXPECT_EQ(layers->size(), (layers + 1)->size());
}

TEST(ReportText, SaysWhatNobodyLookedAt) {
    EXPECT_NE(report_text(parity(), plain, false)
                  .find("differences below the floor: up to 0.26 % at layer_0_qkv"),
              std::string::npos);
    PairReport exact = parity_pair();
    for (SiteRow& row : exact.sites)
        row.floor = 0;
    EXPECT_NE(report_text(one_pair(exact), plain, false).find("no blind spot is known"),
              std::string::npos);
    const std::string text = report_text(divergence(), plain, false);
    EXPECT_NE(text.find("1 place could not be measured: layer_3_o"), std::string::npos);
    EXPECT_NE(text.find("pytorch: oneDNN weights"), std::string::npos);
}

TEST(ReportText, NoPairAtAllIsStillAReport) {
    Report empty;
    empty.headline = "nothing to compare";
    EXPECT_EQ(report_text(empty, plain, true), "NOT COMPARABLE: nothing to compare\n");
}

TEST(ReportText, ALongCommandIsFoldedAndCanBePasted) {
    PairReport pair = parity_pair();
    pair.a.path = "/very/long/" + std::string(40, 'a') + "/llama.jsonl";
    pair.b.path = "/it's long/" + std::string(40, 'b') + "/torch.jsonl";
    const std::string text = report_text(one_pair(pair), plain, false);
    EXPECT_NE(text.find(" \\\n"), std::string::npos) << text;
    EXPECT_NE(text.find(shell_quoted(pair.b.path)), std::string::npos) << text;
}

}  // namespace
}  // namespace orch
