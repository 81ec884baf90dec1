// Traces of plain seven-key lines: the first values of each vector are all there is.
#pragma once
#include "analyzer/judge/judge.hpp"

namespace orch {

/// Whether the alignment holds lines and no products.
bool is_plain(const Alignment& alignment);

/// Fills sites, tokens, drift, verdict and grade.
void judge_plain(const Alignment& alignment, const Alignment* floor, const JudgeOptions& options,
                 PairReport& report);

}  // namespace orch
