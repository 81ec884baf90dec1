#include "analyzer/align/passes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "analyzer/align/requests.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

/// Another token's embedding is no nearer than this; the same one, in a wrong engine, seldom
/// further.
constexpr double other_token = 0.3;

constexpr const char* not_run = "pass that the other engine did not run";
constexpr const char* other_request = "request that the other engine did not run";
constexpr const char* warm_up = "warm-up before the first request";
constexpr const char* other_tokens = "after the engines chose different tokens";
constexpr const char* several_sequences = "several sequences in one pass";
constexpr const char* no_tokens = "pass without tokens";

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// Part of a request: passes of both whose positions overlap.
struct Group {
    std::vector<int> a;
    std::vector<int> b;
};

class PassPairer {
  public:
    PassPairer(const EngineTrace& a, const EngineTrace& b)
        : a_(a), b_(b), parser_a_(*a.trace), parser_b_(*b.trace) {
        result_.dropped_a = reasons(a);
        result_.dropped_b = reasons(b);
    }

    PassPairs pair() {
        const bool told_a = tells_positions(a_);
        const bool told_b = tells_positions(b_);
        requests_a_ = requests_of(a_, !told_a || !told_b);
        requests_b_ = requests_of(b_, !told_a || !told_b);
        drop_warm_up(requests_a_, result_.dropped_a);
        drop_warm_up(requests_b_, result_.dropped_b);
        for (const auto& [i, j] : pair_requests())
            pair_request(requests_a_[i], requests_b_[j]);
        return std::move(result_);
    }

  private:
    static std::vector<std::string> reasons(const EngineTrace& engine) {
        std::vector<std::string> result;
        for (const Pass& pass : engine.passes)
            result.push_back(pass.dropped.empty() && pass.tokens == 0 ? no_tokens : pass.dropped);
        return result;
    }

    /// llama.cpp decodes one or two tokens before the first prompt.
    static void drop_warm_up(std::vector<Request>& requests, std::vector<std::string>& dropped) {
        if (requests.size() < 2) return;
        const Request& first = requests.front();
        if (first.passes.size() != 1 || first.tokens > 2) return;
        dropped[at(first.passes[0])] = warm_up;
        requests.erase(requests.begin());
    }

    static bool are_alike(const Request& a, const Request& b) {
        return a.prompt == b.prompt && a.scattered == b.scattered;
    }

    /// The longest common sequence of prompt lengths.
    std::vector<std::pair<std::size_t, std::size_t>> pair_requests() {
        const std::size_t n = requests_a_.size();
        const std::size_t m = requests_b_.size();
        std::vector<std::vector<int>> common(n + 1, std::vector<int>(m + 1));
        for (std::size_t i = n; i-- > 0;) {
            for (std::size_t j = m; j-- > 0;) {
                common[i][j] = std::max(common[i + 1][j], common[i][j + 1]);
                if (are_alike(requests_a_[i], requests_b_[j]))
                    common[i][j] = std::max(common[i][j], common[i + 1][j + 1] + 1);
            }
        }
        std::vector<std::pair<std::size_t, std::size_t>> pairs;
        std::size_t i = 0;
        std::size_t j = 0;
        while (i < n && j < m) {
            if (are_alike(requests_a_[i], requests_b_[j]) &&
                common[i][j] == common[i + 1][j + 1] + 1) {
                pairs.emplace_back(i++, j++);
            } else if (common[i + 1][j] >= common[i][j + 1]) {
                ++i;
            } else {
                ++j;
            }
        }
        if (pairs.empty() && n > 0 && m > 0) pairs.push_back(longest_requests());
        drop_others(pairs);
        return pairs;
    }

    /// No prompt has the length of another: the engines were fed different tokens.
    std::pair<std::size_t, std::size_t> longest_requests() {
        const auto longest = [](const std::vector<Request>& requests) {
            const auto found = std::max_element(
                requests.begin(), requests.end(),
                [](const Request& x, const Request& y) { return x.prompt < y.prompt; });
            return static_cast<std::size_t>(found - requests.begin());
        };
        const std::pair<std::size_t, std::size_t> result{longest(requests_a_),
                                                         longest(requests_b_)};
        result_.not_comparable.push_back(fmt::format(
            "the prompts differ in length: {} tokens in {}, {} in {}; give both engines the same "
            "token ids (is a beginning-of-text token missing?)",
            requests_a_[result.first].prompt, a_.team, requests_b_[result.second].prompt, b_.team));
        return result;
    }

