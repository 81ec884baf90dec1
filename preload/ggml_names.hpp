// Stable checkpoint names for what llama.cpp calls its tensors.
#pragma once
#include <string_view>

#include "core/fixed_string.hpp"
#include "core/selector.hpp"

namespace orch {

struct StableName {
    FixedString<95> checkpoint;
    CheckpointGroup group = CheckpointGroup::inner;
};

/// False for names that no checkpoint has: views, inputs, caches, unnamed nodes. `op` tells the
/// tensors apart to which the engine gives one name: "Qcur-0" is the product, then the rotated one.
bool stable_name(std::string_view engine_name, std::string_view op, StableName& out) noexcept;

/// Operations that look at another tensor's memory.
bool is_view_operation(std::string_view op) noexcept;

/// "gemm.blk.0.attn_q" for the product with "blk.0.attn_q.weight".
FixedString<95> product_name(std::string_view weight_name) noexcept;

}  // namespace orch
