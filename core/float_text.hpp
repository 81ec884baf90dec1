#pragma once

#include <cstddef>
#include <cstdint>

// Numbers as JSON text. No writer allocates, locks, throws or looks at the locale, so all of them
// may run inside an intercepted call, on any thread.
//
// Contract of every writer: `out` has room for the max_*_text bytes of its type (the whole room may
// be written, also past the text), the result is the end of the text, and there is no terminator.
// The floating-point writers take finite values only; a NaN or an infinity stays within the room
// but yields the text of some unrelated number.

namespace orch {

/// The longest text is 15 bytes, e.g. "-1.17549435e-38"; one more because writers store whole
/// words.
inline constexpr std::size_t max_f32_text = 16;
/// The same room serves both 16-bit formats.
inline constexpr std::size_t max_half_text = max_f32_text;
/// The longest text is 24 bytes, e.g. "-2.2250738585072014e-308".
inline constexpr std::size_t max_f64_text = 25;
/// "18446744073709551615" and "-9223372036854775808".
inline constexpr std::size_t max_int_text = 20;

/// Shortest text that reads back as `value`, and among those the closest to it: the text of
/// std::to_chars(value), with two exceptions. Negative zero is "-0.0", because JSON readers take
/// "-0" for the integer 0; and +-7.0385307e-26 keeps the one digit more it needs to survive readers
/// that parse a double and then narrow it.
char* write_f32(char* out, float value) noexcept;

/// The text of std::to_chars(value), except that negative zero is "-0.0".
char* write_f64(char* out, double value) noexcept;

/// The write_f32 text of a binary16 (f16) or bfloat16 (bf16) bit pattern. Texts are remembered in a
/// table that fills as patterns turn up; safe on any number of threads and across fork.
char* write_f16(char* out, std::uint16_t bits) noexcept;
char* write_bf16(char* out, std::uint16_t bits) noexcept;

char* write_u64(char* out, std::uint64_t value) noexcept;
char* write_i64(char* out, std::int64_t value) noexcept;

/// `count` values separated by commas, no comma at the end. Room for `count * max_f32_text` bytes
/// is enough, commas included.
char* write_f32_list(char* out, const float* values, std::size_t count) noexcept;
char* write_f16_list(char* out, const std::uint16_t* values, std::size_t count) noexcept;
char* write_bf16_list(char* out, const std::uint16_t* values, std::size_t count) noexcept;

}  // namespace orch