    void drop_others(const std::vector<std::pair<std::size_t, std::size_t>>& pairs) {
        std::vector<bool> paired_a(requests_a_.size());
        std::vector<bool> paired_b(requests_b_.size());
        for (const auto& [i, j] : pairs)
            paired_a[i] = paired_b[j] = true;
        drop_others(a_, requests_a_, paired_a, result_.dropped_a);
        drop_others(b_, requests_b_, paired_b, result_.dropped_b);
    }

    void drop_others(const EngineTrace& engine, const std::vector<Request>& requests,
                     const std::vector<bool>& paired, std::vector<std::string>& dropped) {
        std::size_t left_out = 0;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (paired[i]) continue;
            const Request& request = requests[i];
            const char* why = request.scattered ? several_sequences : other_request;
            if (why == other_request) ++left_out;
            for (const int pass : request.passes)
                dropped[at(pass)] = why;
        }
        if (left_out > 0) {
            result_.notes.push_back(
                fmt::format("{} ran {} that the other engine did not run with a prompt of the same "
                            "length: left out",
                            engine.team, counted(left_out, "request")));
        }
    }

    void pair_request(const Request& a, const Request& b) {
        const bool told_a = a_.passes[at(a.passes[0])].told;
        const bool told_b = b_.passes[at(b.passes[0])].told;
        // Rows that one engine counts start where the other says that the request starts.
        const std::int64_t shift_a = told_a ? 0 : (told_b ? b.first : 0) - a.first;
        const std::int64_t shift_b = told_b ? 0 : (told_a ? a.first : 0) - b.first;
        const std::vector<Group> groups = overlapping(a, shift_a, b, shift_b);
        bool same_tokens = check_tokens(a, b);
        const Group* before = nullptr;
        for (const Group& group : groups) {
            if (group.a.empty() || group.b.empty()) {
                drop(group, not_run);
                continue;
            }
            same_tokens = same_tokens && !token_differs(group) && !was_fed_otherwise(before, group);
            if (!same_tokens) {
                drop(group, other_tokens);
                continue;
            }
            add(group, shift_b);
            before = &group;
        }
    }

    std::vector<Group> overlapping(const Request& a, std::int64_t shift_a, const Request& b,
                                   std::int64_t shift_b) const {
        std::vector<Group> groups;
        std::size_t i = 0;
        std::size_t j = 0;
        std::int64_t end = 0;  // of the open group
        while (i < a.passes.size() || j < b.passes.size()) {
            const auto begin_of = [](const EngineTrace& engine, const Request& request,
                                     std::size_t k, std::int64_t shift) {
                return engine.passes[at(request.passes[k])].first_position + shift;
            };
            const bool from_a =
                j == b.passes.size() ||
                (i < a.passes.size() && begin_of(a_, a, i, shift_a) <= begin_of(b_, b, j, shift_b));
            const int pass = from_a ? a.passes[i] : b.passes[j];
            const std::int64_t begin =
                from_a ? begin_of(a_, a, i, shift_a) : begin_of(b_, b, j, shift_b);
            const EngineTrace& engine = from_a ? a_ : b_;
            if (groups.empty() || begin >= end) groups.emplace_back();
            const std::int64_t own_end = begin + engine.passes[at(pass)].tokens;
            end = groups.back().a.empty() && groups.back().b.empty() ? own_end
                                                                     : std::max(end, own_end);
            (from_a ? groups.back().a : groups.back().b).push_back(pass);
            ++(from_a ? i : j);
        }
        return groups;
    }

    static std::map<std::int64_t, std::int64_t> tokens_of(const EngineTrace& engine,
                                                          const std::vector<int>& passes) {
        std::map<std::int64_t, std::int64_t> tokens;
        for (const int index : passes) {
            const Pass& pass = engine.passes[at(index)];
            for (std::size_t i = 0; i < std::min(pass.token_ids.size(), pass.positions.size()); ++i)
                tokens.emplace(pass.positions[i], pass.token_ids[i]);
        }
        return tokens;
    }

    /// Position of the first token that both tell and that differs; its ids.
    static std::optional<std::array<std::int64_t, 3>> first_difference(
        const std::map<std::int64_t, std::int64_t>& a,
        const std::map<std::int64_t, std::int64_t>& b) {
        for (const auto& [position, token] : a) {
            const auto other = b.find(position);
            if (other != b.end() && other->second != token)
                return std::array{position, token, other->second};
        }
        return {};
    }

    /// False: the prompts differ, and nothing behind them means anything.
    bool check_tokens(const Request& a, const Request& b) {
        const auto difference = first_difference(tokens_of(a_, a.passes), tokens_of(b_, b.passes));
        if (!difference) return true;
        const auto [position, token_a, token_b] = *difference;
        const bool in_prompt = position < a.first + a.prompt || position < b.first + b.prompt;
        if (!in_prompt) return true;
        result_.not_comparable.push_back(
            fmt::format("the prompts differ: at position {} {} was fed token {}, {} token {}; give "
                        "both engines "
                        "the same token ids",
                        position, a_.team, token_a, b_.team, token_b));
        return true;
    }

    bool token_differs(const Group& group) const {
        return result_.not_comparable.empty() &&
               first_difference(tokens_of(a_, group.a), tokens_of(b_, group.b)).has_value();
    }

    /// Engines that do not tell their tokens: did the passes before end with different winners, and
    /// are the inputs of the first product those of different tokens?
    bool was_fed_otherwise(const Group* before, const Group& group) {
        if (before == nullptr || group.a.size() != 1 || group.b.size() != 1) return false;
        const Pass& a = a_.passes[at(group.a[0])];
        const Pass& b = b_.passes[at(group.b[0])];
        if (a.tokens != 1 || b.tokens != 1 || a.products.empty() || b.products.empty())
            return false;
        if (!a.token_ids.empty() && !b.token_ids.empty()) return false;
        const auto winner_a = winner(a_, parser_a_, before->a.back());
        const auto winner_b = winner(b_, parser_b_, before->b.back());
        const auto& told = a.token_ids.empty() ? b.token_ids : a.token_ids;
        const auto& teller = a.token_ids.empty() ? winner_b : winner_a;
        const bool is_greedy = told.empty() || (teller && told[0] == *teller);
        if (is_greedy && winner_a && winner_b && *winner_a == *winner_b) return false;
        return input_distance(a, b) > other_token;
    }

    static std::optional<std::int64_t> winner(const EngineTrace& engine, RecordParser& parser,
                                              int pass) {
        const auto& products = engine.passes[at(pass)].products;
        if (products.empty()) return {};
        const Side y = parser.call(engine.entry(engine.products[products.back()])).y;
        if (y.nonfinite.total() > 0) return {};
        if (y.last_row) return y.last_row->argmax;
        if (y.argmax && y.cols > 0) return *y.argmax % y.cols;
        return {};
    }

    /// Of the single rows that the first products read; their signs depend on positions.
    double input_distance(const Pass& a, const Pass& b) {
        const auto x = parser_a_.call(a_.entry(a_.products[a.products[0]])).x;
        const auto y = parser_b_.call(b_.entry(b_.products[b.products[0]])).x;
        if (!x || !y || !x->mixed || !y->mixed || x->cols != y->cols) return 0;
        double minus = 0;
        double plus = 0;
        double size = 0;
        for (std::size_t j = 0; j < x->mixed->size(); ++j) {
            const double p = (*x->mixed)[j];
            const double q = (*y->mixed)[j];
            minus += (p - q) * (p - q);
            plus += (p + q) * (p + q);
            size += p * p;
        }
        return size > 0 ? std::sqrt(std::min(minus, plus) / size) : 0;
    }

    void drop(const Group& group, const char* why) {
        for (const int pass : group.a)
            result_.dropped_a[at(pass)] = why;
        for (const int pass : group.b)
            result_.dropped_b[at(pass)] = why;
    }

    void add(const Group& group, std::int64_t shift_b) {
        const Pass& a = a_.passes[at(group.a[0])];
        const Pass& b = b_.passes[at(group.b[0])];
        PassPair pair;
        pair.a = group.a[0];
        pair.b = group.b[0];
        pair.first_position = b.first_position + shift_b;
        pair.tokens = b.tokens;
        pair.evidence = by_order | by_shape;
        if (!a.token_ids.empty() && !b.token_ids.empty()) pair.evidence |= by_value;
        pair.chunks_a = group.a;
        pair.chunks_b = group.b;
        result_.pairs.push_back(std::move(pair));
    }

    const EngineTrace& a_;
    const EngineTrace& b_;
    RecordParser parser_a_;
    RecordParser parser_b_;
    std::vector<Request> requests_a_;
    std::vector<Request> requests_b_;
    PassPairs result_;
};

}  // namespace

PassPairs pair_passes(const EngineTrace& a, const EngineTrace& b) {
    return PassPairer{a, b}.pair();
}

}  // namespace orch
