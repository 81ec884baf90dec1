// Which products of a nameless model end a layer: by their shapes alone.
#include "preload/cuda/layer_ends.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace orch::cuda {
namespace {

struct Shape {
    std::int64_t outputs;
    std::int64_t inputs;
};

/// A letter for each product: l ends a layer, h is the head.
std::string groups(const std::vector<Shape>& products) {
    LayerEnds ends;
    std::string text;
    for (const Shape& shape : products) {
        const CheckpointGroup group = ends.group_of(shape.outputs, shape.inputs);
        text += group == CheckpointGroup::layers   ? 'l'
                : group == CheckpointGroup::logits ? 'h'
                                                   : '.';
    }
    return text;
}

std::vector<Shape> model(int layers, const std::vector<Shape>& layer, Shape head) {
    std::vector<Shape> products;
    for (int i = 0; i < layers; ++i)
        products.insert(products.end(), layer.begin(), layer.end());
    products.push_back(head);
    return products;
}

TEST(LayerEnds, AreFoundInLlama7B) {
    const std::vector<Shape> layer = {{4096, 4096},  {4096, 4096},  {4096, 4096}, {4096, 4096},
                                      {11008, 4096}, {11008, 4096}, {4096, 11008}};
    const auto products = model(2, layer, {32000, 4096});
    EXPECT_EQ(groups(products), "......l......lh");
    auto two_tokens = products;
    two_tokens.insert(two_tokens.end(), products.begin(), products.end());
    EXPECT_EQ(groups(two_tokens), "......l......lh......l......lh");
}

TEST(LayerEnds, AreFoundWithFusedProductsAndGroupedQueries) {
    // Llama 3 8B as vLLM has it: QKV in one, gate and up in one.
    EXPECT_EQ(groups(model(2, {{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}},
                           {128256, 4096})),
              "...l...lh");
    // Qwen 2.5 0.5B: K and V are narrow.
    EXPECT_EQ(
        groups(model(
            2,
            {{896, 896}, {128, 896}, {128, 896}, {896, 896}, {4864, 896}, {4864, 896}, {896, 4864}},
            {151936, 896})),
        "......l......lh");
    // GPT-2: no gate.
    EXPECT_EQ(groups(model(2, {{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}}, {50257, 768})),
              "...l...lh");
}

TEST(LayerEnds, AreNotWhereAttentionIsWiderThanTheModel) {
    // Qwen 3 4B: the output of attention narrows, too.
    EXPECT_EQ(groups(model(1,
                           {{4096, 2560},
                            {1024, 2560},
                            {1024, 2560},
                            {2560, 4096},
                            {9728, 2560},
                            {9728, 2560},
                            {2560, 9728}},
                           {151936, 2560})),
              "......lh");
}

}  // namespace
}  // namespace orch::cuda
