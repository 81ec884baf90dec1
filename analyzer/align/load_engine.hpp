// A trace file as an engine to be aligned: one of its runs.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyzer/align/engine_trace.hpp"

namespace orch {

struct LoadedEngine {
    std::unique_ptr<Trace> trace;  ///< its address must not change: `engine` points to it
    EngineTrace engine;
    std::vector<std::string> notes;  ///< "a.jsonl holds 3 runs: the last is taken (--run N …)"
};

/// `run` counts from 1; none: the last. Throws UnreadableFile: not a trace, or no such run.
LoadedEngine load_engine(const std::string& path, std::optional<std::size_t> run,
                         const ModelIndex* index, const ReadOptions& options = {});

}  // namespace orch
