// A Llama small enough to compute in a moment, in the forms that engines have, with places where a
// fault can be planted.
#pragma once
#include <filesystem>
#include <string_view>

namespace orch::selftest {

/// How an engine keeps its weights and shows its work.
struct Form {
    bool names = false;      ///< as llama.cpp: names, positions, rows of Q and K side by side
    bool fused = false;      ///< one product for Q, K and V, one for gate and up
    bool f16_cache = false;  ///< keys and values are rounded
    bool last_row = false;   ///< the last layer goes on with the wanted row alone
    int lanes = 1;           ///< accumulators per sum
};

enum class Fault {
    none,
    rope_base,         ///< the wrong base of the rotation's angles
    mask_sees_next,    ///< attention sees one token of the future
    norm_scaled,       ///< 5 % too large
    gelu,              ///< instead of SiLU
    key_heads,         ///< query heads read the wrong key heads
    k_tail,            ///< the product of o leaves out its last inputs
    other_layer_down,  ///< the weight of the next layer
    stale_cache,       ///< decode steps do not write keys and values
};

inline constexpr int layer_count = 3;

/// Prompt and decode steps, traced into `path`. Throws std::runtime_error.
void trace_small_llama(const std::filesystem::path& path, std::string_view team, const Form& form,
                       Fault fault, int layer);

}  // namespace orch::selftest
