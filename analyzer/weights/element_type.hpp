// The element types of checkpoints: their sizes, and how a row of them becomes f32.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "core/matrix.hpp"

namespace orch {

/// A type as a tensor has it. Sizes are of one block; plain types have blocks of one value.
struct ElementType {
    std::string_view name;  ///< as an engine's trace names it: "f16", "q4_K"
    std::int64_t block_values = 1;
    std::int64_t block_bytes = 0;
    enum class Kind : std::uint8_t {
        plain,    ///< the digest reads it as it lies: `dtype`
        block,    ///< needs a decoder; null: only a ggml library has it
        integer,  ///< no weight's type: token types, packed words of other quantisations
        unknown,  ///< not even the size is known
    };
    Kind kind = Kind::unknown;
    DType dtype = DType::block;
    BlockDecoder decode = nullptr;
    std::uint32_t ggml_id = 0;  ///< of GGUF files
};

/// By the id in a GGUF file. Kind::unknown for an id that no ggml of today has.
ElementType ggml_element_type(std::uint32_t id);
/// By the name in a safetensors header: "BF16". Kind::unknown for a name that is not known here.
ElementType safetensors_element_type(std::string_view name);
/// Every id that ggml_element_type knows.
std::span<const std::uint32_t> known_ggml_types();

}  // namespace orch
