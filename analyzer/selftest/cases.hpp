// What orchtrace must tell right on any machine: engines that agree, and planted faults.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analyzer/judge/report.hpp"

namespace orch::selftest {

inline constexpr const char* reference_name = "reference.jsonl";

struct Result {
    std::string name;
    std::string expected;  ///< "parity", "layer 1 attention: rope"
    std::string found;
    std::string trace;  ///< what was compared with the reference
    bool good = false;
    Report report;
};

/// Traces the reference and one engine for each case into `directory`, and compares them. `each` is
/// called as results come. Throws std::exception where a trace cannot be written or read.
void run_cases(const std::filesystem::path& directory,
               const std::function<void(const Result&)>& each);

}  // namespace orch::selftest
