#include "analyzer/read/json_parser.hpp"

namespace orch {
namespace {

/// Python's json writes these words, and so does printf.
bool has_bare_nonfinite(std::string_view line) {
    for (std::string_view word : {"nan", "NaN", "inf", "Inf"}) {
        for (std::size_t at = line.find(word); at != std::string_view::npos;
             at = line.find(word, at + 1)) {
            if (at > 0 && std::string_view{",[: -"}.find(line[at - 1]) != std::string_view::npos) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace

std::string reading::why_invalid(std::string_view line, simdjson::error_code error) {
    if (line.find('\0') != std::string_view::npos) return "not valid JSON (it holds NUL bytes)";
    switch (error) {
        case simdjson::UTF8_ERROR:
            return "not valid JSON (not UTF-8)";
        case simdjson::UNCLOSED_STRING:
            return "not valid JSON (unexpected end inside a string)";
        case simdjson::UNESCAPED_CHARS:
            return "not valid JSON (control character in a string)";
        case simdjson::STRING_ERROR:
            return "not valid JSON (bad escape in a string)";
        case simdjson::DEPTH_ERROR:
            return "not valid JSON (nested too deeply)";
        case simdjson::MEMALLOC:
            return "too long to be held in memory";
        default:
            break;
    }
    if (has_bare_nonfinite(line))
        return "not valid JSON (nan and inf are no JSON numbers; use null)";
    if (error == simdjson::NUMBER_ERROR) return "not valid JSON (bad number)";
    const std::size_t last = line.find_last_not_of(" \t\r\n");
    const std::size_t first = line.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos && line[last] != '}' && line[first] == '{') {
        return "not valid JSON (unexpected end)";
    }
    return "not valid JSON (wrong structure)";
}

}  // namespace orch
