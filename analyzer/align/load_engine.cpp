#include "analyzer/align/load_engine.hpp"

#include <fmt/format.h>

#include <utility>

#include "analyzer/util/text.hpp"

namespace orch {

LoadedEngine load_engine(const std::string& path, std::optional<std::size_t> run,
                         const ModelIndex* index, const ReadOptions& options) {
    LoadedEngine loaded;
    loaded.trace = std::make_unique<Trace>(path, options);
    const std::span<const RunRange> runs = loaded.trace->runs();
    TraceSummary summary = summarize(*loaded.trace);
    if (runs.empty())
        throw UnreadableFile(fmt::format("{}: no record in it; is it a trace?", path));
    const std::size_t chosen = run.value_or(runs.size());
    if (chosen == 0 || chosen > runs.size()) {
        throw UnreadableFile(fmt::format("{}: there is no run {}; it holds {}", path, chosen,
                                         counted(runs.size(), "run")));
    }
    if (runs.size() > 1 && !run) {
        loaded.notes.push_back(fmt::format("{} holds {}: the last is taken; --run N takes another",
                                           path, counted(runs.size(), "run")));
    }
    RunSummary facts;
    if (chosen <= summary.runs.size()) facts = std::move(summary.runs[chosen - 1]);
    loaded.engine = read_engine(*loaded.trace, runs[chosen - 1], std::move(facts), index);
    return loaded;
}

}  // namespace orch
