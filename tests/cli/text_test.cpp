#include "analyzer/util/text.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace orch {
namespace {

TEST(Text, GroupsDigitsByThree) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1000), "1,000");
    EXPECT_EQ(grouped(12345678), "12,345,678");
}

TEST(Text, CountsInSingularAndPlural) {
    EXPECT_EQ(counted(1, "pass", "passes"), "1 pass");
    EXPECT_EQ(counted(0, "pass", "passes"), "0 passes");
    EXPECT_EQ(counted(2315, "record"), "2,315 records");
}

TEST(Text, SizesHaveTheUnitThatFits) {
    EXPECT_EQ(size_text(999), "999 B");
    EXPECT_EQ(size_text(1000), "1.0 kB");
    EXPECT_EQ(size_text(999999), "1.0 MB");
    EXPECT_EQ(size_text(3400000000), "3.4 GB");
}

TEST(Text, ControlCharactersDoNotReachTheTerminal) {
    EXPECT_EQ(printable("a\033[31mb\n"), "a?[31mb?");
}

TEST(Text, ClipsInTheMiddleAndNeverInsideACharacter) {
    EXPECT_EQ(clipped("short", 5), "short");
    EXPECT_EQ(clipped("layer_0_attention_output", 11), "laye...tput");
    EXPECT_EQ(columns(clipped("ääääääääääää", 7)), 7U);
}

TEST(Text, WrapsAtSpacesWithinAHundredColumns) {
    std::string words;
    for (int i = 0; i < 60; ++i)
        words += "word" + std::to_string(i) + " ";
    std::istringstream lines(wrapped("  head  ", words + std::string(300, 'x')));
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        EXPECT_LE(columns(line), text_width);
        EXPECT_EQ(line.substr(0, 8), count == 0 ? "  head  " : "        ");
    }
    EXPECT_GT(count, 4);
}

TEST(Text, QuotesForAShell) {
    EXPECT_EQ(shell_quoted("a/b-c.jsonl"), "a/b-c.jsonl");
    EXPECT_EQ(shell_quoted("it's"), R"('it'\''s')");
    EXPECT_EQ(shell_quoted(""), "''");
}

TEST(Text, SuggestsOnlyWhatASlipExplains) {
    EXPECT_EQ(nearest("inof", {"help", "run", "info"}), "info");
    EXPECT_EQ(nearest("rn", {"help", "run", "info"}), "run");
    EXPECT_EQ(nearest("compare", {"help", "run", "info"}), "");
}

}  // namespace
}  // namespace orch
