// Runs a graph for the engine and reads what was selected of it.
#pragma once
#include "preload/ggml_api.hpp"

namespace orch {

using GraphCompute = int (*)(void* sched, void* graph);

int compute_and_capture(const GgmlApi& api, GraphCompute real, void* sched, void* graph) noexcept;

/// The engine's own eval callback, which ours must not displace.
void remember_engine_callback(void* sched, void* callback, void* user_data) noexcept;

}  // namespace orch
