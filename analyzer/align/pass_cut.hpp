// Forward passes of an engine that does not say where they begin.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "analyzer/align/engine_trace.hpp"

namespace orch {

/// Where passes start, as indices into `keys`, the first of them 0. `keys` names the weight of each
/// product, in the order of calls; negative: it says nothing (an activation). A pass starts where
/// the sequence of weights starts again. Neither a weight that is used twice in a pass, nor passes
/// that leave out the LM head (all chunks of a prompt but the last), nor experts confuse it.
std::vector<std::size_t> pass_starts(std::span<const int> keys);

/// Cuts the products of a nameless engine, and counts positions: each pass goes on behind the one
/// before, until a pass of several tokens follows one that produced a token.
void cut_passes(EngineTrace& engine);

}  // namespace orch
