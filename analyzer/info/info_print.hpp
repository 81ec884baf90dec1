// The two printers of a TraceSummary.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "analyzer/info/trace_summary.hpp"
#include "analyzer/util/text.hpp"

namespace orch {

/// Changes when a key is removed or changes its meaning; new keys may come any time.
inline constexpr int info_schema_version = 1;

/// At most text_width columns; the first line is the verdict.
std::string info_text(const TraceSummary& trace, const Paint& paint);

/// One file's entry of {"schema_version":1,"files":[…]}.
nlohmann::ordered_json info_json(const TraceSummary& trace);

}  // namespace orch
