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

Arithmetic products_in(const std::string& arithmetic) {
    Arithmetic result;
    result.products = arithmetic;
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
    EXPECT_EQ(arithmetic_text(f32(), products_in("tf32")), "products in tf32 against f32");
    EXPECT_EQ(arithmetic_text(products_in("tf32"), products_in("tf32")), "products in tf32");
}

TEST(Floors, AnArithmeticThatIsNoCoarserThanItsOperandsAddsNothing) {
    for (const char* fine : {"", "f32", "f64", "bf16x9", "fixed_point"})
        EXPECT_EQ(arithmetic_rounding(fine, "f32", 4096), 0) << fine;
}

TEST(Floors, OperandsThatAreBroughtToANarrowTypeLoseItsDigits) {
    const double tf32 = arithmetic_rounding("tf32", "f32", 4096);
    // Simulated: 3.0e-4 if rounded to the nearest, 7.9e-4 if cut off.
    EXPECT_GT(tf32, 3.0e-4);
    EXPECT_GT(floors::suspicious * tf32, 7.9e-4);
    EXPECT_LT(tf32, 6e-4);
    EXPECT_GT(arithmetic_rounding("bf16", "f32", 64), 4 * tf32);
    EXPECT_EQ(tf32, arithmetic_rounding("tf32", "f32", 64));
}

TEST(Floors, SumsInANarrowTypeLoseMoreTheLongerTheyAre) {
    // Simulated, in steps of 8 terms: 4.3e-4, 1.2e-3, 3.2e-3.
    EXPECT_NEAR(arithmetic_rounding("f16", "f16", 64), 4.3e-4, 1e-4);
    EXPECT_NEAR(arithmetic_rounding("f16", "f16", 512), 1.2e-3, 2e-4);
    EXPECT_NEAR(arithmetic_rounding("f16", "f16", 4096), 3.2e-3, 4e-4);
}

TEST(Floors, AttentionIsMadeOfProductsToo) {
    EXPECT_GT(step_floor(Step::attention, f32(), products_in("tf32"), 0), 4e-4);
    EXPECT_NEAR(step_floor(Step::norm, f32(), products_in("tf32"), 0), floors::f32, 1e-12);
}

}  // namespace
}  // namespace orch
