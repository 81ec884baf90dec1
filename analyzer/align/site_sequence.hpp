// Lines up the sites of two engines in one pass.
#pragma once
#include <utility>
#include <vector>

#include "analyzer/align/slots.hpp"

namespace orch {

/// Makes one site of neighbours that belong to one site, or to one fused weight, of the other side.
void join_sites(Slots& a, Slots& b);

/// Pairs of sites, ascending on both sides. Common content counts most; where there is none, equal
/// shapes: an engine that multiplies another weight than it should does so in the right place.
/// `wanders` by content: used in some passes only, as the input decides (experts): where another is
/// in the place of one, the router chose it, and it is no wrong weight.
std::vector<std::pair<int, int>> line_up_sites(const Slots& a, const Slots& b,
                                               const std::vector<bool>& wanders);

}  // namespace orch
