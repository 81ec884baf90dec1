// What the writers of numbers write, as strings, and how std::to_chars writes it.
#pragma once
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/float_text.hpp"

namespace orch {

inline std::uint32_t bits_of(float value) {
    return std::bit_cast<std::uint32_t>(value);
}
inline std::uint64_t bits_of(double value) {
    return std::bit_cast<std::uint64_t>(value);
}
inline float float_of(std::uint32_t bits) {
    return std::bit_cast<float>(bits);
}

/// Runs a writer in a buffer that ends exactly where the contract says, and checks the byte behind.
template <std::size_t room, class Write, class T>
std::string text_of(Write write, T value) {
    char buffer[room + 1];
    buffer[room] = '#';
    char* const end = write(buffer, value);
    if (buffer[room] != '#') return "wrote past its room";
    return std::string(&buffer[0], end);
}

inline std::string f32_text(float value) {
    return text_of<max_f32_text>(write_f32, value);
}
inline std::string f64_text(double value) {
    return text_of<max_f64_text>(write_f64, value);
}
inline std::string f16_text(std::uint16_t bits) {
    return text_of<max_half_text>(write_f16, bits);
}
inline std::string bf16_text(std::uint16_t bits) {
    return text_of<max_half_text>(write_bf16, bits);
}

template <class T>
std::string to_chars_text(T value) {
    char buffer[64];
    return std::string(&buffer[0], std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

}  // namespace orch
