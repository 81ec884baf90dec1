// The forward pass that llama_decode is in on this thread.
#pragma once
#include <cstdint>

namespace orch {

/// Positions of the batch being decoded, where the graph itself does not hold them. False if there
/// is no batch of that many tokens.
bool positions_of_pass(std::int64_t tokens, std::int32_t* out) noexcept;

}  // namespace orch
