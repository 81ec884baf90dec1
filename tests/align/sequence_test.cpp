#include "analyzer/align/sequence.hpp"

#include <gtest/gtest.h>

namespace orch {
namespace {

using Indices = std::vector<std::size_t>;

std::string text_of(const std::vector<PlacePair>& pairs) {
    std::string text;
    for (const PlacePair& pair : pairs) {
        for (const std::size_t i : pair.a)
            text += std::to_string(i) + " ";
        text += ": ";
        for (const std::size_t j : pair.b)
            text += std::to_string(j) + " ";
        text += "| ";
    }
    return text;
}

TEST(Sequence, PairsEqualShapesInOrder) {
    const std::vector<Place> a{{64, 64, 4}, {96, 64, 4}, {64, 96, 4}};
    EXPECT_EQ(text_of(pair_places(a, a)), "0 : 0 | 1 : 1 | 2 : 2 | ");
}

TEST(Sequence, GroupsNeighboursThatAddUp) {
    const std::vector<Place> a{{64, 64, 4}, {32, 64, 4}, {32, 64, 4}, {64, 64, 4}};
    const std::vector<Place> b{{128, 64, 4}, {64, 64, 4}};
    EXPECT_EQ(text_of(pair_places(a, b)), "0 1 2 : 0 | 3 : 1 | ");
    EXPECT_EQ(text_of(pair_places(b, a)), "0 : 0 1 2 | 1 : 3 | ");
}

TEST(Sequence, LeavesOutWhatHasNoCounterpart) {
    const std::vector<Place> a{{64, 64, 4}, {96, 64, 4}};
    const std::vector<Place> b{{64, 64, 4}, {8, 16, 4}, {16, 8, 4}, {96, 64, 4}};
    EXPECT_EQ(text_of(pair_places(a, b)), "0 : 0 | 1 : 3 | ");
    EXPECT_EQ(text_of(pair_places(a, {})), "");
}

TEST(Sequence, OtherInputsNeverPair) {
    EXPECT_TRUE(
        pair_places(std::vector<Place>{{64, 64, 4}}, std::vector<Place>{{64, 65, 4}}).empty());
}

TEST(Sequence, ANarrowedProductStillPairs) {
    EXPECT_EQ(pair_places(std::vector<Place>{{64, 64, 1}}, std::vector<Place>{{64, 64, 9}}).size(),
              1U);
}

TEST(Sequence, APassingOperandGivesWayToALastingWeight) {
    const std::vector<Place> a{{64, 64, 4, false}};
    const std::vector<Place> b{{64, 64, 4, true}, {64, 64, 4, false}, {64, 64, 4, true}};
    EXPECT_EQ(text_of(pair_places(a, b)), "0 : 1 | ");
}

TEST(Sequence, LongSequencesStayInTheirBand) {
    std::vector<Place> a;
    for (int i = 0; i < 3000; ++i)
        a.push_back({16 + i % 7, 64, 1});
    std::vector<Place> b = a;
    b.erase(b.begin() + 1000);
    const auto pairs = pair_places(a, b);
    ASSERT_EQ(pairs.size(), 2999U);
    EXPECT_EQ(pairs[2000].a, (Indices{2001}));
    EXPECT_EQ(pairs[2000].b, (Indices{2000}));
}

}  // namespace
}  // namespace orch
