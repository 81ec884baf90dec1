// In which order two engines keep the output rows of one weight, told by the digests of rows.
#pragma once
#include "analyzer/align/alignment.hpp"

namespace orch {

/// Fills rows and rows_text of the match; content and expected are known.
void find_row_order(const EngineTrace& a, const EngineTrace& b, WeightMatch& match);

}  // namespace orch
