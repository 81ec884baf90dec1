// A cell of a CSV file, RFC 4180.
#pragma once
#include <string>
#include <string_view>

namespace orch {

/// Quoted where it must be.
inline std::string csv_cell(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string{text};
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + '"';
}

}  // namespace orch
