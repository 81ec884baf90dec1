// Bug signatures: each function looks at a suspect for one kind of bug and says how sure it is.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analyzer/judge/report.hpp"
#include "analyzer/judge/suspect.hpp"

namespace orch {

struct Finding {
    Signature signature;
    std::string op;  ///< a better word for the place than the place's own; empty: none
    /// The engine that is wrong by its own numbers; empty: the finding does not tell.
    std::string team;
    std::string team_because;
};

// signatures_values.cpp: what the numbers look like
std::optional<Finding> find_nonfinite(const Suspect& suspect);
std::optional<Finding> find_uninitialised(const Suspect& suspect);
std::optional<Finding> find_zeros(const Suspect& suspect);
std::optional<Finding> find_scale(const Suspect& suspect);
std::optional<Finding> find_bias(const Suspect& suspect);
std::optional<Finding> find_low_precision(const Suspect& suspect);

// signatures_rows.cpp: right numbers in the wrong place
std::optional<Finding> find_row_permutation(const Suspect& suspect);
std::optional<Finding> find_repeated_row(const Suspect& suspect);
std::optional<Finding> find_stale(const Suspect& suspect);
std::optional<Finding> find_column_permutation(const Suspect& suspect);
std::optional<Finding> find_transposition(const Suspect& suspect);

// signatures_product.cpp
std::optional<Finding> find_weight_fault(const Suspect& suspect);
std::optional<Finding> find_part_fault(const Suspect& suspect);
std::optional<Finding> find_dropped_k_tail(const Suspect& suspect);
std::optional<Finding> find_product(const Suspect& suspect);

// signatures_norm.cpp
std::optional<Finding> find_norm_eps(const Suspect& suspect);
std::optional<Finding> find_residual(const Suspect& suspect);
std::optional<Finding> find_norm(const Suspect& suspect);

// signatures_attention.cpp
std::optional<Finding> find_mask(const Suspect& suspect);
std::optional<Finding> find_gqa_map(const Suspect& suspect);
std::optional<Finding> find_attention_scale(const Suspect& suspect);
std::optional<Finding> find_cache(const Suspect& suspect);
std::optional<Finding> find_rope(const Suspect& suspect);
std::optional<Finding> find_activation(const Suspect& suspect);

/// All that apply, by falling confidence.
std::vector<Finding> find_signatures(const Suspect& suspect);

Finding finding(std::string name, double confidence, std::string because, std::string falsifier);

}  // namespace orch
