#include "analyzer/report/escape.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace orch {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

struct CodePoint {
    std::uint32_t value = 0;
    std::size_t size = 0;  ///< 0: no UTF-8
};

/// The code point at the start of a text that is not empty.
CodePoint decode(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return {first, 1};
    const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < size) return {};
    std::uint32_t value = first & (0x7FU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3FU);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < least[size] || value > 0x10FFFF || surrogate) return {};
    return {value, size};
}

template <class Put>
void for_each_code_point(std::string_view text, const Put& put) {
    while (!text.empty()) {
        const CodePoint code = decode(text);
        put(code, text.substr(0, code.size));
        text.remove_prefix(code.size == 0 ? 1 : code.size);
    }
}

}  // namespace

std::string valid_utf8(std::string_view text) {
    std::string out;
    for_each_code_point(text, [&](CodePoint code, std::string_view bytes) {
        out += code.size == 0 ? replacement : bytes;
    });
    return out;
}

std::string xml_text(std::string_view text) {
    std::string out;
    for_each_code_point(text, [&](CodePoint code, std::string_view bytes) {
        const bool control = code.value < 0x20 && code.value != '\n' && code.value != '\t';
        if (code.size == 0 || control || code.value == 0xFFFE || code.value == 0xFFFF) {
            out += replacement;
        } else if (code.value == '&') {
            out += "&amp;";
        } else if (code.value == '<') {
            out += "&lt;";
        } else if (code.value == '>') {
            out += "&gt;";
        } else if (code.value == '"') {
            out += "&quot;";
        } else if (code.value == '\n') {
            out += "&#10;";  // an attribute would lose it
        } else {
            out += bytes;
        }
    });
    return out;
}

std::string markdown_text(std::string_view text) {
    std::string out;
    for_each_code_point(text, [&](CodePoint code, std::string_view bytes) {
        if (code.size == 0) {
            out += replacement;
        } else if (code.value < 0x20) {
            out += ' ';
        } else {
            if (std::string_view{"\\`*_[]<>|#&~"}.find(bytes) != std::string_view::npos)
                out += '\\';
            out += bytes;
        }
    });
    return out;
}

std::string uri_of_path(std::string_view path) {
    constexpr std::string_view safe =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    std::string out{path.starts_with('/') ? "file://" : ""};
    for (const char c : path) {
        if (safe.find(c) != std::string_view::npos) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

}  // namespace orch
