#include "analyzer/judge/placed_rows.hpp"

#include <algorithm>
#include <utility>

#include "core/hash.hpp"

namespace orch {
namespace {

void add(Nonfinite& to, const Nonfinite& from) {
    to.nan += from.nan;
    to.pos_inf += from.pos_inf;
    to.neg_inf += from.neg_inf;
}

/// Sums add up, extremes are combined; what depends on the features' order is lost.
void join_digest(RowDigest& to, const RowDigest& from) {
    to.energy += from.energy;
    to.sum += from.sum;
    to.absmax = std::max(to.absmax, from.absmax);
    if (from.max) to.max = to.max ? std::max(*to.max, *from.max) : *from.max;
    to.argmax.reset();
    to.sketch.reset();
    add(to.nonfinite, from.nonfinite);
}

void join_side(Side& to, const Side& from) {
    to.energy += from.energy;
    to.sum += from.sum;
    to.absmax = std::max(to.absmax, from.absmax);
    if (from.max) to.max = to.max ? std::max(*to.max, *from.max) : *from.max;
    if (from.min) to.min = to.min ? std::min(*to.min, *from.min) : *from.min;
    to.argmax.reset();
    to.hash.reset();
    add(to.nonfinite, from.nonfinite);
}

bool covers_the_same(const PlacedRows& a, const PlacedRows& b) {
    return a.first >= 0 && a.first == b.first && a.side.rows == b.side.rows && a.contiguous &&
           b.contiguous;
}

/// The factor that gives b's mixed sketch the signs of a's; 0: the rows' signs differ.
double sign_factor(const PlacedRows& a, const PlacedRows& b) {
    if (a.sign_of_0 == b.sign_of_0) return 1;
    if (a.side.rows != 1) return 0;
    return position_sign(a.sign_of_0) * position_sign(b.sign_of_0);
}

}  // namespace

PlacedRows placed(const Side& side, const Entry& entry, const PositionRange& range) {
    PlacedRows result;
    result.side = side;
    const std::int64_t rows = side.rows;
    std::int64_t last = -1;
    if (entry.token_positions) {
        result.first = entry.first_position;
        result.sign_of_0 = entry.first_position;
        last = entry.token_idx;
        result.contiguous = last - result.first + 1 == rows;
    } else if (rows == range.tokens) {
        result.first = range.first;
        last = range.first + rows - 1;
        result.contiguous = true;
    } else if (rows == 1) {  // what comes behind the last layer is computed for the last token
        last = result.first = range.first + range.tokens - 1;
        result.contiguous = true;
    }
    if (last >= 0) result.rows.emplace(last, as_row(side, result.sign_of_0));
    return result;
}

std::int64_t position_of(const PlacedRows& rows, const Entry& call, std::int64_t told) {
    if (call.token_positions) return told;
    return rows.first < 0 ? -1 : rows.first + told;
}

PlacedRows one_below_other(const std::vector<PlacedRows>& chunks) {
    PlacedRows result = chunks.front();
    bool adds_up = result.sign_of_0 == result.first;
    for (std::size_t i = 1; i < chunks.size(); ++i) {
        const PlacedRows& chunk = chunks[i];
        const bool follows = result.first + result.side.rows == chunk.first;
        result.contiguous = result.contiguous && chunk.contiguous && follows;
        adds_up = adds_up && chunk.sign_of_0 == chunk.first;
        join_side(result.side, chunk.side);
        result.side.rows += chunk.side.rows;
        if (adds_up && result.side.mixed && chunk.side.mixed)
            result.side.mixed = added(*result.side.mixed, *chunk.side.mixed);
        else
            result.side.mixed.reset();
        result.side.last_row = chunk.side.last_row;
        result.rows.insert(chunk.rows.begin(), chunk.rows.end());
        result.values.insert(chunk.values.begin(), chunk.values.end());
    }
    return result;
}

PlacedRows side_by_side(const std::vector<PlacedRows>& parts) {
    PlacedRows result = parts.front();
    result.values.clear();
    for (std::size_t i = 1; i < parts.size(); ++i) {
        join_side(result.side, parts[i].side);
        result.side.cols += parts[i].side.cols;
        for (auto row = result.rows.begin(); row != result.rows.end();) {
            const auto other = parts[i].rows.find(row->first);
            if (other == parts[i].rows.end()) {
                row = result.rows.erase(row);
            } else {
                join_digest(row->second, other->second);
                ++row;
            }
        }
        if (!covers_the_same(result, parts[i])) result.contiguous = false;
    }
    if (parts.size() > 1) {
        result.side.mixed.reset();
        result.side.last_row.reset();
    }
    return result;
}

MatrixPair pair_rows(const PlacedRows& a, const PlacedRows& b, bool same_features) {
    MatrixPair pair;
    pair.present = true;
    pair.same_features = same_features && a.side.cols == b.side.cols;
    pair.same_rows = covers_the_same(a, b);
    pair.a = a.side;
    pair.b = b.side;
    pair.all_a = a.rows;
    pair.all_b = b.rows;
    const double factor = pair.same_rows && pair.same_features ? sign_factor(a, b) : 0;
    if (factor == 0 || !pair.a.mixed || !pair.b.mixed) {
        pair.a.mixed.reset();
        pair.b.mixed.reset();
    } else {
        pair.b.mixed = scaled(*pair.b.mixed, factor);
    }
    for (const auto& [position, row] : a.rows) {
        const auto other = b.rows.find(position);
        if (other != b.rows.end()) pair.rows.push_back({position, row, other->second});
    }
    for (const auto& [position, values] : a.values)
        pair.values_a.insert(pair.values_a.end(), values.begin(), values.end());
    for (const auto& [position, values] : b.values)
        pair.values_b.insert(pair.values_b.end(), values.begin(), values.end());
    if (pair.same_features)
        for (const auto& [position, values] : a.values) {
            const auto other = b.values.find(position);
            if (other != b.values.end()) pair.values.push_back({position, values, other->second});
        }
    return pair;
}

std::vector<MatrixPair::Values> values_of_first_part(std::span<const PlacedRows> parts,
                                                     const PlacedRows& fused) {
    constexpr double alike = 0.02;
    for (const PlacedRows& part : parts) {
        std::vector<MatrixPair::Values> values;
        std::size_t count = 0;
        std::size_t same = 0;
        for (const auto& [position, own] : part.values) {
            const auto other = fused.values.find(position);
            if (other == fused.values.end()) continue;
            values.push_back({position, own, other->second});
            for (std::size_t i = 0; i < std::min(own.size(), other->second.size()); ++i) {
                ++count;
                same += std::abs(other->second[i] - own[i]) <= alike * std::abs(own[i]) ? 1 : 0;
            }
        }
        if (count > 0 && 2 * same > count) return values;
    }
    return {};
}

}  // namespace orch
