#include "analyzer/align/tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// "layer_12_q" -> 12
int layer_of(std::string_view checkpoint) {
    constexpr std::string_view head = "layer_";
    if (!checkpoint.starts_with(head)) return -1;
    checkpoint.remove_prefix(head.size());
    int layer = -1;
    const char* end = checkpoint.data() + checkpoint.size();
    const auto [stop, error] = std::from_chars(checkpoint.data(), end, layer);
    return error == std::errc{} && stop != end && *stop == '_' ? layer : -1;
}

/// "[1,1,5]" and "[5]" are one row of five.
std::string_view without_ones(std::string_view shape) {
    while (shape.starts_with("[1,"))
        shape.remove_prefix(2);
    if (!shape.empty() && (shape[0] == '[' || shape[0] == ',')) shape.remove_prefix(1);
    return shape;
}

bool same_shape(std::string_view a, std::string_view b) {
    return a == b || without_ones(a) == without_ones(b);
}

struct SideOf {
    const EngineTrace& engine;
    Fates& fates;
    const Entry& entry(std::size_t index) const { return engine.trace->entries()[index]; }
    std::string_view checkpoint(std::size_t index) const {
        return engine.trace->string(entry(index).checkpoint);
    }
    std::string_view shape(std::size_t index) const {
        return engine.trace->string(entry(index).shape);
    }
};

std::vector<std::size_t> all_tensors(const EngineTrace& engine) {
    std::vector<std::size_t> result;
    for (const Pass& pass : engine.passes) {
        if (pass.dropped.empty())
            result.insert(result.end(), pass.tensors.begin(), pass.tensors.end());
    }
    result.insert(result.end(), engine.tensors.begin(), engine.tensors.end());
    return result;
}

/// Lines of one checkpoint, by token: what was logged first comes first.
using Lines = std::map<std::int64_t, std::vector<std::size_t>>;

class LogPairer {
  public:
    LogPairer(Alignment& alignment, Fates& fates_a, Fates& fates_b)
        : alignment_(alignment), a_{*alignment.a, fates_a}, b_{*alignment.b, fates_b} {}

    void pair() {
        if (a_.engine.logs.empty() && b_.engine.logs.empty()) return;
        std::map<std::string, Lines, std::less<>> lines_a = lines_of(a_, a_.engine.logs);
        std::map<std::string, Lines, std::less<>> lines_b = lines_of(b_, b_.engine.logs);
        // What one engine logs by itself, orchtrace may have named in the other.
        add_tensors(a_, lines_a, lines_b);
        add_tensors(b_, lines_b, lines_a);
        find_offset(lines_a, lines_b);
        std::set<std::string> of_one_side;
        for (const auto& [checkpoint, lines] : lines_a) {
            const auto other = lines_b.find(checkpoint);
            if (other != lines_b.end())
                pair_checkpoint(lines, other->second);
            else
                drop_all(a_, lines);
        }
        for (const auto& [checkpoint, lines] : lines_b) {
            if (!lines_a.contains(checkpoint)) drop_all(b_, lines);
        }
        std::sort(pairs_.begin(), pairs_.end(),
                  [](const TensorPair& x, const TensorPair& y) { return x.a < y.a; });
        for (TensorPair& pair : pairs_)
            add_site(std::move(pair));
    }

  private:
    static std::map<std::string, Lines, std::less<>> lines_of(
        const SideOf& side, const std::vector<std::size_t>& entries) {
        std::map<std::string, Lines, std::less<>> result;
        for (const std::size_t entry : entries)
            result[std::string{side.checkpoint(entry)}][side.entry(entry).token_idx].push_back(
                entry);
        return result;
    }

    static void add_tensors(const SideOf& side, std::map<std::string, Lines, std::less<>>& own,
                            const std::map<std::string, Lines, std::less<>>& other) {
        std::map<std::string, Lines, std::less<>> tensors =
            lines_of(side, all_tensors(side.engine));
        for (auto& [checkpoint, lines] : tensors) {
            if (other.contains(checkpoint) && !own.contains(checkpoint))
                own.emplace(checkpoint, std::move(lines));
        }
    }

