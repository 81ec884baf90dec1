#include "analyzer/judge/arithmetic.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace orch {
namespace {

constexpr int bf16_bits = 8;
constexpr int f16_bits = 11;
/// An engine rounds by design if most of its inputs show it.
constexpr double most = 0.8;

}  // namespace

Digits digits_of(const MatrixPair& matrix, bool of_b) {
    std::set<double> values;
    for (const RowPair& row : matrix.rows)
        values.insert((of_b ? row.b : row.a).absmax);
    for (const double value : of_b ? matrix.values_b : matrix.values_a)
        values.insert(value);
    Digits digits;
    for (const double value : values) {
        if (value == 0 || !(std::abs(value) < 1e30)) continue;
        ++digits.samples;
        digits.most = std::max(digits.most, significant_bits(value));
    }
    return digits;
}

Arithmetic arithmetic_of(const EngineTrace& engine, bool is_b, std::span<const PassData> passes) {
    Arithmetic result;
    result.kv = engine.kv_dtype;
    result.named = std::any_of(engine.weights.begin(), engine.weights.end(),
                               [](const Weight& weight) { return !weight.record.name.empty(); });
    std::map<std::string, std::size_t> weights;
    for (const Weight& weight : engine.weights)
        if (!weight.is_activation) ++weights[weight.record.dtype];
    std::size_t best = 0;
    for (const auto& [dtype, count] : weights)
        if (count > best) {
            best = count;
            result.weights = dtype;
        }
    std::map<std::string, std::size_t> inputs;
    std::map<std::string, std::size_t> products;
    // Of each place, all passes together: a decode step alone shows too few values.
    std::map<std::string, MatrixPair> places;
    for (const PassData& pass : passes)
        for (const SiteData& site : pass.sites)
            if (!site.products.empty()) {
                const MatrixPair& x = site.products.front().x;
                ++inputs[(is_b ? x.b : x.a).dtype];
                for (const ProductData& product : site.products)
                    ++products[is_b ? product.arithmetic_b : product.arithmetic_a];
                MatrixPair& all = places[site.site->label];
                all.rows.insert(all.rows.end(), x.rows.begin(), x.rows.end());
            }
    best = 0;
    for (const auto& [dtype, count] : inputs)
        if (count > best) {
            best = count;
            result.activations = dtype;
        }
    best = 0;
    for (const auto& [arithmetic, count] : products)
        if (count > best) {
            best = count;
            result.products = arithmetic;
        }
    if (result.activations != "f32") return result;
    std::size_t measured = 0;
    std::size_t as_bf16 = 0;
    std::size_t as_f16 = 0;
    for (const auto& [label, x] : places) {
        const Digits digits = digits_of(x, is_b);
        if (digits.samples < 4) continue;
        ++measured;
        as_bf16 += digits.at_most(bf16_bits) ? 1 : 0;
        as_f16 += digits.at_most(f16_bits) ? 1 : 0;
    }
    const double enough = most * static_cast<double>(measured);
    if (measured == 0 || static_cast<double>(as_f16) < enough) return result;
    result.activations = static_cast<double>(as_bf16) >= enough ? "bf16" : "f16";
    result.inferred = true;
    return result;
}

}  // namespace orch
