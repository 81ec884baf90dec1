// The index's two ways of reading a line, and what must be the same of both.
#pragma once
#include "analyzer/read/line.hpp"
#include "tests/fuzz/target.hpp"

namespace orch::fuzz {

/// All but the place and the texts.
inline void require_same_facts(const Entry& a, const Entry& b) {
    require(a.kind == b.kind, "same kind");
    require(a.call == b.call, "same call");
    require(a.pass == b.pass, "same pass");
    require(a.token_idx == b.token_idx, "same token_idx");
    require(a.first_position == b.first_position, "same first_position");
    require(a.token_positions == b.token_positions, "same positions");
    require(a.values == b.values, "same place of the values");
    require(a.rows == b.rows && a.x_cols == b.x_cols && a.y_cols == b.y_cols, "same extents");
    require(a.x_key == b.x_key && a.y_key == b.y_key, "same keys of the digests");
    require(a.nonfinite == b.nonfinite, "same word on nonfinite values");
}

}  // namespace orch::fuzz
