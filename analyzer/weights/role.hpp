// What a weight is for, told by its name alone: GGUF's names and those of the Hugging Face and
// original checkpoints of the common families.
#pragma once
#include <cstdint>
#include <string_view>

namespace orch {

enum class Part : std::uint8_t {
    embedding,
    attn_norm,
    q,
    k,
    v,
    qkv,  ///< query, key and value in one
    o,
    q_norm,
    k_norm,
    ffn_norm,
    gate,
    up,
    gate_up,  ///< gate and up in one
    down,
    router,
    expert_gate,
    expert_up,
    expert_down,
    final_norm,
    head,
    other,
};

struct Role {
    int layer = -1;
    Part part = Part::other;
    int expert = -1;
    friend bool operator==(const Role&, const Role&) = default;
};

/// Biases, scales, adapters, and everything of a vision or audio tower are Part::other. A shared
/// expert has the parts of a plain feed-forward (gate, up, down).
Role role_of(std::string_view weight_name);

std::string_view part_name(Part part);

}  // namespace orch
