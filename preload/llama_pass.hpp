// The forward pass that llama_decode is in on this thread, and what all passes share.
#pragma once
#include <cstdint>
#include <string_view>

namespace orch {

/// Positions of the batch being decoded, where the graph itself does not hold them. False if there
/// is no batch of that many tokens.
bool positions_of_pass(std::int64_t tokens, std::int32_t* out) noexcept;

/// llama.cpp names the tensors of its cache of keys and values when it makes a context. Passes from
/// then on say of which type they are. Other names are ignored.
void note_cache_tensor(std::string_view name, std::string_view type) noexcept;

}  // namespace orch
