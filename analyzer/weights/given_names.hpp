// Names that a model's index gives to what a nameless engine recorded, for whoever prints names.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "analyzer/read/trace.hpp"

namespace orch {

/// Of one run: ids of weights and numbers of calls start again in the next.
struct RunNames {
    std::unordered_map<StringId, std::string> weights;  ///< "w7" -> "blk.0.attn_q.weight"
    std::unordered_map<StringId, std::string>
        checkpoints;  ///< "gemm.000012" -> "gemm.blk.0.attn_q"
};

struct GivenNames {
    std::string source;  ///< "model.idx, 29 weights of model.gguf"; empty: no index was given
    std::vector<RunNames> runs;  ///< as Trace::runs(), or empty

    bool any() const {
        return std::any_of(runs.begin(), runs.end(),
                           [](const RunNames& names) { return !names.weights.empty(); });
    }
    const RunNames* of_run(std::size_t run) const {
        return run < runs.size() ? &runs[run] : nullptr;
    }
};

/// `names` may be null.
inline std::string_view checkpoint_name(const Trace& trace, StringId checkpoint,
                                        const RunNames* names) {
    if (names != nullptr) {
        const auto found = names->checkpoints.find(checkpoint);
        if (found != names->checkpoints.end()) return found->second;
    }
    return trace.string(checkpoint);
}

}  // namespace orch
