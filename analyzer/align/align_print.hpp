// The two printers of an Alignment.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "analyzer/align/alignment.hpp"
#include "analyzer/util/text.hpp"

namespace orch {

/// Changes when a key is removed or changes its meaning; new keys may come any time.
inline constexpr int align_schema_version = 1;

std::string_view content_name(Content content);
std::string_view row_order_name(RowOrder order);

/// At most text_width columns; the first line says whether the traces are comparable. `verbose`:
/// every weight, pass and site, not a line for all of a kind.
std::string align_text(const Alignment& alignment, const Paint& paint, bool verbose);

nlohmann::ordered_json align_json(const Alignment& alignment);

}  // namespace orch
