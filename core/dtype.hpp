// Element types that a trace can hold. A ggml block type travels as `block`: its rows are decoded
// to f32 by the engine's own `to_float` before anything here sees a value.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace orch {

enum class DType : std::uint8_t { f32, f64, f16, bf16, block };

constexpr std::size_t element_size(DType type) {
    switch (type) {
        case DType::f32:
            return 4;
        case DType::f64:
            return 8;
        case DType::f16:
        case DType::bf16:
            return 2;
        case DType::block:
            return 0;
    }
    return 0;
}

constexpr std::string_view dtype_name(DType type) {
    switch (type) {
        case DType::f32:
            return "f32";
        case DType::f64:
            return "f64";
        case DType::f16:
            return "f16";
        case DType::bf16:
            return "bf16";
        case DType::block:
            return "block";
    }
    return "unknown";
}

/// False when `name` is none of f32, f64, f16, bf16.
constexpr bool parse_dtype(std::string_view name, DType& out) {
    for (DType type : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
        if (dtype_name(type) == name) {
            out = type;
            return true;
        }
    }
    return false;
}

}  // namespace orch
