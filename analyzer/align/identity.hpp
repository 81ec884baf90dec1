// Which weights of two engines are the same parameters, told by their content: the sketch of the
// sum of a weight's rows does not depend on their order and adds up over fused and sharded parts.
#pragma once
#include <vector>

#include "analyzer/align/alignment.hpp"

namespace orch {

struct Identity {
    std::vector<WeightMatch> matches;
    /// By weight: its match, or -1.
    std::vector<int> of_a;
    std::vector<int> of_b;
    /// By weight without a match: the match whose content it has as well (tied and borrowed
    /// weights, and copies of them), or -1.
    std::vector<int> copy_a;
    std::vector<int> copy_b;
};

/// Weights whose content is found on both sides, and weights that both engines give one name.
Identity identify(const EngineTrace& a, const EngineTrace& b);

/// A match of weights that stand in the same place, whatever their content.
WeightMatch match_by_place(const EngineTrace& a, const EngineTrace& b, std::vector<int> of_a,
                           std::vector<int> of_b);

/// Fills expected and content of all matches: what their element types explain, measured over all
/// matches of the same two types where there are enough of them.
void judge_contents(const EngineTrace& a, const EngineTrace& b, std::vector<WeightMatch>& matches);

}  // namespace orch
