#include "analyzer/align/pass_cut.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

namespace orch {
namespace {

/// What tells a pass's start from another use of its first weight: the weights that follow.
constexpr std::size_t window = 4;

/// Indices into `sequence` where it looks as it did at its beginning.
std::vector<std::size_t> restarts(std::span<const int> sequence) {
    std::vector<std::size_t> result{0};
    const std::size_t follow = std::min(window, sequence.size()) - 1;
    for (std::size_t i = 1; i < sequence.size(); ++i) {
        if (sequence[i] != sequence[0]) continue;
        std::size_t same = 0;
        std::size_t seen = 0;
        for (std::size_t k = 1; k <= follow && i + k < sequence.size(); ++k) {
            ++seen;
            if (sequence[i + k] == sequence[k]) ++same;
        }
        // Experts may differ; a layer that borrows one weight of the first has no other in common
        // with it.
        if (3 * same >= seen) result.push_back(i);
    }
    return result;
}

/// Segments that end with `head`; empty: it does not end passes.
std::vector<std::size_t> starts_behind(std::span<const int> sequence, int head,
                                       const std::vector<std::size_t>& restarts) {
    std::vector<std::size_t> starts{0};
    for (std::size_t i = 0; i + 1 < sequence.size(); ++i) {
        if (sequence[i] != head) continue;
        if (!std::binary_search(restarts.begin(), restarts.end(), i + 1)) return {};
        starts.push_back(i + 1);
    }
    return starts;
}

/// The most frequent length, the shortest of several; and whether at least half have it.
std::pair<std::size_t, bool> usual_length(const std::vector<std::size_t>& starts, std::size_t end) {
    std::map<std::size_t, std::size_t> count;
    for (std::size_t i = 0; i < starts.size(); ++i)
        ++count[(i + 1 < starts.size() ? starts[i + 1] : end) - starts[i]];
    const auto best =
        std::max_element(count.begin(), count.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    return {best->first, 2 * best->second >= starts.size()};
}

std::vector<std::size_t> starts_in(std::span<const int> sequence) {
    std::vector<std::size_t> all = restarts(sequence);
    const std::vector<std::size_t> starts = starts_behind(sequence, sequence.back(), all);
    if (starts.size() < 2) return all;
    // Between two heads lies one pass, or chunks of a prompt without a head and the last with it.
    const auto [length, is_usual] = usual_length(starts, sequence.size());
    std::vector<std::size_t> result;
    for (std::size_t i = 0; i < starts.size(); ++i) {
        const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : sequence.size();
        result.push_back(starts[i]);
        if (is_usual && end - starts[i] == length) continue;
        for (auto at = std::upper_bound(all.begin(), all.end(), starts[i]);
             at != all.end() && *at < end; ++at) {
            if (!is_usual || *at - result.back() + 1 >= length) result.push_back(*at);
        }
    }
    return result;
}

/// Weights where they have ids; else shapes, whose rarest and widest is the LM head.
std::vector<int> keys_of(const EngineTrace& engine) {
    std::vector<int> keys;
    bool any_weight = false;
    std::map<std::array<std::uint32_t, 2>, int> shapes;
    for (const Product& product : engine.products) {
        int key = -1;
        if (product.weight >= 0) {
            const Weight& weight = engine.weights[static_cast<std::size_t>(product.weight)];
            // All NaN are one content: an activation full of them is seen again and again.
            const bool is_operand = weight.record.nonfinite.total() > 0 && weight.name.empty();
            if (weight.uses > 1 && !weight.is_activation && !is_operand) key = product.weight;
            any_weight = any_weight || !weight.is_activation;
        }
        keys.push_back(key);
    }
    if (any_weight) return keys;
    std::uint32_t widest = 0;
    for (const Product& product : engine.products)
        widest = std::max(widest, engine.entry(product).y_cols);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const Entry& entry = engine.entry(engine.products[i]);
        const auto [shape, fresh] =
            shapes.try_emplace({entry.x_cols, entry.y_cols}, static_cast<int>(shapes.size()));
        keys[i] = shape->second;
    }
    return keys;
}

/// As many as the products of weights have rows; attention may fold its heads into the rows.
std::int64_t tokens_of(const EngineTrace& engine, const Pass& pass) {
    std::int64_t of_weights = 0;
    std::int64_t of_all = 0;
    for (const std::size_t index : pass.products) {
        const Product& product = engine.products[index];
        const auto rows = static_cast<std::int64_t>(engine.entry(product).rows);
        of_all = std::max(of_all, rows);
        if (product.weight < 0) continue;
        const Weight& weight = engine.weights[static_cast<std::size_t>(product.weight)];
        if (!weight.is_activation && (weight.uses > 1 || !weight.name.empty()))
            of_weights = std::max(of_weights, rows);
    }
    return of_weights > 0 ? of_weights : of_all;
}

/// It narrowed to the last row: the next token was wanted.
bool produced_a_token(const EngineTrace& engine, const Pass& pass) {
    if (pass.products.empty()) return false;
    return pass.tokens == 1 || engine.entry(engine.products[pass.products.back()]).rows == 1;
}

}  // namespace

std::vector<std::size_t> pass_starts(std::span<const int> keys) {
    std::vector<int> sequence;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i] < 0) continue;
        sequence.push_back(keys[i]);
        places.push_back(i);
    }
    if (sequence.empty()) return {0};
    std::vector<std::size_t> result = starts_in(sequence);
    for (std::size_t& start : result)
        start = places[start];
    result.front() = 0;
    return result;
}

void cut_passes(EngineTrace& engine) {
    if (engine.products.empty()) return;
    const std::vector<std::size_t> starts = pass_starts(keys_of(engine));
    std::int64_t position = 0;
    for (std::size_t i = 0; i < starts.size(); ++i) {
        const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : engine.products.size();
        Pass pass;
        for (std::size_t product = starts[i]; product < end; ++product) {
            engine.products[product].pass = static_cast<int>(i);
            pass.products.push_back(product);
        }
        pass.tokens = tokens_of(engine, pass);
        if (!engine.passes.empty() && pass.tokens > 1 &&
            produced_a_token(engine, engine.passes.back())) {
            position = 0;
        }
        pass.first_position = position;
        position += pass.tokens;
        engine.passes.push_back(std::move(pass));
    }
}

}  // namespace orch
