#include "analyzer/read/text_table.hpp"

#include <gtest/gtest.h>

#include <string>

#include "analyzer/read/text_hash.hpp"

namespace orch {
namespace {

TEST(TextTable, KeepsEachTextOnce) {
    TextTable table;
    EXPECT_EQ(table.id_of(""), 0U);
    const StringId a = table.id_of("a");
    const StringId b = table.id_of("b");
    EXPECT_NE(a, b);
    EXPECT_EQ(table.id_of("a"), a);
    EXPECT_EQ(table[b], "b");
    EXPECT_EQ(table.find("b"), b);
    EXPECT_EQ(table.find("c"), std::nullopt);
    EXPECT_EQ(table.find(""), 0U);
}

TEST(TextTable, GrowsAndIsEmptied) {
    TextTable table;
    for (int round = 0; round < 3; ++round) {
        for (unsigned i = 0; i < 20000; ++i)
            ASSERT_EQ(table.id_of("text " + std::to_string(i)), i + 1);
        for (unsigned i = 0; i < 20000; ++i) {
            ASSERT_EQ(table.find("text " + std::to_string(i)), i + 1);
            ASSERT_EQ(table[i + 1], "text " + std::to_string(i));
        }
        table.clear();
        ASSERT_EQ(table.size(), 1U);
        ASSERT_EQ(table.find("text 1"), std::nullopt);
    }
}

TEST(TextTable, IsMadeFromItsParts) {
    TextTable table;
    for (int i = 0; i < 1000; ++i)
        table.id_of(std::to_string(i));
    TextTable copy;
    ASSERT_TRUE(copy.assign(table.chars(), table.ends()));
    for (int i = 0; i < 1000; ++i)
        ASSERT_EQ(copy.find(std::to_string(i)), table.find(std::to_string(i)));
    EXPECT_EQ(copy.id_of("new"), 1001U);
}

TEST(TextTable, RefusesPartsThatMakeNoTable) {
    const std::string chars = "ab";
    TextTable table;
    for (const std::vector<std::uint64_t>& ends :
         {std::vector<std::uint64_t>{}, {0}, {0, 1}, {0, 0, 3}, {0, 0, 2, 1, 2}, {0, 0, 1}}) {
        EXPECT_FALSE(table.assign(chars, ends));
    }
    EXPECT_TRUE(table.assign(chars, std::vector<std::uint64_t>{0, 0, 1, 2}));
}

// Each byte of a text counts, at every length: the loop, its end and the short forms.
TEST(TextHash, EveryByteCounts) {
    for (std::size_t size = 0; size < 100; ++size) {
        const std::string text(size, 'a');
        EXPECT_NE(text_hash(text), text_hash(text + 'a'));
        for (std::size_t i = 0; i < size; ++i) {
            std::string other = text;
            other[i] = 'b';
            EXPECT_NE(text_hash(text), text_hash(other)) << size << ' ' << i;
        }
    }
}

}  // namespace
}  // namespace orch
