#include "analyzer/judge/flow.hpp"

#include <gtest/gtest.h>

#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr std::size_t tokens = 12;
constexpr std::size_t cols = 128;

/// A pass of one layer: o, gate and down, with matrices that the test chooses.
struct OneLayer {
    std::vector<Site> sites = {{0, 1, Part::o, {0}, -1, "layer_1_o"},
                               {0, 1, Part::gate, {1}, -1, "layer_1_gate_up"},
                               {0, 1, Part::down, {2}, -1, "layer_1_down"},
                               {0, 2, Part::q, {3}, -1, "layer_2_qkv"}};
    std::vector<ProductPair> pairs{4};
    PassData pass;

    OneLayer() {
        pass.pass = 0;
        pass.tokens = tokens;
        constexpr Part parts[] = {Part::o, Part::gate, Part::down, Part::q};
        for (std::size_t i = 0; i < sites.size(); ++i) {
            ProductData product;
            product.pair = &pairs[i];
            product.index = i;
            product.role = {sites[i].layer, parts[i], -1};
            product.content = Content::equal;
            product.weight_type_a = product.weight_type_b = "f32";
            const Matrix x = random_matrix(tokens, cols, static_cast<unsigned>(10 + i));
            const Matrix y = random_matrix(tokens, cols, static_cast<unsigned>(20 + i));
            product.x = pair_of(x, noisy(x, 1e-7, 1), 0);
            product.y = pair_of(y, noisy(y, 1e-7, 2), 0);
            SiteData site;
            site.site = &sites[i];
            site.products.push_back(std::move(product));
            pass.sites.push_back(std::move(site));
        }
    }

    void make_off(std::size_t site, bool result, double size) {
        ProductData& product = pass.sites[site].products[0];
        const Matrix m =
            random_matrix(tokens, cols, static_cast<unsigned>((result ? 20 : 10) + site));
        (result ? product.y : product.x) = pair_of(m, noisy(m, size, 3), 0);
    }
};

TEST(Flow, NoiseIsExpected) {
    OneLayer layer;
    for (const SiteReading& site : Flow{{}}.read(layer.pass)) {
        EXPECT_TRUE(site.x.measured);
        EXPECT_LT(site.x.gain, 1);
        EXPECT_LT(site.products[0].y.gain, 1);
    }
}

TEST(Flow, WhatAProductAddsToItsInputStandsOut) {
    OneLayer layer;
    layer.make_off(1, true, 1e-2);
    const auto readings = Flow{{}}.read(layer.pass);
    EXPECT_LT(readings[1].x.gain, floors::suspicious);
    EXPECT_GT(readings[1].products[0].y.gain, 100);
}

TEST(Flow, WhatAProductInheritsDoesNot) {
    OneLayer layer;
    layer.make_off(1, false, 1e-2);
    layer.make_off(1, true, 1e-2);
    const auto readings = Flow{{}}.read(layer.pass);
    EXPECT_GT(readings[1].x.gain, 100);
    EXPECT_LT(readings[1].products[0].y.gain, floors::suspicious);
}

TEST(Flow, TheStreamCarriesTheErrorsOfItsAddends) {
    OneLayer layer;
    layer.make_off(2, true, 1e-2);   // down
    layer.make_off(3, false, 1e-2);  // and with it what the next layer's norm reads
    const auto readings = Flow{{}}.read(layer.pass);
    EXPECT_GT(readings[2].products[0].y.gain, 100);
    EXPECT_LT(readings[3].x.gain, floors::suspicious);

    OneLayer alone;
    alone.make_off(3, false, 1e-2);  // nothing that is added explains this one
    EXPECT_GT(Flow{{}}.read(alone.pass)[3].x.gain, 100);
}

TEST(Flow, ARunOfTheReferenceAgainstItselfRaisesTheFloor) {
    OneLayer layer;
    layer.make_off(1, true, 1e-2);
    FlowOptions options;
    options.known = {{"layer_1_gate_up y gate", 1e-2}};
    EXPECT_LT(Flow{options}.read(layer.pass)[1].products[0].y.gain, floors::suspicious);
}

TEST(Flow, NaNOnOneSideIsNewsWhateverTheFloor) {
    OneLayer layer;
    MatrixPair& y = layer.pass.sites[0].products[0].y;
    y.rows[3].b.nonfinite.nan = 1;
    const auto readings = Flow{{}}.read(layer.pass);
    EXPECT_TRUE(readings[0].products[0].y.nonfinite);
    EXPECT_EQ(readings[0].products[0].y.first_off, 3);
}

TEST(Flow, WhatIsNotThereIsNotMeasured) {
    OneLayer layer;
    layer.pass.sites[0].products[0].y = {};
    const auto readings = Flow{{}}.read(layer.pass);
    EXPECT_FALSE(readings[0].products[0].y.measured);
}

}  // namespace
}  // namespace orch
