// Which forward passes of two engines did the same work.
#pragma once
#include <string>
#include <vector>

#include "analyzer/align/alignment.hpp"

namespace orch {

struct PassPairs {
    std::vector<PassPair> pairs;
    /// By pass: why it takes no part; empty: it is in a pair.
    std::vector<std::string> dropped_a;
    std::vector<std::string> dropped_b;
    std::vector<std::string> not_comparable;
    std::vector<std::string> notes;
};

/// Requests by the lengths of their prompts, in their order; passes of a request by positions.
PassPairs pair_passes(const EngineTrace& a, const EngineTrace& b);

}  // namespace orch
