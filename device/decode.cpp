#include "device/decode.hpp"

#include <algorithm>
#include <cstddef>

namespace orch::device {
namespace {

/// What came through the ring is not believed to be within bounds.
std::size_t selected_in(const SideResult& result) noexcept {
    return static_cast<std::size_t>(std::clamp(result.selected, 0, max_rows));
}

}  // namespace

void to_digest(const SideResult& result, const Operand& operand, bool extremes,
               Digest& digest) noexcept {
    digest = Digest{};
    if (result.selected <= 0) return;
    digest.rows = operand.rows;
    digest.cols = operand.cols;
    digest.energy = result.energy;
    digest.sum = result.sum;
    digest.absmax = result.absmax;
    digest.nonfinite = {result.nan, result.pos_inf, result.neg_inf};
    digest.has_extremes = extremes;
    if (extremes) {
        digest.min = result.min;
        digest.max = result.max;
        digest.argmax = result.argmax;
        digest.hash = result.hash;
    }
    std::copy_n(result.mixed, sketch_size, digest.mixed.begin());
    digest.selected = static_cast<int>(selected_in(result));
    for (std::size_t i = 0; i < selected_in(result); ++i) {
        const RowResult& from = result.row[i];
        RowDigest& row = digest.row[i];
        row.row = from.row;
        row.position = from.position;
        row.energy = from.energy;
        row.sum = from.sum;
        row.absmax = from.absmax;
        row.nonfinite = {from.nan, from.pos_inf, from.neg_inf};
        if (extremes) {
            row.max = from.max;
            row.argmax = from.argmax;
        }
        std::copy_n(from.sketch, sketch_size, row.sketch.begin());
    }
}

void to_projection(const SideResult& result, Projection& projection) noexcept {
    const auto copy = [](const float* from, Projection::Row& to) {
        std::copy_n(from, sketch_size, to.begin());
    };
    copy(result.projection, projection.mixed);
    for (std::size_t i = 0; i < selected_in(result); ++i)
        copy(result.row[i].projection, projection.row[i]);
}

}  // namespace orch::device
