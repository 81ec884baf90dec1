// Between the products of q, k and v and that of o, and between gate and up and down.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzer/judge/signature.hpp"

namespace orch {
namespace {

struct Rows {
    std::vector<const SuspectRow*> prefill;
    std::vector<const SuspectRow*> decode;
    const SuspectRow* first = nullptr;  ///< position 0
    bool any_prefill_off = false;
    bool any_decode_off = false;
};

Rows rows_of(const Suspect& suspect) {
    Rows rows;
    for (const SuspectRow& row : suspect.rows) {
        (row.prefill ? rows.prefill : rows.decode).push_back(&row);
        (row.prefill ? rows.any_prefill_off : rows.any_decode_off) |= row.off();
        if (row.row.position == 0) rows.first = &row;
    }
    const auto by_position = [](const SuspectRow* a, const SuspectRow* b) {
        return a->row.position < b->row.position;
    };
    std::sort(rows.prefill.begin(), rows.prefill.end(), by_position);
    std::sort(rows.decode.begin(), rows.decode.end(), by_position);
    return rows;
}

bool is_attention(const Suspect& suspect) {
    return suspect.step == Step::attention;
}

/// Energy, sum and largest value agree as well as rows at one place do.
bool keeps_values(const SuspectRow& row) {
    const RowDigest& a = row.row.a;
    const RowDigest& b = row.row.b;
    const double norm = std::sqrt(std::max(a.energy, 1e-300));
    const double worst = std::max({std::abs(b.energy - a.energy) / std::max(a.energy, 1e-300) / 2,
                                   std::abs(b.sum - a.sum) / norm,
                                   std::abs(b.absmax - a.absmax) / std::max(a.absmax, 1e-300)});
    return worst <= 1.5 * row.expected && worst <= 0.15 * row.error;
}

/// Rows whose result is exactly what position 0 sees.
std::vector<std::int64_t> rows_like_the_first(const Suspect& suspect, const Rows& rows) {
    std::vector<std::int64_t> result;
    if (rows.first == nullptr || !rows.first->row.a.sketch) return result;
    for (const SuspectRow* row : suspect.off_rows()) {
        if (row->row.position == 0 || !row->row.b.sketch) continue;
        const double found = row_error(rows.first->row.a, row->row.b, true);
        if (found <= std::max(1.5 * row->expected, 1e-5) && found <= 0.2 * row->error)
            result.push_back(row->row.position);
    }
    // The first row of a chunk, where the reference may show none.
    constexpr double same = 1e-5;
    for (const Suspect::InPass& pass : suspect.passes)
        for (const std::int64_t position : pass.chunks) {
            const auto found = pass.matrix.all_b.find(position);
            if (position > 0 && pass.prefill && found != pass.matrix.all_b.end() &&
                row_error(rows.first->row.b, found->second, true) < same)
                result.push_back(position);
        }
    return result;
}

/// Position 1 tells nothing where its value is that of position 0: any weights give the same.
bool tells_something(const Suspect& suspect, const SuspectRow& row) {
    const auto first = suspect.values.find({row.pass, 0});
    const auto own = suspect.values.find({row.pass, row.row.position});
    if (first == suspect.values.end() || own == suspect.values.end()) return row.row.position >= 2;
    return row_error(first->second, own->second, true) > 0.2;
}

/// At position 1 every head sees two values, with weights w and 1 - w. Scores of the other sign
/// exchange the two weights, so that the results of both engines add up to both values. The values
/// are repeated for the heads that share them, which the sum of a row can follow.
std::optional<Finding> find_reversed_scores(const Suspect& suspect, const Rows& rows) {
    if (rows.first == nullptr || rows.first->off()) return {};
    const auto second = std::find_if(rows.prefill.begin(), rows.prefill.end(),
                                     [](const auto* row) { return row->row.position == 1; });
    const auto value_0 = suspect.values.find({rows.first->pass, 0});
    const auto value_1 = suspect.values.find({rows.first->pass, 1});
    if (second == rows.prefill.end() || !(*second)->off() || value_0 == suspect.values.end() ||
        value_1 == suspect.values.end() || value_0->second.energy <= 0)
        return {};
    const RowDigest& a = (*second)->row.a;
    const RowDigest& b = (*second)->row.b;
    const double repeated = std::round(rows.first->row.a.energy / value_0->second.energy);
    const double both = rows.first->row.a.sum + repeated * value_1->second.sum;
    const double size = std::sqrt(rows.first->row.a.energy + repeated * value_1->second.energy);
    const double allowed = 4 * std::max(rows.first->error, 1e-4) * size;
    const double apart = std::abs(b.sum - a.sum);
    if (repeated < 1 || std::abs(a.sum + b.sum - both) > allowed || apart < 10 * allowed) return {};
    return finding("sign", 0.75,
                   fmt::format("at position 1, which sees two values, the sums of both engines' "
                               "results ({:.4g} and {:.4g}) add up to that of both values "
                               "({:.4g}): the two weights are exchanged, the scores have the "
                               "other sign",
                               a.sum, b.sum, both),
                   "scores with the reference's sign");
}

/// First position behind the first chunk of a prompt that was evaluated in several; 0: it was not.
std::int64_t second_chunk(const Suspect& suspect) {
    for (const Suspect::InPass& pass : suspect.passes)
        if (pass.prefill && pass.chunks.size() > 1) return pass.chunks[1];
    return 0;
}

/// What the first chunk computes is right, what later ones read of it is not.
std::optional<Finding> find_cache_of_chunks(const Suspect& suspect, const Rows& rows) {
    const std::int64_t second = second_chunk(suspect);
    std::size_t seen = 0;
    const SuspectRow* first_off = nullptr;
    for (const SuspectRow* row : rows.prefill) {
        seen +=
            row->row.position > 0 && row->row.position < second && tells_something(suspect, *row)
                ? 1
                : 0;
        if (row->off() && first_off == nullptr) first_off = row;
    }
    if (seen < 2 || first_off == nullptr || first_off->row.position < second) return {};
    return finding("stale", 0.86,
                   fmt::format("{} evaluates the prompt in chunks: {} rows of the first one are "
                               "right, position {}, which reads it back from the cache, is off by "
                               "{:.1e}",
                               suspect.team_b, seen, first_off->row.position, first_off->error),
                   "the same prompt in one pass, and still off");
}

std::optional<Finding> find_window(const Suspect& suspect, const Rows& rows) {
    const SuspectRow* before = nullptr;
    for (const SuspectRow* row : rows.prefill) {
        if (!row->off()) {
            before = row;
            continue;
        }
        // One early row may be right because its weights are all on one key.
        const auto seen = std::count_if(rows.prefill.begin(), rows.prefill.end(), [&](auto* r) {
            return r->row.position > 0 && r->row.position < row->row.position &&
                   tells_something(suspect, *r);
        });
        if (before == nullptr || seen < 2) return {};
        std::vector<double> later;
        for (const SuspectRow* other : rows.prefill)
            if (other->row.position >= row->row.position) later.push_back(other->error);
        const bool sudden = row->error > 25 * before->error && row->error > 0.2 * median(later);
        const bool all_after = std::all_of(rows.prefill.begin(), rows.prefill.end(), [&](auto* r) {
            return r->row.position < row->row.position || r->off();
        });
        if (!sudden || !all_after) return {};
        // What lost keys change is more than what keys at slightly wrong angles do.
        return finding(
            "mask", row->error > 0.05 ? 0.85 : 0.5,
            fmt::format("positions up to {} are right to {:.1e}, from position {} on "
                        "every row is off, at once by {:.1e}: rows lose sight of the "
                        "first ones",
                        before->row.position, before->error, row->row.position, row->error),
            "an early position that is off, or a late one that is right");
    }
    return {};
}

}  // namespace

std::optional<Finding> find_mask(const Suspect& suspect) {
    if (!is_attention(suspect)) return {};
    const Rows rows = rows_of(suspect);
    const auto like_first = rows_like_the_first(suspect, rows);
    const bool later_ones =
        std::any_of(like_first.begin(), like_first.end(), [](auto p) { return p > 1; });
    if (later_ones)
        return finding("mask", 0.9,
                       fmt::format("position {} has exactly what position 0 has: it sees the "
                                   "first key alone",
                                   like_first.back()),
                       "a later position that depends on another key");
    if (!like_first.empty())
        return finding("position_offset", 0.85,
                       "position 1 has exactly what position 0 has: its own key or value is not "
                       "where it is looked for",
                       "position 1 with a share of its own value");
    if (rows.prefill.size() > 1 && rows.any_prefill_off) {
        const SuspectRow* last = rows.prefill.back();
        const bool first_off = rows.first != nullptr && rows.first->off();
        if (first_off && !last->off() && !rows.any_decode_off)
            return finding("mask", 0.94,
                           fmt::format("position 0, which has one key to see, is off by {:.1e}; "
                                       "position {}, which may see all, is right to {:.1e}: "
                                       "earlier positions see later ones",
                                       rows.first->error, last->row.position, last->error),
                           "the last position off, or position 0 right");
    }
    return find_window(suspect, rows);
}

std::optional<Finding> find_gqa_map(const Suspect& suspect) {
    if (!is_attention(suspect)) return {};
    const Rows rows = rows_of(suspect);
    if (rows.first == nullptr || !rows.first->off() || !keeps_values(*rows.first)) return {};
    return finding("gqa_map", 0.9,
                   fmt::format("position 0, which sees its own value alone, has the reference's "
                               "values in another order (off by {:.1e}; energy, sum and largest "
                               "value agree): heads read other heads' values",
                               rows.first->error),
                   "position 0 with other values than the reference's");
}

std::optional<Finding> find_attention_scale(const Suspect& suspect) {
    if (!is_attention(suspect)) return {};
    const Rows rows = rows_of(suspect);
    if (rows.first != nullptr && rows.first->off()) return {};
    if (auto reversed = find_reversed_scores(suspect, rows)) return reversed;
    std::vector<double> shifts;
    for (const SuspectRow* row : suspect.off_rows())
        if (row->row.a.energy > 0 && row->row.b.energy > 0)
            shifts.push_back(std::log(row->row.b.energy / row->row.a.energy));
    if (shifts.size() < 4) return {};
    double mean = 0;
    for (const double shift : shifts)
        mean += shift / static_cast<double>(shifts.size());
    double variance = 0;
    std::size_t one_side = 0;
    for (const double shift : shifts) {
        variance += (shift - mean) * (shift - mean) / static_cast<double>(shifts.size() - 1);
        one_side += shift * mean > 0 ? 1 : 0;
    }
    // A wrong rotation grows with position; wrong sharpness is there from the second position on.
    std::vector<double> early;
    std::vector<double> late;
    std::vector<double> errors;
    for (const SuspectRow* row : rows.prefill) {
        if (row->row.position == 0 || !tells_something(suspect, *row)) continue;
        (early.size() < 2 ? early : late).push_back(row->error);
        errors.push_back(row->error);
    }
    const bool grows = !early.empty() && !late.empty() && median(late) > 4 * median(early);
    const bool small_shift = std::abs(mean) < 0.8 * median(errors);
    const auto count = static_cast<double>(shifts.size());
    const double t = std::abs(mean) / std::sqrt(std::max(variance, 1e-300) / count);
    const double share = static_cast<double>(one_side) / count;
    if (t < 2.5 || share < 0.8) return {};
    return finding(
        "attention_scale",
        grows && small_shift ? 0.5
        : share > 0.99       ? 0.85
                             : 0.7,
        fmt::format("position 0 is right, and {:.0f} % of {} later rows have {} energy "
                    "than the reference's (by {:.0f} % in the middle): the weights of "
                    "attention are too {}",
                    100 * share, shifts.size(), mean > 0 ? "more" : "less",
                    100 * std::abs(std::expm1(median(shifts))), mean > 0 ? "sharp" : "flat"),
        "rows whose energy moves to either side");
}

std::optional<Finding> find_cache(const Suspect& suspect) {
    if (!is_attention(suspect)) return {};
    const Rows rows = rows_of(suspect);
    if (auto chunks = find_cache_of_chunks(suspect, rows)) return chunks;
    if (rows.prefill.empty() || rows.any_prefill_off || !rows.any_decode_off) return {};
    double worst = 0;
    for (const SuspectRow* row : rows.decode)
        worst = std::max(worst, row->error);
    return finding("stale", 0.75,
                   fmt::format("all {} rows of the prompt are right, generated positions are off "
                               "by up to {:.1e}: what attention reads back from its cache, or the "
                               "position of the new row, is wrong",
                               rows.prefill.size(), worst),
                   "the same tokens in one pass, without a cache, and still off");
}

std::optional<Finding> find_rope(const Suspect& suspect) {
    if (!is_attention(suspect)) return {};
    const Rows rows = rows_of(suspect);
    if (!rows.any_prefill_off && !rows.any_decode_off) return {};
    if (rows.first != nullptr && rows.first->off()) return {};
    std::vector<double> early;
    std::vector<double> late;
    for (const SuspectRow* row : rows.prefill) {
        if (row->row.position == 0) continue;
        (row->row.position <= 2 ? early : late).push_back(row->error);
    }
    const bool grows = !early.empty() && !late.empty() && median(late) > 1.3 * median(early);
    const double first = rows.first == nullptr ? 0 : rows.first->error;
    return finding(
        "rope",
        rows.first == nullptr ? 0.4
        : grows               ? 0.68
                              : 0.58,
        fmt::format("position 0, where nothing is rotated, is right to {:.1e}; later "
                    "positions are off by {:.1e}{}, with no more and no less energy",
                    first, suspect.error, grows ? ", more the further they are from it" : ""),
        "q and k logged behind the rotation in both engines");
}

std::optional<Finding> find_activation(const Suspect& suspect) {
    if (suspect.step != Step::activation) return {};
    return finding("activation", 0.7,
                   fmt::format("the results of gate and up agree, what enters down is off by "
                               "{:.1e} in {} of {} rows",
                               suspect.error, suspect.off_rows().size(), suspect.rows.size()),
                   "the activation's result computed by hand from gate and up");
}

}  // namespace orch
