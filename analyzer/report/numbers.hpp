// Numbers of a report in files that programs read.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace orch {

/// Six significant digits: distances of sketches are not known better, and the text does not
/// depend on the last bit. null where there is none.
nlohmann::ordered_json json_number(double value);
nlohmann::ordered_json json_number(const std::optional<double>& value);
/// The same for CSV; empty where there is none, "inf" and "-inf" as they are.
std::string csv_number(double value);
std::string csv_number(const std::optional<double>& value);

}  // namespace orch
