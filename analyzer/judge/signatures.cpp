#include <algorithm>

#include "analyzer/judge/signature.hpp"

namespace orch {

std::vector<Finding> find_signatures(const Suspect& suspect) {
    using Find = std::optional<Finding> (*)(const Suspect&);
    constexpr Find all[] = {
        find_nonfinite,     find_uninitialised,
        find_zeros,         find_weight_fault,
        find_stale,         find_scale,
        find_norm_eps,      find_row_permutation,
        find_repeated_row,  find_mask,
        find_part_fault,    find_column_permutation,
        find_gqa_map,       find_bias,
        find_residual,      find_transposition,
        find_low_precision, find_attention_scale,
        find_cache,         find_dropped_k_tail,
        find_product,       find_norm,
        find_rope,          find_activation,
    };
    std::vector<Finding> findings;
    for (const Find find : all)
        if (auto found = find(suspect)) findings.push_back(std::move(*found));
    std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
        return a.signature.confidence > b.signature.confidence;
    });
    return findings;
}

}  // namespace orch
