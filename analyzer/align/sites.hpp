// Pairs the products of paired passes, site by site: by the content of their weights where the
// order agrees, by their place where a weight is another or unknown.
#pragma once
#include "analyzer/align/alignment.hpp"
#include "analyzer/align/identity.hpp"
#include "analyzer/align/ledger.hpp"

namespace orch {

/// A reason in the ledger: the routers of the engines disagree.
inline constexpr const char* other_expert = "expert that the other engine did not choose";

/// Fills products and sites of `alignment`, whose passes are known, and its weights: those of
/// `identity`, and those that are paired by place alone.
void pair_products(const Identity& identity, Alignment& alignment, Fates& fates_a, Fates& fates_b);

}  // namespace orch
