// All places of two aligned engines, measured: what a verdict, a floor and a consensus start from.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "analyzer/judge/blame.hpp"
#include "analyzer/judge/judge.hpp"

namespace orch {

struct Comparison {
    FlowOptions options;
    std::vector<PassReadings> readings;  ///< by Alignment::passes
    std::vector<TokenRow> tokens;
    std::size_t measured = 0;  ///< matrices that could be compared
};

/// `known`: FlowOptions::known.
Comparison compare_passes(const Alignment& alignment, const JudgeOptions& options,
                          std::map<std::string, double> known, Measurer& measurer);

/// The largest error at each place, as FlowOptions::known wants it.
std::map<std::string, double> largest_errors(const Comparison& comparison);

/// At the logits, largest over passes; else at the last place that both have; none: NaN.
double final_error(const Comparison& comparison, int before_pass);

/// How far apart the engines are at each place, by its label; up to the pass where tokens part.
std::map<std::string, double> errors_by_place(const Comparison& comparison, int before_pass);

}  // namespace orch
