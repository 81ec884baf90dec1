#include "analyzer/align/pass_cut.hpp"

#include <gtest/gtest.h>

#include "tests/align/align_support.hpp"

namespace orch {
namespace {

using Starts = std::vector<std::size_t>;

Starts starts(const std::vector<int>& keys) {
    return pass_starts(keys);
}

TEST(PassCut, CutsWhereTheSequenceOfWeightsStartsAgain) {
    EXPECT_EQ(starts({1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5}), (Starts{0, 5, 10}));
}

TEST(PassCut, OnePassIsOnePass) {
    EXPECT_EQ(starts({1, 2, 3, 4, 5}), (Starts{0}));
    EXPECT_EQ(starts({}), (Starts{0}));
    EXPECT_EQ(starts({-1, -1}), (Starts{0}));
}

TEST(PassCut, AWeightThatALaterLayerBorrowsStartsNoPass) {
    // The third layer multiplies the first one's q.
    const std::vector<int> pass{1, 2, 3, 4, 5, 6, 7, 8, 1, 9, 10, 11, 12};
    std::vector<int> two = pass;
    two.insert(two.end(), pass.begin(), pass.end());
    EXPECT_EQ(starts(two), (Starts{0, 13}));
}

TEST(PassCut, ALayerThatIsUsedTwiceStartsNoPass) {
    const std::vector<int> pass{1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 99};
    std::vector<int> three;
    for (int i = 0; i < 3; ++i)
        three.insert(three.end(), pass.begin(), pass.end());
    EXPECT_EQ(starts(three), (Starts{0, 13, 26}));
}

TEST(PassCut, ChunksOfAPromptHaveNoHead) {
    EXPECT_EQ(starts({1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 9, 1, 2, 3, 4, 9, 1, 2, 3, 4, 9}),
              (Starts{0, 4, 8, 13, 18}));
    EXPECT_EQ(starts({1, 2, 3, 4, 1, 2, 3, 4, 9}), (Starts{0, 4}));
}

TEST(PassCut, ExpertsMayDifferFromPassToPass) {
    EXPECT_EQ(
        starts({1, 2, 3, 20, 5, 9, 1, 2, 3, 21, 5, 9, 1, 2, 3, 20, 21, 5, 9, 1, 2, 3, 22, 5, 9}),
        (Starts{0, 6, 12, 19}));
}

TEST(PassCut, ActivationsBelongToThePassTheyStandIn) {
    EXPECT_EQ(starts({1, -1, -1, 2, 3, 9, 1, -1, 2, 3, 9}), (Starts{0, 6}));
}

TEST(PassCut, ARunThatStopsInsideAPassIsCutAllTheSame) {
    EXPECT_EQ(starts({1, 2, 3, 4, 9, 1, 2, 3, 4, 9, 1, 2}), (Starts{0, 5, 10}));
}

TEST(PassCut, CountsPositionsThroughARequestAndFromZeroInTheNext) {
    FakeEngine engine = torch();
    engine.passes = {3, 2, 1, 1, 4, 1};
    engine.logits = {false, true, true, true, true, true};
    const EngineFile file(run(fake_model(), engine).text());
    std::vector<std::int64_t> first;
    std::vector<std::int64_t> tokens;
    for (const Pass& pass : file.engine().passes) {
        first.push_back(pass.first_position);
        tokens.push_back(pass.tokens);
    }
    EXPECT_EQ(tokens, (std::vector<std::int64_t>{3, 2, 1, 1, 4, 1}));
    EXPECT_EQ(first, (std::vector<std::int64_t>{0, 3, 5, 6, 0, 4}));
}

TEST(PassCut, WithoutAnyWeightIdsShapesTellPassesApart) {
    FakeTrace trace("engine");
    for (int pass = 0; pass < 3; ++pass) {
        for (const int outputs : {48, 64, 96, 48, 64, 96, 160}) {
            FakeProduct product;
            product.x = std::to_string(pass * 1000 + outputs);
            product.rows = pass == 0 ? 4 : 1;
            product.outputs = outputs;
            trace.product(product);
        }
    }
    const EngineFile file(trace.text());
    EXPECT_EQ(file.engine().passes.size(), 3U);
}

TEST(PassCut, AFirstPassOnZerosIsAWarmUp) {
    FakeTrace trace("engine");
    const FakeWeight weight = random_weight(16, 16, 1);
    const FakeWeight head = random_weight(48, 16, 2);
    for (int pass = 0; pass < 3; ++pass) {
        for (const bool last : {false, true}) {
            FakeProduct product;
            product.weight = last ? "w2" : "w1";
            trace.weight(product.weight, last ? head : weight);
            product.x = std::to_string(pass) + (last ? "l" : "f");
            product.x_is_zero = pass == 0 && !last;
            product.rows = pass < 2 ? 8 : 1;
            product.outputs = last ? 48 : 16;
            trace.product(product);
        }
    }
    const EngineFile file(trace.text());
    ASSERT_EQ(file.engine().passes.size(), 3U);
    EXPECT_EQ(file.engine().passes[0].dropped, "warm-up on zeros");
    EXPECT_EQ(file.engine().passes[1].first_position, 0);
    EXPECT_EQ(file.engine().passes[2].first_position, 8);
}

}  // namespace
}  // namespace orch
