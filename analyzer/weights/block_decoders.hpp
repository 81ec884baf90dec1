// ggml's block types as f32. Each decoder computes what ggml's own to_float does, to the bit.
#pragma once
#include <cstdint>

#include "core/matrix.hpp"

namespace orch {

/// Ids as GGUF files have them.
enum class GgmlType : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    f64 = 28,
    bf16 = 30,
};

/// Null: none of ours. The count that it is called with is a multiple of the type's block.
BlockDecoder built_in_decoder(GgmlType type);

/// One byte each: the FP8 types of safetensors.
void decode_f8_e4m3(const void* row, float* out, std::int64_t count);
void decode_f8_e5m2(const void* row, float* out, std::int64_t count);

}  // namespace orch
