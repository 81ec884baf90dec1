#include "analyzer/cli/index_option.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "analyzer/align/engine_trace.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

/// As a tracer that knows the name calls the product (FORMAT.md): "blk.0.attn_q.weight" ->
/// "gemm.blk.0.attn_q". Several fused weights each lose the word.
std::string product_of(std::string_view weight) {
    constexpr std::string_view ending = ".weight";
    std::string name = "gemm.";
    while (!weight.empty()) {
        const std::size_t at = std::min(weight.find(ending), weight.size());
        name += weight.substr(0, at);
        weight.remove_prefix(at);
        if (weight.empty()) break;
        const bool is_whole_word =
            weight.size() == ending.size() ||
            std::string_view{" ["}.find(weight[ending.size()]) != std::string_view::npos;
        if (!is_whole_word) name += ending;
        weight.remove_prefix(ending.size());
    }
    return name;
}

RunNames names_of(const EngineTrace& engine) {
    RunNames names;
    const auto name_of = [&](int weight) -> std::string_view {
        if (weight < 0) return {};
        const Weight& found = engine.weights[static_cast<std::size_t>(weight)];
        return found.named_by_engine ? std::string_view{} : found.name;
    };
    for (std::size_t i = 0; i < engine.weights.size(); ++i) {
        const std::string_view name = name_of(static_cast<int>(i));
        const auto id = engine.trace->find(engine.weights[i].record.id);
        if (id && !name.empty()) names.weights.emplace(*id, name);
    }
    // A checkpoint's name is of its call. Where several products share one, it says more than ours.
    std::set<StringId> ambiguous;
    for (const Product& product : engine.products) {
        const StringId checkpoint = engine.entry(product).checkpoint;
        std::string name{name_of(product.weight)};
        if (!name.empty()) name = product_of(name);
        const auto [known, is_new] = names.checkpoints.try_emplace(checkpoint, name);
        if (!is_new && known->second != name) ambiguous.insert(checkpoint);
    }
    std::erase_if(names.checkpoints, [&](const auto& known) {
        return known.second.empty() || ambiguous.contains(known.first);
    });
    return names;
}

}  // namespace

void add_index_option(CLI::App& app, std::string& path) {
    app.add_option("--index", path, "names for weights without one: made by 'orchtrace index'")
        ->type_name("FILE");
}

std::optional<ModelIndex> index_of_option(const std::string& path) {
    if (path.empty()) return std::nullopt;
    return read_index(path);
}

GivenNames names_from_index(const Trace& trace, const std::optional<ModelIndex>& index) {
    GivenNames names;
    if (!index) return names;
    names.source = fmt::format("{}, {} of {}", index->path,
                               counted(index->weights.size(), "weight"), index->model);
    for (const RunRange& run : trace.runs())
        names.runs.push_back(names_of(read_engine(trace, run, RunSummary{}, &*index)));
    return names;
}

}  // namespace orch
