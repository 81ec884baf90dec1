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
    constexpr double beyond = 6;  // the aligner looked at distances already
    return match.distance > beyond * match.expected;
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
/// rows themselves are lost in it. Returns the first such place, among those before another.
const SiteReading* find_energy_shift(const std::vector<PassReadings>& readings,
                                     const SiteReading* before, const FlowOptions& options) {
    std::map<std::string, std::vector<double>> shifts;
    std::vector<const SiteReading*> order;
    const auto collect = [&] {
        for (const PassReadings& pass : readings)
            for (const SiteReading& site : pass) {
                if (&site == before) return;
                if (site.step != Step::norm && site.step != Step::embedding) continue;
                if (!shifts.contains(site.site->label)) order.push_back(&site);
                std::vector<double>& here = shifts[site.site->label];
                here.insert(here.end(), site.x.energy_shifts.begin(), site.x.energy_shifts.end());
            }
    };
    collect();
    const double narrow = std::hypot(narrow_rounding(options.a), narrow_rounding(options.b));
    constexpr std::size_t enough = 4;
    constexpr std::size_t many = 6;
    for (const SiteReading* site : order) {
        const std::vector<double>& here = shifts[site->site->label];
        double sum = 0;
        bool one_side = here.size() >= enough;
        for (const double shift : here) {
            one_side = one_side && shift * here.front() > 0;
            sum += std::abs(shift);
        }
        std::vector<double> elsewhere;
        for (const auto& [label, others] : shifts)
            if (label != site->site->label)
                for (const double shift : others)
                    elsewhere.push_back(std::abs(shift));
        const double factor = here.size() < many ? 12 : 6;
        const double limit = std::max({factor * median(elsewhere), 2 * narrow, 4 * floors::f32});
        if (one_side && sum / static_cast<double>(here.size()) > limit) return site;
    }
    return nullptr;
}

enum class Proofs { none, both_right, one_wrong };

/// What the engines' own proofs of a product say.
Proofs proofs_of(const ProductReading& product, const FlowOptions& options,
                 const Alignment& alignment) {
    const auto type_of = [](const EngineTrace& engine, const std::vector<std::size_t>& products) {
        const int weight = products.empty() ? -1 : engine.products[products.front()].weight;
        return weight < 0 ? std::string{}
                          : engine.weights[static_cast<std::size_t>(weight)].record.dtype;
    };
    const bool bad_a =
        product.proof_a.value_or(0) >
        proof_floor(options.a, type_of(*alignment.a, product.pair->a), product.rounding_a);
    const bool bad_b =
        product.proof_b.value_or(0) >
        proof_floor(options.b, type_of(*alignment.b, product.pair->b), product.rounding_b);
    if (bad_a != bad_b) return Proofs::one_wrong;
    if (!bad_a && !bad_b && product.proof_a && product.proof_b) return Proofs::both_right;
    return Proofs::none;
}

std::string place_text(const SuspectPlace& place) {
    if (place.product == nullptr) return "what enters " + place.site->site->label;
    return fmt::format("the product {} of {}", part_name(place.product->role.part),
                       place.site->site->label);
}

class Search {
  public:
    Search(const Alignment& alignment, const std::vector<PassReadings>& readings,
           Measurer& measurer, const FlowOptions& options)
        : alignment_{alignment}, readings_{readings}, measurer_{measurer}, options_{options} {}

    BlameResult run() {
        walk();
        const SiteReading* before = result_.blame ? result_.blame->place.site : stop_;
        if (const SiteReading* site = find_energy_shift(readings_, before, options_)) {
            Blame blame = suspect({site, nullptr});
            if (!blame.findings.empty() && is_structured(blame.findings.front()))
                result_.blame = std::move(blame);
        }
        return std::move(result_);
    }

  private:
    Blame suspect(const SuspectPlace& place) {
        Blame blame;
        blame.place = place;
        blame.suspect = build_suspect(alignment_, place, readings_, measurer_, options_);
        blame.findings = find_signatures(blame.suspect);
        return blame;
    }

