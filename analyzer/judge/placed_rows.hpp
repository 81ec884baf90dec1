// One matrix of one engine, with the position of each row that its records show.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "analyzer/judge/measure.hpp"

namespace orch {

struct PlacedRows {
    Side side;
    std::int64_t first = -1;     ///< position of row 0; -1: not known
    bool contiguous = false;     ///< rows are neighbours
    std::int64_t sign_of_0 = 0;  ///< what the sign of row 0 in the mixed sketch is keyed by
    std::map<std::int64_t, RowDigest> rows;
    std::map<std::int64_t, std::vector<double>> values;
};

/// x and y of a call, or y of a tensor, without their `row` lines.
PlacedRows placed(const Side& side, const Entry& entry, const PositionRange& range);
/// The row number or position that a record tells, as a position.
std::int64_t position_of(const PlacedRows& rows, const Entry& call, std::int64_t told);

/// Chunks of one matrix.
PlacedRows one_below_other(const std::vector<PlacedRows>& chunks);
/// Results of a fused weight's parts.
PlacedRows side_by_side(const std::vector<PlacedRows>& parts);

MatrixPair pair_rows(const PlacedRows& a, const PlacedRows& b, bool same_features);

/// Which part stands first in a fused result, its values tell: those of another part, or of another
/// order of the features, agree by chance alone. Empty: none does.
std::vector<MatrixPair::Values> values_of_first_part(std::span<const PlacedRows> parts,
                                                     const PlacedRows& fused);

}  // namespace orch
