// The statistics of a file as text, CSV and JSON.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "analyzer/stats/value_stats.hpp"
#include "analyzer/util/text.hpp"

namespace orch {

inline constexpr int stats_schema_version = 1;

struct StatsView {
    bool by_position = false;  ///< else by checkpoint; chosen by itself where there are few
    bool histogram = false;
    bool all = false;  ///< no matter how many lines
};

std::string stats_text(const FileStats& stats, const StatsView& view, const Paint& paint);
std::string garbage_text(const FileStats& stats);
/// One line per checkpoint and position, below one line of titles.
std::string stats_csv_title();
std::string stats_csv(const FileStats& stats);
nlohmann::ordered_json stats_json(const FileStats& stats);

}  // namespace orch
