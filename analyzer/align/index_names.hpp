// Names for the weights of a nameless engine, from a checkpoint's index.
#pragma once
#include "analyzer/align/engine_trace.hpp"

namespace orch {

/// Fills name and role of the weights whose content the index has: single weights, and the sum of
/// a layer's q, k and v or gate and up.
void name_weights(EngineTrace& engine, const ModelIndex& index);

}  // namespace orch
