#include "analyzer/report/numbers.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace orch {

nlohmann::ordered_json json_number(double value) {
    if (!std::isfinite(value)) return nullptr;
    return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

nlohmann::ordered_json json_number(const std::optional<double>& value) {
    return value ? json_number(*value) : nlohmann::ordered_json{};
}

std::string csv_number(double value) {
    return std::isnan(value) ? std::string{} : fmt::format("{:.6g}", value);
}

std::string csv_number(const std::optional<double>& value) {
    return value ? csv_number(*value) : std::string{};
}

}  // namespace orch
