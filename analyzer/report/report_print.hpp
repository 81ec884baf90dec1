// The printers of a Report: docs/REPORT.md. All formats print one structure, so they cannot
// disagree; the same report gives the same bytes.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "analyzer/judge/report.hpp"
#include "analyzer/util/text.hpp"

namespace orch {

/// Changes when a key is removed or changes its meaning; new keys may come any time.
inline constexpr int report_schema_version = 1;

/// At most text_width columns (a shell command may take more); the first line is the verdict.
/// `verbose` adds every site and every position, and every pair of many engines.
std::string report_text(const Report& report, const Paint& paint, bool verbose);

nlohmann::ordered_json report_json(const Report& report);

enum class CsvTable { tokens, sites, drift, matrix };
std::string report_csv(const Report& report, CsvTable table);

/// For a pull request: what a reader must see first, the tables folded away.
std::string report_markdown(const Report& report);

/// A case for each place that was compared. Failures: divergence; errors: not comparable; neither:
/// parity.
std::string report_junit(const Report& report);

/// SARIF 2.1.0: one result per pair that diverges, at the line of the trace that shows it.
nlohmann::ordered_json report_sarif(const Report& report);

/// JSON of any of the above, ready to be written; bytes that are no UTF-8 are replaced.
std::string document_text(const nlohmann::ordered_json& document);

}  // namespace orch
