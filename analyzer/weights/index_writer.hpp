// model.idx: the weights of a checkpoint as a trace has them (docs/INDEX.md).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analyzer/weights/model_file.hpp"

namespace orch {

class OutputFile;

struct IndexRequest {
    std::vector<std::string> arguments;  ///< for the header: how the index was asked for
    std::string ggml;                    ///< the library whose decoders are used, or empty
    unsigned threads = 0;                ///< 0: one per core
    /// Called now and then, by any thread, never by two at once.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

struct IndexCounts {
    std::uint64_t weights = 0;
    std::uint64_t not_weights = 0;  ///< integers, empty tensors
    std::uint64_t unreadable = 0;   ///< weights whose values cannot be had
    std::uint64_t bytes = 0;        ///< of the weights in the checkpoint
};

/// What cannot be read, by the reason, with the names of a few: "5 tensors, as blk.0.x and blk.1.x"
std::vector<std::pair<std::string, std::string>> unreadable_tensors(const ModelFile& model);

/// Throws UnreadableFile (the model changed) and WriteError.
IndexCounts write_index(const ModelFile& model, const IndexRequest& request, OutputFile& out);

}  // namespace orch
