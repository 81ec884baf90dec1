#include "analyzer/info/checkpoint_family.hpp"

#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

class CheckpointFamily : public InDirectory {
  protected:
    std::vector<orch::CheckpointFamily> collect(const std::vector<std::string>& lines) {
        std::string text;
        for (const std::string& line : lines)
            text += line + '\n';
        const Trace trace{file("trace.jsonl", text)};
        FamilyCollector collector{trace, nullptr};
        for (const Entry& entry : trace.entries())
            collector.add(entry, kind_name(entry.kind));
        return collector.finish();
    }
};

std::string named(const std::string& name, const std::string& more = "") {
    return R"({"checkpoint":")" + name + "\"" + more + "}";
}

TEST_F(CheckpointFamily, LayersBecomeOneLineWithTheirRange) {
    const auto families =
        collect({named("layer_0_output"), named("layer_2_output"), named("layer_1_output"),
                 named("layer_10_output"), named("layer_0_q"), named("logits")});
    ASSERT_EQ(families.size(), 3U);
    EXPECT_EQ(families[0].name, "layer_0..10_output");
    EXPECT_EQ(families[0].members, 4U);
    EXPECT_EQ(families[0].holes, 7U);
    EXPECT_EQ(families[1].name, "layer_0_q");
    EXPECT_EQ(families[2].name, "logits");
}

TEST_F(CheckpointFamily, NumbersKeepTheirZeros) {
    EXPECT_EQ(collect({named("gemm.000009"), named("gemm.000123")})[0].name, "gemm.000009..000123");
}

TEST_F(CheckpointFamily, ANumberInsideAWordIsNoIndex) {
    EXPECT_EQ(collect({named("blk.0.w1"), named("blk.0.w2"), named("blk.1.w1")}).size(), 2U);
}

TEST_F(CheckpointFamily, TwoIndicesAreTwoRanges) {
    const auto families = collect({named("blk.0.exp.3.w"), named("blk.1.exp.0.w")});
    ASSERT_EQ(families.size(), 1U);
    EXPECT_EQ(families[0].name, "blk.0..1.exp.0..3.w");
}

TEST_F(CheckpointFamily, CountsAreShownPerMember) {
    const auto a = named("layer_0_q");
    const auto b = named("layer_1_q");
    EXPECT_EQ(collect({a, b, a, b})[0].records_text(), "2 x 2");
    EXPECT_EQ(collect({a, b, a})[0].records_text(), "2 x 1..2");
    EXPECT_EQ(collect({a, a, a})[0].records_text(), "3");
}

TEST_F(CheckpointFamily, RowLinesAreCountedApart) {
    const auto families = collect({named("gemm.0", R"(,"kind":"gemm","token_idx":19)"),
                                   named("gemm.0", R"(,"kind":"row","token_idx":3)")});
    EXPECT_EQ(families[0].records, 1U);
    EXPECT_EQ(families[0].rows, 1U);
    EXPECT_EQ(families[0].first_token, 19);
}

TEST_F(CheckpointFamily, AFamilyOfRowsAloneHasItsName) {
    const auto families = collect({named("gemm.7", R"(,"kind":"row")")});
    ASSERT_EQ(families.size(), 1U);
    EXPECT_EQ(families[0].name, "gemm.7");
    EXPECT_EQ(families[0].records, 0U);
}

TEST_F(CheckpointFamily, NonfiniteRecordsAreCounted) {
    const auto families = collect({named("a", R"(,"nonfinite":[[0,"nan"]])"),
                                   named("a", R"(,"y":{"nan":3})"), named("a", R"(,"y":{})")});
    EXPECT_EQ(families[0].nonfinite, 2U);
}

TEST_F(CheckpointFamily, ANumberOfAnyLengthIsAName) {
    const std::string huge(40, '9');
    EXPECT_EQ(collect({named("a." + huge), named("a.1")})[0].name, "a.1.." + huge);
}

TEST(CommonShape, ShowsWhatShapesShare) {
    EXPECT_EQ(common_shape("", "[4]"), "[4]");
    EXPECT_EQ(common_shape("[20,128]", "[1,128]"), "[*,128]");
    EXPECT_EQ(common_shape("[*,128]", "[7,128]"), "[*,128]");
    EXPECT_EQ(common_shape("[4]", "[1,4]"), "varies");
    EXPECT_EQ(common_shape("nonsense", "[1,4]"), "varies");
}

}  // namespace
}  // namespace orch