    /// One logger may count from 0 what another counts from the prompt's length.
    void find_offset(const std::map<std::string, Lines, std::less<>>& lines_a,
                     const std::map<std::string, Lines, std::less<>>& lines_b) {
        std::map<std::int64_t, std::size_t> common;  // keys that an offset joins
        const auto count = [&](std::int64_t offset) {
            std::size_t keys = 0;
            for (const auto& [checkpoint, lines] : lines_a) {
                const auto other = lines_b.find(checkpoint);
                if (other == lines_b.end()) continue;
                for (const auto& [token, entries] : lines)
                    keys += other->second.count(token + offset);
            }
            return keys;
        };
        for (const auto& [checkpoint, lines] : lines_a) {
            const auto other = lines_b.find(checkpoint);
            if (other == lines_b.end()) continue;
            const std::int64_t candidates[] = {
                other->second.begin()->first - lines.begin()->first,
                other->second.rbegin()->first - lines.rbegin()->first};
            for (const std::int64_t offset : candidates) {
                if (common.size() < 16 && !common.contains(offset)) common[offset] = count(offset);
            }
        }
        std::size_t best = count(0);
        for (const auto& [offset, keys] : common) {
            if (keys <= best) continue;
            best = keys;
            offset_ = offset;
        }
        if (offset_ != 0) {
            alignment_.notes.push_back(
                fmt::format("token_idx of {} is larger by {} than that of {} for the same lines",
                            offset_ > 0 ? b_.engine.team : a_.engine.team, std::abs(offset_),
                            offset_ > 0 ? a_.engine.team : b_.engine.team));
        }
    }

    void pair_checkpoint(const Lines& lines_a, const Lines& lines_b) {
        for (const auto& [token, entries] : lines_a) {
            const auto other = lines_b.find(token + offset_);
            const std::size_t both =
                other == lines_b.end() ? 0 : std::min(entries.size(), other->second.size());
            for (std::size_t k = 0; k < both; ++k)
                add_pair(entries[k], other->second[k]);
            leave(a_, entries, both, token, lines_b, offset_);
            if (other != lines_b.end()) leave(b_, other->second, both, token, lines_a, -offset_);
        }
        for (const auto& [token, entries] : lines_b) {
            if (!lines_a.contains(token - offset_)) leave(b_, entries, 0, token, lines_a, -offset_);
        }
    }

    void add_pair(std::size_t a, std::size_t b) {
        if (!a_.fates.is_open(a) || !b_.fates.is_open(b)) return;
        if (!same_shape(a_.shape(a), b_.shape(b))) {
            const std::string why = fmt::format("shape {} in {}, {} in {}", a_.shape(a),
                                                a_.engine.team, b_.shape(b), b_.engine.team);
            a_.fates.leave(a, why);
            b_.fates.leave(b, why);
            return;
        }
        TensorPair pair;
        pair.checkpoint = a_.checkpoint(a);
        pair.layer = layer_of(pair.checkpoint);
        pair.token_idx = a_.entry(a).token_idx;
        pair.a = a;
        pair.b = b;
        pair.evidence = by_name | by_shape | by_order;
        a_.fates.match(a);
        b_.fates.match(b);
        pairs_.push_back(std::move(pair));
    }

    void add_site(TensorPair pair) {
        Site site;
        site.layer = pair.layer;
        site.tensor = static_cast<int>(alignment_.tensors.size());
        site.label = pair.checkpoint;
        alignment_.tensors.push_back(std::move(pair));
        alignment_.sites.push_back(std::move(site));
    }

    /// entries[from, …) have no counterpart.
    void leave(const SideOf& side, const std::vector<std::size_t>& entries, std::size_t from,
               std::int64_t token, const Lines& other, std::int64_t offset) {
        const bool beyond = token + offset > other.rbegin()->first;
        for (std::size_t k = from; k < entries.size(); ++k) {
            if (beyond)
                side.fates.drop(entries[k], "token that the other engine did not reach");
            else
                side.fates.leave(
                    entries[k],
                    fmt::format("the other engine has no such line for token {}", token + offset));
        }
    }

    static void drop_all(const SideOf& side, const Lines& lines) {
        for (const auto& [token, entries] : lines) {
            for (const std::size_t entry : entries)
                side.fates.drop(entry, "checkpoint that the other engine does not log");
        }
    }

