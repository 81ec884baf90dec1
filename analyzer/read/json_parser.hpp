// What the reader needs of simdjson.
#pragma once
#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace orch {
inline namespace reading {

inline std::string_view string_at(simdjson::dom::object json, std::string_view key) {
    std::string_view value;
    return json.at_key(key).get(value) == simdjson::SUCCESS ? value : std::string_view{};
}

inline std::int64_t integer_at(simdjson::dom::object json, std::string_view key,
                               std::int64_t absent) {
    std::int64_t value = 0;
    return json.at_key(key).get(value) == simdjson::SUCCESS ? value : absent;
}

/// A sentence about a line that simdjson refused.
std::string why_invalid(std::string_view line, simdjson::error_code error);

}  // namespace reading
}  // namespace orch
