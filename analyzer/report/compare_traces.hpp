// From traces on disk to a Report: read, summarise, align, judge.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "analyzer/judge/judge.hpp"

namespace orch {

struct ComparisonRequest {
    std::vector<std::string> traces;  ///< the first is the reference
    std::string floor;                ///< a second run of the reference; empty: none
    std::string index;                ///< names for nameless weights; empty: none
    /// Which run of each file, counted from 1. One number stands for all; empty: the last.
    std::vector<std::size_t> runs;
    std::string baseline;  ///< team or path to which the nearest is named; empty: the reference
    JudgeOptions judge;
};

/// Throws UnreadableFile, and std::invalid_argument for what the request asks in vain.
Report compare_traces(const ComparisonRequest& request);

}  // namespace orch