    /// True: blamed.
    bool look(const SuspectPlace& place, const Reading& reading, bool proven) {
        Blame blame = suspect(place);
        const bool structured = !blame.findings.empty() && is_structured(blame.findings.front());
        const double gain = reading.gain;
        const Step step = place.product != nullptr ? Step::product : place.site->step;
        if (proven || gain > certain_of(step) || reading.typical_gain > floors::suspicious ||
            structured) {
            result_.blame = std::move(blame);
            return true;
        }
        if (++doubts_ <= 3 && gain > floors::doubtful)
            result_.doubts.push_back(fmt::format(
                "{} is off by {:.1e}, {:.1f} times what was expected, and looks like no known bug",
                place_text(place), blame.suspect.error, gain));
        return false;
    }

    /// Weight and product are right by the records of both engines: then the inputs differ in a way
    /// that sketches do not show.
    bool look_before(const SiteReading& site, const ProductReading& product) {
        if (product.y.gain <= certain_of(Step::product)) return false;
        Blame blame = suspect({&site, nullptr});
        blame.findings.insert(
            blame.findings.begin(),
            finding("column_permutation", 0.7,
                    fmt::format("{} is right by each engine's own numbers (to {:.1e} and {:.1e}), "
                                "the weights are the same, and the results differ by {:.1e}: the "
                                "inputs differ in a way that no digest of theirs shows, such as "
                                "two features exchanged",
                                place_text({&site, &product}), *product.proof_a, *product.proof_b,
                                product.y.error),
                    "the whole input rows of this product in both engines"));
        blame.shown_by = &product.y;
        result_.blame = std::move(blame);
        return true;
    }

    bool look_at(const SiteReading& site) {
        const Reading& bracket = site.products.empty() ? site.tensor : site.x;
        if ((bracket.nonfinite || bracket.gain > floors::suspicious) &&
            look({&site, nullptr}, bracket, bracket.nonfinite))
            return true;
        for (const ProductReading& product : site.products) {
            const bool other_weight = product.y.measured && has_other_weight(alignment_, product);
            const Proofs proofs = proofs_of(product, options_, alignment_);
            const bool off = product.y.gain > floors::suspicious;
            const bool is_right = proofs == Proofs::both_right && !product.other_weight &&
                                  product.pair->match >= 0 && !product.y.nonfinite;
            if (off && is_right) {
                if (look_before(site, product)) return true;
                continue;
            }
            const bool proven = product.y.nonfinite || proofs == Proofs::one_wrong || other_weight;
            if ((proven || off) && look({&site, &product}, product.y, proven)) return true;
        }
        return false;
    }

    void walk() {
        bool token_differs = false;
        for (const PassReadings& pass : readings_) {
            if (pass.empty()) continue;
            if (token_differs && pass.front().x.gain > floors::suspicious) {
                // Another token was chosen, and fed back: nothing behind that can be compared.
                result_.tokens_part_at = pass.front().pass;
                stop_ = &pass.front();
                return;
            }
            for (const SiteReading& site : pass) {
                if (doubts_ > max_doubts || look_at(site)) return;
                token_differs = token_differs || site.token_differs;
            }
        }
    }

    const Alignment& alignment_;
    const std::vector<PassReadings>& readings_;
    Measurer& measurer_;
    const FlowOptions& options_;
    BlameResult result_;
    const SiteReading* stop_ = nullptr;
    int doubts_ = 0;
};

}  // namespace

double proof_floor(const Arithmetic& engine, const std::string& weight_type, double arithmetic) {
    // Freivalds' sixteen probes estimate the error to a third; ggml multiplies quantised weights
    // with inputs quantised alike.
    double rounding = narrow_rounding(engine);
    if (weight_type != "f32" && !weight_type.empty() && weight_type != "f64")
        rounding += weight_type == "f16" || weight_type == "bf16" ? floors::rounding(weight_type)
                                                                  : 2 * floors::rounding("q8_0");
    return 6 * (floors::f32 + rounding + arithmetic);
}

BlameResult find_blame(const Alignment& alignment, const std::vector<PassReadings>& readings,
                       Measurer& measurer, const FlowOptions& options) {
    return Search{alignment, readings, measurer, options}.run();
}

}  // namespace orch
