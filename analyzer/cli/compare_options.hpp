// What `compare` and `baseline` have in common: which traces, and how they are judged.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "analyzer/report/compare_traces.hpp"

namespace orch {

struct CompareOptions {
    ComparisonRequest request;
    std::string skip_positions;  ///< "0,3-5", as given
    std::string runs;
};

void add_compare_options(CLI::App& app, CompareOptions& options);

/// The request with what was given as text. Throws UsageError.
ComparisonRequest request_of(const CompareOptions& options);

/// "0,3-5" -> 0, 3, 4, 5. Throws UsageError that names `option`.
std::vector<std::int64_t> numbers_of(const std::string& option, const std::string& text);

int exit_code_of(Verdict verdict);

}  // namespace orch
