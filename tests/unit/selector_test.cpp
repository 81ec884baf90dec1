#include "core/selector.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace orch {
namespace {

TEST(Glob, MatchesAsTheTableSays) {
    const struct {
        const char* pattern;
        const char* text;
        bool matches;
    } table[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "A", false},
        {"a", "ab", false},
        {"ab", "a", false},
        {"?", "", false},
        {"?", "a", true},
        {"?", "*", true},
        {"??", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"***", "", true},
        {"*?", "", false},
        {"*?", "a", true},
        {"?*", "abc", true},
        {"a*", "abc", true},
        {"a*", "bac", false},
        {"*c", "abc", true},
        {"*c", "abcd", false},
        {"a*c", "ac", true},
        {"a*c", "abcbc", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "acb", false},
        {"*ab", "aab", true},
        {"*aab", "aaab", true},
        {"*abab*", "ababab", true},
        {"l_out-*", "l_out-31", true},
        {"layers.?.mlp", "layers.7.mlp", true},
        {"layers.?.mlp", "layers.17.mlp", false},
        {"a*", "a*", true},
        {"a?c", "a*c", true},
        {"[ab]", "a", false},
        {"[ab]", "[ab]", true},
        {"a.c", "abc", false},
    };
    for (const auto& row : table)
        EXPECT_EQ(glob_matches(row.pattern, row.text), row.matches)
            << row.pattern << " " << row.text;
}

/// The definition, by recursion.
bool slow_match(std::string_view p, std::string_view t) {
    if (p.empty()) return t.empty();
    if (p[0] == '*')
        return slow_match(p.substr(1), t) || (!t.empty() && slow_match(p, t.substr(1)));
    return !t.empty() && (p[0] == '?' || p[0] == t[0]) && slow_match(p.substr(1), t.substr(1));
}

TEST(Glob, MatchesAsTheRecursiveDefinition) {
    std::mt19937 random(1);
    int matches = 0;
    for (int i = 0; i < 200'000; ++i) {
        std::string pattern(random() % 7, ' ');
        std::string text(random() % 8, ' ');
        for (char& c : pattern)
            c = "ab?*"[random() % 4];
        for (char& c : text)
            c = "ab*"[random() % 3];
        const bool wanted = slow_match(pattern, text);
        matches += wanted;
        ASSERT_EQ(glob_matches(pattern, text), wanted) << pattern << " " << text;
    }
    EXPECT_GT(matches, 10'000);
}

TEST(Glob, WithManyStarsEndsSoon) {
    // By naive recursion this takes longer than anybody waits.
    std::string pattern;
    for (int i = 0; i < 100; ++i)
        pattern += "*a";
    EXPECT_FALSE(glob_matches(pattern + "b", std::string(1000, 'a')));
}

bool groups_are(const Selector& s, bool logits, bool layers, bool gemm, bool inner) {
    return s.group(CheckpointGroup::logits) == logits &&
           s.group(CheckpointGroup::layers) == layers && s.group(CheckpointGroup::gemm) == gemm &&
           s.group(CheckpointGroup::inner) == inner;
}

TEST(Selector, TakesTheGroupsWithoutBeingTold) {
    const Selector s;
    EXPECT_TRUE(groups_are(s, true, true, true, false));
    EXPECT_FALSE(s.has_globs());
    EXPECT_EQ(s.text(), "gemm,layers,logits");
}

TEST(Selector, ReadsGroups) {
    const struct {
        const char* text;
        bool logits, layers, gemm, inner;
    } table[] = {
        {"logits", true, false, false, false},     {"layers", false, true, false, false},
        {"gemm", false, false, true, false},       {"all", true, true, true, true},
        {"gemm,logits", true, false, true, false}, {"logits,logits", true, false, false, false},
        {"x*", false, false, false, false},        {"Logits", false, false, false, false},
        {"all,x", true, true, true, true},
    };
    for (const auto& row : table) {
        Selector s;
        ASSERT_TRUE(s.parse(row.text)) << row.text;
        EXPECT_TRUE(groups_are(s, row.logits, row.layers, row.gemm, row.inner)) << row.text;
        EXPECT_EQ(s.text(), row.text);
    }
}

TEST(Selector, RefusesEmptyElementsAndKeepsWhatItHad) {
    Selector s;
    ASSERT_TRUE(s.parse("logits,abc*"));
    for (const char* bad : {"", ",", "logits,", ",logits", "a,,b"}) {
        EXPECT_FALSE(s.parse(bad)) << bad;
        EXPECT_EQ(s.text(), "logits,abc*") << bad;
        EXPECT_TRUE(groups_are(s, true, false, false, false)) << bad;
        EXPECT_TRUE(s.selects(CheckpointGroup::inner, "abcd")) << bad;
    }
}

TEST(Selector, TakesTextOf1024CharactersAndNotMore) {
    Selector s;
    EXPECT_FALSE(s.parse(std::string(1025, 'x')));
    EXPECT_EQ(s.text(), "gemm,layers,logits");
    const std::string longest = "b*," + std::string(1021, 'x');
    ASSERT_TRUE(s.parse(longest));
    EXPECT_EQ(s.text(), longest);
    EXPECT_TRUE(s.selects(CheckpointGroup::inner, std::string(1021, 'x')));
    EXPECT_FALSE(s.selects(CheckpointGroup::inner, std::string(1020, 'x')));
    EXPECT_TRUE(s.selects(CheckpointGroup::inner, "bc"));
}

TEST(Selector, Takes64GlobsAndNotMore) {
    std::string globs = "g0";
    for (int i = 1; i < 64; ++i)
        globs += ",g" + std::to_string(i);
    Selector s;
    ASSERT_TRUE(s.parse(globs));
    EXPECT_TRUE(s.selects(CheckpointGroup::inner, "g63"));
    EXPECT_TRUE(s.parse(globs + ",logits"));  // a group is no glob
    EXPECT_FALSE(s.parse(globs + ",g64"));
}

TEST(Selector, AGlobMayNameTheCheckpointOrTheEnginesName) {
    Selector s;
    ASSERT_TRUE(s.parse("logits,ffn_*-1?,exact"));
    EXPECT_TRUE(s.has_globs());
    EXPECT_TRUE(s.selects(CheckpointGroup::logits, "anything"));
    EXPECT_FALSE(s.selects(CheckpointGroup::layers, "anything"));
    EXPECT_TRUE(s.selects(CheckpointGroup::inner, "ffn_up-17"));
    EXPECT_FALSE(s.selects(CheckpointGroup::inner, "ffn_up-7"));
    EXPECT_TRUE(s.selects(CheckpointGroup::gemm, "gemm", "ffn_gate-10"));
    EXPECT_TRUE(s.selects(CheckpointGroup::gemm, "exact", "other"));
    EXPECT_FALSE(s.selects(CheckpointGroup::gemm, "exactly", ""));
    ASSERT_TRUE(s.parse("*"));
    EXPECT_TRUE(s.selects(CheckpointGroup::inner, ""));
}

TEST(Selector, ACopySelectsTheSame) {
    Selector copy;
    {
        Selector s;
        ASSERT_TRUE(s.parse("one*,two"));
        copy = s;
        ASSERT_TRUE(s.parse("zzzzzzzz"));
    }
    EXPECT_TRUE(copy.selects(CheckpointGroup::inner, "one1"));
    EXPECT_TRUE(copy.selects(CheckpointGroup::inner, "two"));
    EXPECT_FALSE(copy.selects(CheckpointGroup::inner, "zzzzzzzz"));
}

}  // namespace
}  // namespace orch
