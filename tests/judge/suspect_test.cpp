#include "analyzer/judge/suspect.hpp"

#include <gtest/gtest.h>

#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr std::size_t tokens = 8;
constexpr std::size_t cols = 256;

/// The place that is suspected, what is added to the stream behind it, and the next norm.
struct Stretch {
    std::vector<Site> sites = {{0, 0, Part::gate, {0}, -1, "layer_0_gate_up"},
                               {0, 0, Part::down, {1}, -1, "layer_0_down"},
                               {0, 1, Part::q, {2}, -1, "layer_1_qkv"}};
    PassData pass;

    /// The addend is `growth` times as large as the stream before it, and off by a thousandth; what
    /// the next norm reads is off by `left`.
    Stretch(double growth, double left) {
        const Matrix stream = random_matrix(tokens, cols, 1);
        for (std::size_t row = 0; row < tokens; ++row)
            pass.stream[-1].rows.emplace(static_cast<std::int64_t>(row), digest_of(stream[row]));
        const Matrix addend = changed(random_matrix(tokens, cols, 2), [&](Row& row, std::size_t) {
            for (double& value : row)
                value *= growth;
        });
        const Matrix normed = random_matrix(tokens, cols, 3);
        add(sites[0], random_matrix(tokens, cols, 4), random_matrix(tokens, cols, 4), Part::gate);
        add(sites[1], addend, noisy(addend, 1e-3 * growth, 5), Part::down);
        add(sites[2], normed, noisy(normed, left, 6), Part::q);
    }

    std::optional<bool> persists(double error) const {
        return persists_in(pass, "layer_0_gate_up", error);
    }

  private:
    void add(const Site& site, const Matrix& a, const Matrix& b, Part part) {
        ProductData product;
        product.role = {site.layer, part, -1};
        product.x = product.y = pair_of(a, b, 0);
        SiteData data;
        data.site = &site;
        data.products.push_back(std::move(product));
        pass.sites.push_back(std::move(data));
    }
};

TEST(Suspect, AnErrorThatTheNextNormDoesNotReadIsNotInTheStream) {
    EXPECT_EQ(Stretch(1, 0.05).persists(0.05), true);
    EXPECT_EQ(Stretch(1, 1e-6).persists(0.05), false);
}

TEST(Suspect, AStreamThatGrewManyTimesTellsNothingOfASmallError) {
    EXPECT_EQ(Stretch(1000, 2e-3).persists(0.05), std::nullopt);
    EXPECT_EQ(Stretch(1000, 0.05).persists(0.05), true);  // but it shows
    EXPECT_EQ(Stretch(1000, 2e-3).persists(50), true);    // as large as what was added
    EXPECT_EQ(Stretch(1, 2e-3).persists(0.05), true);     // as large as it was
}

TEST(Suspect, AWeightIsOnePartHoweverManyChunksMultiplyIt) {
    EngineTrace engine;
    engine.weights.resize(2);
    engine.products.resize(5);
    const int weights[] = {1, 0, -1, 1, -1};
    for (std::size_t i = 0; i < engine.products.size(); ++i)
        engine.products[i].weight = weights[i];
    const Weight* first = &engine.weights[1];
    const Weight* second = &engine.weights[0];
    EXPECT_EQ(weights_of(engine, {0, 3}), (std::vector<const Weight*>{first}));
    EXPECT_EQ(weights_of(engine, {0, 1, 3}), (std::vector<const Weight*>{first, second}));
    EXPECT_EQ(weights_of(engine, {0, 2, 4}), (std::vector<const Weight*>{first, nullptr, nullptr}));
}

}  // namespace
}  // namespace orch
