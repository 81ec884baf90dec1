#include "analyzer/judge/drift.hpp"

#include <gtest/gtest.h>

namespace orch {
namespace {

std::string kind_of(const std::vector<double>& errors) {
    std::vector<LayerDrift> layers;
    for (std::size_t i = 0; i < errors.size(); ++i)
        layers.push_back({static_cast<int>(i), errors[i], 0});
    return classify_drift(std::move(layers)).kind;
}

TEST(Drift, IsNamedByItsTrend) {
    EXPECT_EQ(kind_of({1e-3, 2e-3, 3e-3, 5e-3, 8e-3, 1e-2}), "growing");
    EXPECT_EQ(kind_of({1e-3, 1.1e-3, 0.9e-3, 1e-3, 1.2e-3, 1e-3}), "stable");
    EXPECT_EQ(kind_of({1e-2, 8e-3, 5e-3, 3e-3, 2e-3, 1e-3}), "shrinking");
    EXPECT_EQ(kind_of({0, 0, 0, 0}), "stable");
    EXPECT_EQ(kind_of({1e-3, 1}), "too few layers");
}

TEST(Drift, GrowthIsAgainstTheLayerBefore) {
    const Drift drift = classify_drift({{0, 1e-3, 0}, {1, 2e-3, 0}, {2, 1e-3, 0}});
    EXPECT_EQ(drift.layers[0].growth, 0);
    EXPECT_DOUBLE_EQ(drift.layers[1].growth, 2);
    EXPECT_DOUBLE_EQ(drift.layers[2].growth, 0.5);
}

TEST(Drift, RoundingsOfEveryLayerAddUpToNoTrend) {
    // Independent errors of 1e-3 in each of eight layers.
    EXPECT_EQ(kind_of({1e-3, 1.4e-3, 1.7e-3, 2e-3, 2.2e-3, 2.4e-3, 2.6e-3, 2.8e-3}), "stable");
    EXPECT_EQ(kind_of({1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 7e-3, 8e-3}), "growing");
}

}  // namespace
}  // namespace orch
