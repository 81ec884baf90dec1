// Right numbers in the wrong place: rows, columns, passes.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "analyzer/judge/signature.hpp"

namespace orch {
namespace {

double relative(double a, double b, double size) {
    return std::abs(b - a) / std::max(size, 1e-300);
}

/// Largest difference in what no order of the features changes.
double invariant_error(const RowDigest& a, const RowDigest& b) {
    const double norm = std::sqrt(a.energy);
    return std::max({relative(a.energy, b.energy, a.energy) / 2, relative(a.sum, b.sum, norm),
                     relative(a.absmax, b.absmax, a.absmax)});
}

double distance(const RowDigest& a, const RowDigest& b, bool same_features) {
    if (same_features && a.sketch && b.sketch) return row_error(a, b, true);
    return invariant_error(a, b);
}

/// Two rows are one and the same if they are as near as rows at one place are, and much nearer
/// than those that were compared.
bool is_same(double found, double expected, double error) {
    return found <= std::max(1.5 * expected, 1e-6) && found <= 0.2 * error;
}

struct Moved {
    std::size_t matched = 0;
    std::size_t refuted = 0;
    std::vector<std::string> pairs;
};

/// First and last position of the part of the pass that the other engine evaluated together.
struct Chunk {
    std::int64_t first = 0;
    std::int64_t last = 0;
};

Chunk chunk_of(const Suspect::InPass& pass, std::int64_t position) {
    Chunk chunk{pass.matrix.all_b.begin()->first, pass.matrix.all_b.rbegin()->first};
    for (const std::int64_t first : pass.chunks) {
        if (first <= position) chunk.first = first;
        if (first > position) {
            chunk.last = first - 1;
            break;
        }
    }
    return chunk;
}

/// How well "row p of b is row to(p) of a" fits, over the rows that both show.
template <class To>
Moved fits(const Suspect& suspect, const Suspect::InPass& pass, const To& to) {
    Moved moved;
    for (const auto& [position, b] : pass.matrix.all_b) {
        const std::int64_t source = to(position, chunk_of(pass, position));
        const auto a = pass.matrix.all_a.find(source);
        if (source == position || a == pass.matrix.all_a.end()) continue;
        const double found = distance(a->second, b, suspect.same_features);
        const auto own = pass.matrix.all_a.find(position);
        const double error =
            own == pass.matrix.all_a.end() ? 1 : distance(own->second, b, suspect.same_features);
        if (is_same(found, suspect.noise(), error)) {
            ++moved.matched;
            if (moved.pairs.size() < 3)
                moved.pairs.push_back(fmt::format("{} holds {}", position, source));
        } else {
            ++moved.refuted;
        }
    }
    return moved;
}

}  // namespace

std::optional<Finding> find_row_permutation(const Suspect& suspect) {
    for (const Suspect::InPass& pass : suspect.passes) {
        if (pass.matrix.all_b.size() < 2 || !pass.prefill) continue;
        struct Kind {
            const char* name;
            Moved moved;
        };
        std::vector<Kind> kinds;
        for (const std::int64_t offset : {-1, 1, -2, 2})
            kinds.push_back({std::abs(offset) == 1 ? "position_offset" : "row_permutation",
                             fits(suspect, pass, [&](std::int64_t p, const Chunk& chunk) {
                                 const bool inside =
                                     p + offset >= chunk.first && p + offset <= chunk.last;
                                 return inside || pass.chunks.size() < 2 ? p + offset : p;
                             })});
        kinds.push_back(
            {"row_permutation", fits(suspect, pass, [](std::int64_t p, const Chunk& chunk) {
                 return chunk.first + chunk.last - p;
             })});
        for (const Kind& kind : kinds) {
            const Moved& moved = kind.moved;
            if (moved.matched == 0 || moved.refuted > 0) continue;
            return finding(
                kind.name, moved.matched > 1 ? 0.94 : 0.85,
                fmt::format("row {} of the reference: all {} rows whose source is in the trace",
                            fmt::join(moved.pairs, ", "), moved.matched),
                "a row that holds its own position's values");
        }
        // Any other order: most rows that are off are some other row.
        std::size_t matched = 0;
        std::size_t off = 0;
        for (const SuspectRow* row : suspect.off_rows()) {
            if (row->pass != pass.pass) continue;
            ++off;
            for (const auto& [position, a] : pass.matrix.all_a)
                if (position != row->row.position &&
                    is_same(distance(a, row->row.b, suspect.same_features), suspect.noise(),
                            row->error)) {
                    ++matched;
                    break;
                }
        }
        if (matched >= 2 && matched * 2 >= off)
            return finding("row_permutation", 0.85,
                           fmt::format("{} of {} rows that differ are other rows of the reference",
                                       matched, off),
                           "a row that holds its own position's values");
    }
    return {};
}

/// Where the reference shows too few rows: neighbours of the other engine that are one and the same
/// although their inputs are not.
std::optional<Finding> find_repeated_row(const Suspect& suspect) {
    for (std::size_t i = 0; i < suspect.passes.size() && i < suspect.inputs.size(); ++i) {
        const MatrixPair& m = suspect.passes[i].matrix;
        if (suspect.step != Step::product || m.all_a.size() > 1) continue;
        const auto& inputs = suspect.inputs[i].all_b;
        for (const auto& [position, row] : m.all_b) {
            const auto next = m.all_b.find(position + 1);
            const auto input = inputs.find(position);
            const auto next_input = inputs.find(position + 1);
            if (next == m.all_b.end() || input == inputs.end() || next_input == inputs.end())
                continue;
            if (row_error(row, next->second, true) > 1e-6 ||
                row_error(input->second, next_input->second, true) < 0.1)
                continue;
            return finding("position_offset", 0.85,
                           fmt::format("{} has one result for positions {} and {}, whose inputs "
                                       "differ",
                                       suspect.team_b, position, position + 1),
                           "two results that differ there");
        }
    }
    return {};
}

std::optional<Finding> find_stale(const Suspect& suspect) {
    std::size_t stale = 0;
    std::size_t off = 0;
    std::string because;
    const Suspect::InPass* before = nullptr;
    for (const Suspect::InPass& pass : suspect.passes) {
        if (before != nullptr && before->pass + 1 == pass.pass && !pass.matrix.all_b.empty() &&
            !before->matrix.all_b.empty()) {
            const auto& [position, now] = *pass.matrix.all_b.rbegin();
            const auto& [old_position, old] = *before->matrix.all_b.rbegin();
            const auto own = pass.matrix.all_a.find(position);
            const double error = own == pass.matrix.all_a.end()
                                     ? 0
                                     : row_error(own->second, now, suspect.same_features);
            if (error > floors::suspicious * pass.expected) {
                ++off;
                // What it kept may be its own last result, or what that should have been.
                const auto right = before->matrix.all_a.find(old_position);
                double found = row_error(old, now, true);
                if (found > 0.02 * error && right != before->matrix.all_a.end())
                    found = row_error(right->second, now, suspect.same_features);
                const double limit = std::max(0.02 * error, 1.5 * suspect.noise());
                if (found <= std::min(limit, 0.2 * error)) {
                    ++stale;
                    if (because.empty())
                        because = fmt::format(
                            "at position {} {} has what it had at position {} one pass earlier "
                            "(to {:.1e}); the reference has moved on by {:.1e}",
                            position, suspect.team_b, old_position, found, error);
                }
            }
        }
        before = &pass;
    }
    if (stale == 0 || stale * 2 < off) return {};
    Finding result =
        finding("stale", 0.96, because, "a pass in which the values differ from the pass before");
    result.team = suspect.team_b;
    result.team_because = "it repeats an earlier pass";
    return result;
}

std::optional<Finding> find_column_permutation(const Suspect& suspect) {
    if (!suspect.same_features) return {};
    const auto off = suspect.off_rows();
    if (off.empty()) return {};
    double worst = 0;
    for (const SuspectRow* row : off) {
        const double found = invariant_error(row->row.a, row->row.b);
        worst = std::max(worst, found);
        if (found > 1.5 * row->expected || found > 0.15 * row->error) return {};
    }
    return finding("column_permutation", off.size() > 1 ? 0.93 : 0.75,
                   fmt::format("in all {} rows that differ energy, sum and largest value agree to "
                               "{:.1e}: the same values in another order of the features",
                               off.size(), worst),
                   "a row with another energy, sum or largest value");
}

std::optional<Finding> find_transposition(const Suspect& suspect) {
    for (const Suspect::InPass& pass : suspect.passes) {
        const MatrixPair& m = pass.matrix;
        if (!pass.prefill || !m.same_rows || m.a.rows < 2) continue;
        const double norm = std::sqrt(m.a.energy);
        const double whole = std::max({relative(m.a.energy, m.b.energy, m.a.energy) / 2,
                                       relative(m.a.sum, m.b.sum, norm),
                                       relative(m.a.absmax, m.b.absmax, m.a.absmax)});
        const double expected = 2 * suspect.noise();
        double rows = 0;
        for (const RowPair& row : m.rows)
            rows = std::max(rows, relative(row.a.energy, row.b.energy, row.a.energy));
        if (whole > 1.5 * expected || rows < 0.05 || rows < 20 * whole) continue;
        return finding(
            "transposition", 0.88,
            fmt::format("energy, sum and largest value of the whole matrix agree to {:.1e}, those "
                        "of its rows differ by up to {:.1e}: the same values in other rows",
                        whole, rows),
            "a value that the reference does not have");
    }
    return {};
}

}  // namespace orch
