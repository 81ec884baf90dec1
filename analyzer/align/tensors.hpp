// Pairs what engines have names for: checkpoints in passes, and plain lines of any logger.
#pragma once
#include "analyzer/align/alignment.hpp"
#include "analyzer/align/ledger.hpp"

namespace orch {

/// Plain lines first: a line may stand for a tensor that the other engine names in a pass.
void pair_logs(Alignment& alignment, Fates& fates_a, Fates& fates_b);
/// Then the checkpoints of paired passes, whose sites are put where the reference computed them.
void pair_tensors(Alignment& alignment, Fates& fates_a, Fates& fates_b);

}  // namespace orch
