// From an alignment to a verdict.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyzer/align/alignment.hpp"
#include "analyzer/judge/report.hpp"

namespace orch {

struct JudgeOptions {
    std::vector<std::int64_t> skip_positions;
    bool skip_garbage = false;  ///< leave out positions whose values are garbage
    double garbage = 1e15;      ///< |v| from here on is taken for uninitialised memory
    double reasonable = 0.01;   ///< relative difference that users accept
    double bad = 0.10;          ///< from here on it is called a bug
};

/// `floor` (may be null) is the alignment of the reference with a second run of itself, or with a
/// perturbed one: its differences are no news.
PairReport judge(const Alignment& alignment, const Alignment* floor, const JudgeOptions& options);

/// N engines: pairs[i] compares engines[0] with engines[i + 1]; `all` has every pair i < j in the
/// order (0,1), (0,2), …, (1,2), ….
Report judge_all(std::vector<PairReport> pairs, const std::vector<Alignment>& all,
                 const std::vector<const EngineTrace*>& engines, const std::string& baseline,
                 const JudgeOptions& options);

}  // namespace orch
