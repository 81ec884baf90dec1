#include "analyzer/judge/drift.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace orch {
namespace {

constexpr std::size_t enough_layers = 3;
/// Independent errors of a size in every layer add up to the root of their number.
double of_noise(std::size_t layer) {
    return std::sqrt(static_cast<double>(layer + 1));
}
/// Sketches tell an error to a fifth; half as much again in a third of the model is a trend.
constexpr double trend = 1.5;
/// Below this, differences are those of the order of additions.
constexpr double nothing = 1e-7;

/// How much larger noise alone makes the error in the last layers than in the first.
double growth_of_noise(std::size_t layers, std::size_t third) {
    double first = 0;
    double last = 0;
    for (std::size_t i = 0; i < third; ++i) {
        first += of_noise(i);
        last += of_noise(layers - 1 - i);
    }
    return last / first;
}

double mean_of(std::span<const LayerDrift> layers) {
    double sum = 0;
    for (const LayerDrift& layer : layers)
        sum += layer.error;
    return layers.empty() ? 0 : sum / static_cast<double>(layers.size());
}

}  // namespace

Drift classify_drift(std::vector<LayerDrift> layers) {
    Drift drift;
    for (std::size_t i = 1; i < layers.size(); ++i)
        layers[i].growth = layers[i - 1].error > 0 ? layers[i].error / layers[i - 1].error : 0;
    drift.layers = std::move(layers);
    if (drift.layers.size() < enough_layers) {
        drift.kind = "too few layers";
        return drift;
    }
    const std::span<const LayerDrift> all{drift.layers};
    const std::size_t third = std::max<std::size_t>(1, all.size() / 3);
    const double first = mean_of(all.first(third));
    const double last = mean_of(all.last(third));
    if (std::max(first, last) <= nothing) {
        drift.kind = "stable";
        drift.meaning = "no error to speak of in any layer";
    } else if (last > trend * growth_of_noise(all.size(), third) * std::max(first, nothing)) {
        drift.kind = "growing";
        drift.meaning = fmt::format(
            "the error accumulates: {:.1e} in the first layers, {:.1e} in "
            "the last",
            first, last);
    } else if (last > trend * first) {
        drift.kind = "stable";
        drift.meaning = fmt::format(
            "{:.1e} in the first layers, {:.1e} in the last: no more than independent roundings "
            "of every layer add up to",
            first, last);
    } else if (first > trend * last) {
        drift.kind = "shrinking";
        drift.meaning = fmt::format(
            "the error falls from {:.1e} to {:.1e}: errors do not heal, so "
            "look at how these values were logged",
            first, last);
    } else {
        drift.kind = "stable";
        drift.meaning = fmt::format("the error stays near {:.1e}", last);
    }
    return drift;
}

Drift drift_of(std::span<const PassReadings> readings, int last_pass) {
    std::map<int, std::pair<double, std::size_t>> squares;
    for (const PassReadings& pass : readings) {
        std::map<int, double> last_site;  // the last one wins
        for (const SiteReading& site : pass) {
            if (last_pass >= 0 && site.pass > last_pass) continue;
            const Reading& reading = site.products.empty() ? site.tensor : site.x;
            if (site.site->layer >= 0 && reading.measured)
                last_site[site.site->layer] = reading.whole.value_or(reading.typical);
        }
        for (const auto& [layer, error] : last_site) {
            auto& [sum, count] = squares[layer];
            sum += error * error;
            ++count;
        }
    }
    std::vector<LayerDrift> layers;
    for (const auto& [layer, sum] : squares)
        layers.push_back({layer, std::sqrt(sum.first / static_cast<double>(sum.second)), 0});
    return classify_drift(std::move(layers));
}

}  // namespace orch
