#include "analyzer/judge/floors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

using TypeRounding = std::pair<std::string_view, double>;

/// Block types: measured for q8_0 and q4_0; the others by their bits, a factor of two per bit.
constexpr std::array<TypeRounding, 25> roundings = {{
    {"f64", 1e-16},   {"f32", 3e-8},    {"tf32", 2.1e-4},  {"f16", 2.1e-4},  {"bf16", 1.7e-3},
    {"e4m3", 2.7e-2}, {"e5m2", 5.4e-2}, {"q8_0", 5.4e-3},  {"q8_1", 5.4e-3}, {"q8_k", 5.4e-3},
    {"q6_k", 1.6e-2}, {"q5_0", 4.3e-2}, {"q5_1", 3.6e-2},  {"q5_k", 3.2e-2}, {"q4_0", 8.6e-2},
    {"q4_1", 7.2e-2}, {"q4_k", 6.4e-2}, {"iq4_nl", 7e-2},  {"iq4_xs", 7e-2}, {"mxfp4", 0.11},
    {"q3_k", 0.13},   {"iq3_s", 0.14},  {"iq3_xxs", 0.17}, {"q2_k", 0.28},   {"iq2_xs", 0.3},
}};

/// Of attention's products: the size of a head or more.
constexpr std::int64_t inputs_of_attention = 128;

/// How a step adds up independent errors of both engines.
double both(double a, double b) {
    return std::sqrt(a * a + b * b);
}

double roundings_of(Step step) {
    switch (step) {
        case Step::attention:
        case Step::unknown:
            return floors::attention_roundings;
        case Step::activation:
            return floors::activation_roundings;
        case Step::product:
            return 1;
        case Step::tensor:
        case Step::embedding:
        case Step::norm:
            break;
    }
    return floors::norm_roundings;
}

double narrow(const Arithmetic& engine, Step step) {
    return engine.activations == "f32" ? 0
                                       : roundings_of(step) * floors::rounding(engine.activations);
}

/// What an engine makes of the input of a product before it multiplies: ggml brings it to the
/// partner of the weight's type.
double input_rounding(std::string_view weight, const Arithmetic& engine) {
    if (weight == "f32" || weight.empty() || weight == engine.activations) return 0;
    if (weight == "f16" || weight == "bf16") return engine.named ? floors::rounding(weight) : 0;
    return floors::rounding("q8_0");
}

bool is_f16_cache(const Arithmetic& engine) {
    // An engine that shows its passes and not its cache is llama.cpp, whose default is f16.
    return engine.kv == "f16" || (engine.kv.empty() && engine.named);
}

}  // namespace

double floors::rounding(std::string_view dtype) {
    const auto found = std::find_if(roundings.begin(), roundings.end(),
                                    [&](const TypeRounding& type) { return type.first == dtype; });
    return found == roundings.end() ? rounding("q4_0") : found->second;
}

double certain_of(Step step) {
    const bool modelled = step == Step::norm || step == Step::activation || step == Step::product;
    return modelled ? floors::certain : floors::certain_of_attention;
}

double narrow_rounding(const Arithmetic& engine) {
    return engine.activations == "f32" ? 0 : floors::rounding(engine.activations);
}

double arithmetic_rounding(std::string_view arithmetic, std::string_view type,
                           std::int64_t inputs) {
    // As good as f32 or better, and f32 where the operands have fewer digits.
    for (const std::string_view fine : {"", "f32", "f64", "bf16x9", "fixed_point"})
        if (arithmetic == fine) return 0;
    if (arithmetic == type) {
        const double sums = 1 + static_cast<double>(inputs) / floors::terms_of_f16_sums;
        return floors::rounding(arithmetic) * std::sqrt(sums);
    }
    return floors::narrowed_operands * floors::rounding(arithmetic);
}

double step_floor(Step step, const Arithmetic& a, const Arithmetic& b, std::int64_t position) {
    double floor = both(floors::f32, both(narrow(a, step), narrow(b, step)));
    // The embedding table has the weights' type, or a finer one.
    if (step == Step::embedding && a.weights != b.weights)
        floor = both(floor, both(floors::rounding(a.weights), floors::rounding(b.weights)));
    if (step != Step::attention) return floor;
    for (const Arithmetic* engine : {&a, &b}) {
        // Scores and contexts are products too, of the same handle as a rule.
        if (!engine->products.empty())
            floor = both(floor, floors::attention_products *
                                    arithmetic_rounding(engine->products, engine->activations,
                                                        inputs_of_attention));
        if (is_f16_cache(*engine)) {
            const double additions = 1 + static_cast<double>(std::max<std::int64_t>(0, position)) *
                                             floors::f16_attention_growth;
            floor = both(floor, floors::f16_attention * std::sqrt(additions));
        } else if (!engine->kv.empty() && engine->kv != engine->activations) {
            floor = both(floor, floors::attention_roundings * floors::rounding(engine->kv));
        }
    }
    return floor;
}

double product_floor(const Arithmetic& a, const Arithmetic& b, std::string_view weight_a,
                     std::string_view weight_b, Content content) {
    double floor = both(floors::f32, both(narrow(a, Step::product), narrow(b, Step::product)));
    const bool same_weight = content == Content::same_bits || content == Content::equal;
    if (!same_weight)
        floor = both(floor, both(floors::rounding(weight_a), floors::rounding(weight_b)));
    if (weight_a != weight_b || a.named != b.named)
        floor = both(floor, both(input_rounding(weight_a, a), input_rounding(weight_b, b)));
    return floor;
}

std::string arithmetic_text(const Arithmetic& a, const Arithmetic& b) {
    std::vector<std::string> parts;
    if (a.activations != b.activations)
        parts.push_back(b.activations + " against " + a.activations);
    else if (a.activations != "f32")
        parts.push_back(a.activations);
    for (const Arithmetic* engine : {&a, &b}) {
        const std::string& other = engine == &a ? b.weights : a.weights;
        const bool told = engine->weights == engine->activations;
        if (!told && engine->weights != "f32" && engine->weights != other)
            parts.push_back(engine->weights + " weights");
    }
    if (is_f16_cache(a) != is_f16_cache(b)) parts.emplace_back("f16 KV cache");
    if (a.products != b.products) {
        const auto told = [](const Arithmetic& engine) {
            return engine.products.empty() ? "f32" : engine.products;
        };
        parts.push_back("products in " + told(b) + " against " + told(a));
    } else if (!a.products.empty()) {
        parts.push_back("products in " + a.products);
    }
    return joined(parts, ", ");
}

}  // namespace orch
