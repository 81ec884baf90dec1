// What can stand on one side of a match: a weight, or several that read the same input, added up.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "analyzer/align/engine_trace.hpp"

namespace orch {

struct WeightUnit {
    std::array<int, 4> parts{};  ///< into EngineTrace::weights, in the order of first use
    int count = 0;
    bool siblings = false;  ///< its parts read the same x
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::array<float, 16> sketch{};
    double energy = 0;
    double sum = 0;
    double size = 0;  ///< the length that distances are relative to
    double rank = 0;  ///< of its first use, 0 to 1
    std::span<const int> weights() const { return {parts.data(), static_cast<std::size_t>(count)}; }
};

/// Adds up the digests of weights. count 0: one of them has no sketch.
WeightUnit unit_of(const EngineTrace& engine, std::span<const int> weights);
/// The same of records of any origin; `parts` are their numbers.
WeightUnit unit_of(std::span<const WeightRecord* const> records);

/// All single weights that may be parameters, and sums of up to four that are used side by side.
std::vector<WeightUnit> units_of(const EngineTrace& engine);

/// Of b from a, relative to a.
double distance(const WeightUnit& a, const WeightUnit& b);

}  // namespace orch
