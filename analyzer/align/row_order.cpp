#include "analyzer/align/row_order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

namespace orch {
namespace {

using Rows = std::map<std::int64_t, RowDigest>;

/// A head's rows in the order of Hugging Face (first halves of all pairs, then second halves) and
/// of GGUF (pairs side by side).
enum class Turn { none, a_interleaved, b_interleaved };

/// How the rows of one weight become those of others.
struct Layout {
    std::vector<std::size_t> order;  ///< of the parts in the fused weight
    std::int64_t groups = 1;         ///< each has its share of every part, in that order
    Turn turn = Turn::none;
    std::int64_t head = 0;
};

struct Score {
    int same = 0;
    int other = 0;
    int moved = 0;  ///< of the same: those whose number changes
    /// A row in the wrong place weighs more than one that happens to be shown by both.
    int value() const { return same - 2 * other; }
};

/// The row of a half-split head that is row `row` where pairs stand side by side.
std::int64_t half_split_of(std::int64_t row, std::int64_t head) {
    const std::int64_t in_head = row % head;
    return row - in_head + in_head / 2 + (in_head % 2) * (head / 2);
}

std::int64_t interleaved_of(std::int64_t row, std::int64_t head) {
    const std::int64_t in_head = row % head;
    const std::int64_t half = head / 2;
    return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

class RowFinder {
  public:
    RowFinder(const EngineTrace& a, const EngineTrace& b, WeightMatch& match) : match_(match) {
        // The fused side, or b if none is.
        const bool a_is_whole = match.a.size() == 1 && match.b.size() > 1;
        const EngineTrace& whole_engine = a_is_whole ? a : b;
        const EngineTrace& part_engine = a_is_whole ? b : a;
        const std::vector<int>& wholes = a_is_whole ? match.a : match.b;
        a_is_whole_ = a_is_whole;
        if (wholes.size() != 1) return;
        whole_ = rows_of(whole_engine, wholes[0]);
        for (const int part : a_is_whole ? match.b : match.a) {
            const Weight& weight = part_engine.weights[static_cast<std::size_t>(part)];
            parts_.push_back(rows_of(part_engine, part));
            extents_.push_back(weight.record.rows);
            names_.push_back(weight.name.empty() ? weight.record.id : weight.name);
        }
        total_ = std::accumulate(extents_.begin(), extents_.end(), std::int64_t{0});
        tolerance_ = std::clamp(std::max(5 * match.expected, 3 * match.distance), 1e-5, 0.5);
    }

    void find() {
        if (whole_.size() < 2 || parts_.empty()) return;
        Layout straight;
        straight.order.resize(parts_.size());
        std::iota(straight.order.begin(), straight.order.end(), 0);
        Layout best = straight;
        Score best_score = score(best);
        std::vector<std::int64_t> heads;  // that explain the rows equally well
        const auto consider = [&](const Layout& layout) {
            const Score found = score(layout);
            if (layout.turn != Turn::none && found.moved < 2) return;
            if (found.value() > best_score.value()) {
                best = layout;
                best_score = found;
                heads.clear();
            }
            if (found.value() == best_score.value() && layout.turn == best.turn &&
                layout.order == best.order && layout.groups == best.groups) {
                heads.push_back(layout.head);
            }
        };
        for (const Layout& layout : concatenations(straight)) {
            consider(layout);
            if (best_score.other == 0) break;
            for (const Turn turn : {Turn::a_interleaved, Turn::b_interleaved}) {
                for (const std::int64_t head : head_sizes()) {
                    Layout turned = layout;
                    turned.turn = turn;
                    turned.head = head;
                    consider(turned);
                }
            }
        }
        tell(best, best_score, heads);
    }

  private:
    static Rows rows_of(const EngineTrace& engine, int weight) {
        const auto& digests = engine.weights[static_cast<std::size_t>(weight)].record.row_digests;
        return {digests.begin(), digests.end()};
    }

    std::vector<Layout> concatenations(const Layout& straight) const {
        std::vector<Layout> result;
        if (parts_.size() == 1) return {straight};
        const std::int64_t least = *std::min_element(extents_.begin(), extents_.end());
        Layout layout = straight;
        do {
            for (std::int64_t groups = 1; groups <= std::min<std::int64_t>(least, 256); ++groups) {
                const bool divides = std::all_of(extents_.begin(), extents_.end(),
                                                 [&](auto extent) { return extent % groups == 0; });
                if (!divides) continue;
                layout.groups = groups;
                result.push_back(layout);
            }
        } while (std::next_permutation(layout.order.begin(), layout.order.end()));
        return result;
    }

    std::vector<std::int64_t> head_sizes() const {
        std::vector<std::int64_t> sizes;
        for (const std::int64_t head : {8, 16, 32, 48, 64, 72, 80, 96, 112, 128, 160, 192, 256}) {
            if (extents_[0] % head == 0) sizes.push_back(head);
        }
        return sizes;
    }

    /// Part and row of it that stand at a row of the whole.
    std::pair<std::size_t, std::int64_t> place_of(std::int64_t row, const Layout& layout) const {
        const std::int64_t group = row / (total_ / layout.groups);
        std::int64_t in_group = row % (total_ / layout.groups);
        for (const std::size_t part : layout.order) {
            const std::int64_t share = extents_[part] / layout.groups;
            if (in_group < share) return {part, group * share + in_group};
            in_group -= share;
        }
        return {0, -1};
    }

    std::int64_t turned(std::int64_t row, const Layout& layout) const {
        if (layout.turn == Turn::none) return row;
        const bool whole_is_interleaved = (layout.turn == Turn::a_interleaved) == a_is_whole_;
        return whole_is_interleaved ? half_split_of(row, layout.head)
                                    : interleaved_of(row, layout.head);
    }

    /// Only Q and K are ever turned: of a fused weight, all parts but the last.
    Score score(const Layout& layout) const {
        Score result;
        for (const auto& [row, digest] : whole_) {
            auto [part, in_part] = place_of(row, layout);
            const bool turns = parts_.size() == 1 || part != layout.order.back();
            const std::int64_t target = turns ? turned(in_part, layout) : in_part;
            const auto other = parts_[part].find(target);
            if (other == parts_[part].end()) continue;
            if (!is_same(digest, other->second)) {
                ++result.other;
            } else {
                ++result.same;
                if (target != in_part) ++result.moved;
            }
        }
        return result;
    }

    bool is_same(const RowDigest& x, const RowDigest& y) const {
        if (!x.sketch || !y.sketch) return false;
        double square = 0;
        for (std::size_t j = 0; j < x.sketch->size(); ++j) {
            const double difference = (*x.sketch)[j] - (*y.sketch)[j];
            square += difference * difference;
        }
        return std::sqrt(square) <= tolerance_ * std::sqrt(std::max(x.energy, y.energy));
    }

    void tell(const Layout& best, const Score& score, const std::vector<std::int64_t>& heads) {
        std::vector<std::string> texts;
        if (score.same == 0 || (score.other > 0 && score.same < 2 * score.other)) {
            const bool same_numbers = match_.content != Content::changed;
            match_.rows = same_numbers ? RowOrder::permuted : RowOrder::unknown;
            match_.rows_text = same_numbers ? "the same rows in another order" : "";
            return;
        }
        match_.rows = best.turn == Turn::none ? RowOrder::same : RowOrder::permuted;
        if (parts_.size() > 1) texts.push_back(parts_text(best));
        if (best.turn != Turn::none) {
            texts.push_back(fmt::format(
                "{}, heads of {}{}",
                best.turn == Turn::a_interleaved ? "interleaved against half-split"
                                                 : "half-split against interleaved",
                heads.empty() ? best.head : heads.front(), heads.size() > 1 ? " or more" : ""));
        }
        if (score.other > 0) texts.push_back(differing_text(best));
        match_.rows_text = fmt::format("{}", fmt::join(texts, "; "));
    }

    std::string parts_text(const Layout& layout) const {
        std::string text;
        for (const std::size_t part : layout.order)
            text += (text.empty() ? "" : ", ") + names_[part];
        return layout.groups == 1 ? text + " one below the other"
                                  : fmt::format("{} in {} groups", text, layout.groups);
    }

    std::string differing_text(const Layout& layout) const {
        std::string text;
        for (const auto& [row, digest] : whole_) {
            const auto [part, in_part] = place_of(row, layout);
            const auto other = parts_[part].find(turned(in_part, layout));
            if (other == parts_[part].end() || is_same(digest, other->second)) continue;
            text += fmt::format("{}{}", text.empty() ? "" : ", ", row);
        }
        return "rows that differ: " + text;
    }

    WeightMatch& match_;
    bool a_is_whole_ = false;
    Rows whole_;
    std::vector<Rows> parts_;
    std::vector<std::int64_t> extents_;
    std::vector<std::string> names_;
    std::int64_t total_ = 0;
    double tolerance_ = 0;
};

}  // namespace

void find_row_order(const EngineTrace& a, const EngineTrace& b, WeightMatch& match) {
    RowFinder{a, b, match}.find();
}

}  // namespace orch
