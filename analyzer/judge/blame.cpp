#include "analyzer/judge/blame.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace orch {
namespace {

/// Unexplained places that are looked at before a trace is called noisy.
constexpr int max_doubts = 24;

/// The weights' own numbers say that another weight, or other numbers, are multiplied.
bool has_other_weight(const Alignment& alignment, const ProductReading& product) {
    if (product.pair->wrong_match >= 0) return true;
    if (!product.other_weight || product.pair->match < 0) return false;
    const WeightMatch& match = alignment.weights[static_cast<std::size_t>(product.pair->match)];
    return match.distance > floors::certain * match.expected;
}

bool is_structured(const Finding& found) {
    static const std::set<std::string> words = {"scale",
                                                "sign",
                                                "bias",
                                                "row_permutation",
                                                "column_permutation",
                                                "transposition",
                                                "position_offset",
                                                "stale",
                                                "zeros",
                                                "uninitialised",
                                                "nonfinite",
                                                "wrong_weight",
                                                "weight_changed",
                                                "norm_eps",
                                                "residual",
                                                "low_precision",
                                                "mask",
                                                "gqa_map"};
    return words.contains(found.signature.name) && found.signature.confidence >= floors::explained;
}

/// The sizes of normed rows hardly depend on noise, so that a common shift stands out where the
/// rows themselves are lost in it.
class EnergyShifts {
  public:
    explicit EnergyShifts(const std::vector<PassReadings>& readings, const FlowOptions& options) {
        std::vector<double> all;
        for (const PassReadings& pass : readings)
            for (const SiteReading& site : pass) {
                if (site.step != Step::norm && site.step != Step::embedding) continue;
                auto& here = shifts_[site.site->label];
                for (const double shift : site.x.energy_shifts) {
                    here.push_back(shift);
                    all.push_back(std::abs(shift));
                }
            }
        const double narrow = std::hypot(narrow_rounding(options.a), narrow_rounding(options.b));
        limit_ = std::max({12 * median(all), 2 * narrow, 4 * floors::f32});
    }

    bool stands_out(const std::string& label) const {
        const auto found = shifts_.find(label);
        if (found == shifts_.end() || found->second.size() < 3) return false;
        double sum = 0;
        for (const double shift : found->second) {
            if (shift * found->second.front() <= 0) return false;
            sum += std::abs(shift);
        }
        return sum / static_cast<double>(found->second.size()) > limit_;
    }

  private:
    std::map<std::string, std::vector<double>> shifts_;
    double limit_ = 0;
};

/// An engine's own proof fails, and the other's does not.
bool proof_fails(const ProductReading& product, const FlowOptions& options,
                 const Alignment& alignment) {
    if (!product.proof_a && !product.proof_b) return false;
    const auto type_of = [](const EngineTrace& engine, const std::vector<std::size_t>& products) {
        const int weight = products.empty() ? -1 : engine.products[products.front()].weight;
        return weight < 0 ? std::string{}
                          : engine.weights[static_cast<std::size_t>(weight)].record.dtype;
    };
    const bool bad_a = product.proof_a.value_or(0) >
                       proof_floor(options.a, type_of(*alignment.a, product.pair->a));
    const bool bad_b = product.proof_b.value_or(0) >
                       proof_floor(options.b, type_of(*alignment.b, product.pair->b));
    return bad_a != bad_b;
}

std::string place_text(const SuspectPlace& place) {
    if (place.product == nullptr) return "what enters " + place.site->site->label;
    return fmt::format("the product {} of {}", part_name(place.product->role.part),
                       place.site->site->label);
}

const SiteReading* first_site(const PassReadings& pass) {
    return pass.empty() ? nullptr : &pass.front();
}

}  // namespace

double proof_floor(const Arithmetic& engine, const std::string& weight_type) {
    // Freivalds' sixteen probes estimate the error to a third; ggml multiplies quantised weights
    // with inputs quantised alike.
    double rounding = narrow_rounding(engine);
    if (weight_type != "f32" && !weight_type.empty() && weight_type != "f64")
        rounding += weight_type == "f16" || weight_type == "bf16" ? floors::rounding(weight_type)
                                                                  : 2 * floors::rounding("q8_0");
    return 6 * (floors::f32 + rounding);
}

BlameResult find_blame(const Alignment& alignment, const std::vector<PassReadings>& readings,
                       Measurer& measurer, const FlowOptions& options) {
    BlameResult result;
    const EnergyShifts shifts{readings, options};
    bool token_differs = false;
    int doubts = 0;
    const auto look = [&](const SuspectPlace& place, double gain, bool proven) {
        Blame blame;
        blame.place = place;
        blame.suspect = build_suspect(alignment, place, readings, measurer, options);
        blame.findings = find_signatures(blame.suspect);
        const bool structured = !blame.findings.empty() && is_structured(blame.findings.front());
        if (proven || gain > floors::certain || structured) {
            result.blame = std::move(blame);
            return true;
        }
        if (++doubts <= 3)
            result.doubts.push_back(fmt::format(
                "{} is off by {:.1e}, {:.1f} times what was expected, and looks like no known bug",
                place_text(place), blame.suspect.error, gain));
        return false;
    };
    for (const PassReadings& pass : readings) {
        const SiteReading* first = first_site(pass);
        if (first != nullptr && token_differs && first->x.gain > floors::suspicious) {
            // Another token was chosen, and fed back: nothing behind that can be compared.
            result.tokens_part_at = first->pass;
            break;
        }
        for (const SiteReading& site : pass) {
            if (doubts > max_doubts) return result;
            const Reading& bracket = site.products.empty() ? site.tensor : site.x;
            const bool off = bracket.nonfinite || bracket.gain > floors::suspicious;
            if ((off || shifts.stands_out(site.site->label)) &&
                look({&site, nullptr}, bracket.gain, bracket.nonfinite))
                return result;
            for (const ProductReading& product : site.products) {
                const bool proven = product.y.nonfinite ||
                                    proof_fails(product, options, alignment) ||
                                    (product.y.measured && has_other_weight(alignment, product));
                if ((proven || product.y.gain > floors::suspicious) &&
                    look({&site, &product}, product.y.gain, proven))
                    return result;
            }
            token_differs = token_differs || site.token_differs;
        }
    }
    return result;
}

}  // namespace orch