    Alignment& alignment_;
    SideOf a_;
    SideOf b_;
    std::int64_t offset_ = 0;
    std::vector<TensorPair> pairs_;
};

class TensorPairer {
  public:
    TensorPairer(Alignment& alignment, Fates& fates_a, Fates& fates_b)
        : alignment_(alignment), a_{*alignment.a, fates_a}, b_{*alignment.b, fates_b} {}

    void pair() {
        for (std::size_t i = 0; i < alignment_.passes.size(); ++i)
            pair_pass(static_cast<int>(i));
        pair_in(-1, a_.engine.tensors, b_.engine.tensors);
        drop_rest(a_);
        drop_rest(b_);
    }

  private:
    /// Chunks of one side are paired with those of the other that they overlap.
    void pair_pass(int index) {
        const PassPair& pass = alignment_.passes[at(index)];
        const std::int64_t shift =
            pass.first_position - b_.engine.passes[at(pass.b)].first_position;
        for (const int i : pass.chunks_a) {
            const Pass& a = a_.engine.passes[at(i)];
            for (const int j : pass.chunks_b) {
                const Pass& b = b_.engine.passes[at(j)];
                const std::int64_t first = b.first_position + shift;
                const bool overlap =
                    a.first_position < first + b.tokens && first < a.first_position + a.tokens;
                if (overlap) pair_in(index, a.tensors, b.tensors);
            }
        }
    }

    /// The k-th tensor of a name with the k-th.
    void pair_in(int pass, const std::vector<std::size_t>& tensors_a,
                 const std::vector<std::size_t>& tensors_b) {
        std::map<std::pair<std::string_view, std::int64_t>, std::vector<std::size_t>> named;
        const auto key = [&](const SideOf& side, std::size_t entry) {
            // Outside of passes only the token tells which is which.
            return std::pair{side.checkpoint(entry),
                             pass < 0 ? side.entry(entry).token_idx : std::int64_t{0}};
        };
        for (const std::size_t entry : tensors_b)
            named[key(b_, entry)].push_back(entry);
        std::map<std::pair<std::string_view, std::int64_t>, std::size_t> seen;
        for (const std::size_t entry : tensors_a) {
            const auto found = named.find(key(a_, entry));
            if (found == named.end()) continue;
            const std::size_t k = seen[found->first]++;
            if (k < found->second.size()) add(pass, entry, found->second[k]);
        }
    }

    void add(int pass, std::size_t a, std::size_t b) {
        const Entry& left = a_.entry(a);
        const Entry& right = b_.entry(b);
        if (left.y_cols != right.y_cols) {
            const std::string why = fmt::format("{} features in {}, {} in {}", left.y_cols,
                                                a_.engine.team, right.y_cols, b_.engine.team);
            a_.fates.leave(a, why);
            b_.fates.leave(b, why);
            return;
        }
        TensorPair pair;
        pair.pass = pass;
        pair.checkpoint = a_.checkpoint(a);
        pair.layer = layer_of(pair.checkpoint);
        pair.token_idx = left.token_idx;
        pair.a = a;
        pair.b = b;
        pair.evidence = by_name | by_shape;
        if (left.y_key != 0 && left.y_key == right.y_key) pair.evidence |= by_value;
        a_.fates.match(a);
        b_.fates.match(b);
        Site site;
        site.pass = pass;
        site.layer = pair.layer;
        site.tensor = static_cast<int>(alignment_.tensors.size());
        site.label = pair.checkpoint;
        alignment_.tensors.push_back(std::move(pair));
        alignment_.sites.push_back(std::move(site));
    }

    static void drop_rest(const SideOf& side) {
        for (const std::size_t entry : all_tensors(side.engine))
            side.fates.drop(entry, "tensor that the other engine does not name");
    }

    Alignment& alignment_;
    SideOf a_;
    SideOf b_;
};

}  // namespace

void pair_logs(Alignment& alignment, Fates& fates_a, Fates& fates_b) {
    LogPairer{alignment, fates_a, fates_b}.pair();
}

void pair_tensors(Alignment& alignment, Fates& fates_a, Fates& fates_b) {
    TensorPairer{alignment, fates_a, fates_b}.pair();
}

}  // namespace orch
