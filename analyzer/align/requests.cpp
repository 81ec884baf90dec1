#include "analyzer/align/requests.hpp"

#include <algorithm>

namespace orch {
namespace {

/// The weight whose product ends the last pass: the LM head.
int last_weight(const EngineTrace& engine, int pass) {
    const auto& products = engine.passes[static_cast<std::size_t>(pass)].products;
    return products.empty() ? -1 : engine.products[products.back()].weight;
}

bool is_scattered(const Pass& pass) {
    for (std::size_t i = 1; i < pass.positions.size(); ++i) {
        if (pass.positions[i] != pass.positions[i - 1] + 1) return true;
    }
    return false;
}

/// Tokens up to the last pass that was fed with tokens of the prompt: it has an LM head, and what
/// follows is fed one by one.
std::int64_t prompt_of(const EngineTrace& engine, const Request& request, int head) {
    std::int64_t tokens = 0;
    for (std::size_t i = 0; i < request.passes.size(); ++i) {
        tokens += engine.passes[static_cast<std::size_t>(request.passes[i])].tokens;
        const bool ends = last_weight(engine, request.passes[i]) == head;
        const bool one_by_one =
            i + 1 == request.passes.size() ||
            engine.passes[static_cast<std::size_t>(request.passes[i + 1])].tokens == 1;
        if (ends && one_by_one) break;
    }
    return tokens;
}

}  // namespace

bool tells_positions(const EngineTrace& engine) {
    return std::any_of(engine.passes.begin(), engine.passes.end(),
                       [](const Pass& pass) { return pass.told; });
}

std::vector<Request> requests_of(const EngineTrace& engine, bool split_turns) {
    std::vector<Request> requests;
    int head = -1;
    for (std::size_t i = 0; i < engine.passes.size(); ++i) {
        const Pass& pass = engine.passes[i];
        if (!pass.dropped.empty() || pass.tokens == 0) continue;
        const bool scattered = is_scattered(pass);
        bool starts = requests.empty() || scattered || requests.back().scattered;
        if (!starts) {
            const Request& open = requests.back();
            const Pass& before = engine.passes[static_cast<std::size_t>(open.passes.back())];
            starts = pass.first_position != open.first + open.tokens ||
                     (split_turns && pass.tokens > 1 && before.tokens == 1);
        }
        if (starts) requests.push_back({{}, pass.first_position, 0, 0, scattered});
        requests.back().passes.push_back(static_cast<int>(i));
        requests.back().tokens += pass.tokens;
        head = last_weight(engine, static_cast<int>(i));
    }
    for (Request& request : requests)
        request.prompt = prompt_of(engine, request, head);
    return requests;
}

}  // namespace orch
