// Which element types an engine computes with: said by its records, or shown by its values.
#pragma once
#include <span>
#include <vector>

#include "analyzer/judge/floors.hpp"
#include "analyzer/judge/measure.hpp"

namespace orch {

/// Values of a matrix that a trace shows exactly, and how many significant bits they use.
struct Digits {
    int most = 0;
    std::size_t samples = 0;  ///< different values
    bool at_most(int bits) const { return samples >= 4 && most <= bits; }
};
Digits digits_of(const MatrixPair& matrix, bool of_b);

/// `passes` are a sample: the first few do.
Arithmetic arithmetic_of(const EngineTrace& engine, bool is_b, std::span<const PassData> passes);

}  // namespace orch
