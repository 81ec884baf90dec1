#include "analyzer/judge/floors.hpp"

#include <gtest/gtest.h>

namespace orch {
namespace {

Arithmetic f32() {
    return {};
}

Arithmetic with(const std::string& activations) {
    Arithmetic result;
    result.activations = activations;
    return result;
}

Arithmetic ggml(const std::string& kv) {
    Arithmetic result;
    result.named = true;
    result.kv = kv;
    return result;
}

TEST(Floors, CoarserTypesAllowMore) {
    double last = 0;
    for (const char* type : {"f32", "f16", "bf16", "q8_0", "q5_0", "q4_0"}) {
        EXPECT_GT(floors::rounding(type), last) << type;
        last = floors::rounding(type);
    }
    EXPECT_EQ(floors::rounding("a type of tomorrow"), floors::rounding("q4_0"));
}

TEST(Floors, ACacheOfF16ShowsInAttentionAloneAndGrowsWithPosition) {
    const Arithmetic a = ggml("f16");
    EXPECT_NEAR(step_floor(Step::norm, a, f32(), 100), floors::f32, 1e-12);
    EXPECT_GT(step_floor(Step::attention, a, f32(), 0), 1e-4);
    EXPECT_GT(step_floor(Step::attention, a, f32(), 1000),
              3 * step_floor(Step::attention, a, f32(), 0));
    EXPECT_NEAR(step_floor(Step::attention, ggml("f32"), f32(), 100), floors::f32, 1e-12);
}

TEST(Floors, ANarrowTypeShowsInEveryStep) {
    for (const Step step : {Step::norm, Step::attention, Step::activation, Step::product})
        EXPECT_GT(step_floor(step, f32(), with("bf16"), 0), 1e-3);
}

TEST(Floors, EqualWeightsOfBlockTypesAddNothing) {
    const double same = product_floor(ggml("f32"), ggml("f32"), "q8_0", "q8_0", Content::same_bits);
    EXPECT_NEAR(same, floors::f32, 1e-12);
    EXPECT_GT(product_floor(ggml("f32"), f32(), "q8_0", "f32", Content::rounding), 5e-3);
}

TEST(Floors, NamesWhatExplainsThem) {
    EXPECT_EQ(arithmetic_text(f32(), f32()), "");
    EXPECT_EQ(arithmetic_text(f32(), with("bf16")), "bf16 against f32");
    EXPECT_EQ(arithmetic_text(ggml("f16"), f32()), "f16 KV cache");
    Arithmetic q8 = ggml("f32");
    q8.weights = "q8_0";
    EXPECT_EQ(arithmetic_text(q8, f32()), "q8_0 weights");
}

}  // namespace
}  // namespace orch
