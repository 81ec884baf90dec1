#include "core/json_line.hpp"

#include "core/slice.hpp"

namespace orch {
namespace {

/// Length of the valid UTF-8 sequence at the start of `text`, or 0. Overlong forms, surrogates and
/// values beyond U+10FFFF are not valid.
std::size_t utf8_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto continues = [&](std::size_t i) {
        return i < text.size() && (byte(i) & 0xc0U) == 0x80U;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef && continues(1) && continues(2)) {
        if (lead == 0xe0 && byte(1) < 0xa0) return 0;
        if (lead == 0xed && byte(1) > 0x9f) return 0;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4 && continues(1) && continues(2) && continues(3)) {
        if (lead == 0xf0 && byte(1) < 0x90) return 0;
        if (lead == 0xf4 && byte(1) > 0x8f) return 0;
        return 4;
    }
    return 0;
}

constexpr char hex_digits[] = "0123456789abcdef";

}  // namespace

void JsonLine::string(std::string_view text) noexcept {
    // The longest escape is \u00XX: six bytes for one.
    if (!room(text.size() * 6 + 4)) return;
    comma();
    *at_++ = '"';
    while (!text.empty()) {
        const auto c = static_cast<unsigned char>(text[0]);
        if (c == '"' || c == '\\') {
            *at_++ = '\\';
            *at_++ = static_cast<char>(c);
            text.remove_prefix(1);
        } else if (c < 0x20) {
            raw("\\u00");
            *at_++ = hex_digits[c >> 4];
            *at_++ = hex_digits[c & 15U];
            text.remove_prefix(1);
        } else if (const std::size_t length = utf8_length(text); length != 0) {
            raw(slice(text, 0, length));
            text.remove_prefix(length);
        } else {
            raw("\\ufffd");  // a byte that is no UTF-8 would make the whole line unreadable
            text.remove_prefix(1);
        }
    }
    *at_++ = '"';
}

void JsonLine::hex64(std::uint64_t value) noexcept {
    if (!room(20)) return;
    comma();
    *at_++ = '"';
    for (int shift = 60; shift >= 0; shift -= 4)
        *at_++ = hex_digits[(value >> shift) & 15U];
    *at_++ = '"';
}

}  // namespace orch
