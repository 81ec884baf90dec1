// What the logits say, position by position.
#pragma once
#include <span>
#include <vector>

#include "analyzer/judge/flow.hpp"
#include "analyzer/judge/judge.hpp"

namespace orch {

/// Rows of a pass that have logits in both. `readings` are the pass's own.
std::vector<TokenRow> token_rows(const PassData& pass, std::span<const SiteReading> readings,
                                 const JudgeOptions& options);

/// The largest difference of a logit that is no news: p99 over a floor run's positions; 0: none.
double logit_floor(std::span<const TokenRow> floor_rows);

/// Another winner is a tie where the reference's margin is within what noise moves two logits by;
/// where no margin is known, where the whole row is within its floor.
void classify_flips(std::span<TokenRow> rows, double logit_floor);

}  // namespace orch
