// What to read after a graph has run: made once per graph, kept while the graph is reused.
#pragma once
#include <cstdint>

#include "core/digest.hpp"
#include "preload/ggml_api.hpp"
#include "preload/ggml_names.hpp"

namespace orch {

/// A tensor to digest; several records may speak of it.
struct PlannedTensor {
    void* tensor = nullptr;
    bool digested = false;
    int product = -1;  ///< index of the first record that has it as input
    MatrixView view;
    Digest digest;
};

struct PlannedRecord {
    int result = -1;           ///< index of the planned tensor
    int input = -1;            ///< products: index of the input's
    void* weight = nullptr;    ///< products
    int next_product = -1;     ///< products: of the same input
    bool by_callback = false;  ///< read while the graph runs
    FixedString<95> checkpoint;
    CheckpointGroup group = CheckpointGroup::inner;
    Projection projection;  ///< products: of the input, made when that is digested
};

struct GraphPlan {
    static constexpr int max_tensors = 8192;
    static constexpr int max_records = 8192;

    void* graph = nullptr;
    int nodes = 0;
    std::uint64_t generation = 0;
    int tensors = 0;
    int records = 0;
    bool uses_callback = false;
    bool truncated = false;
    void* positions = nullptr;  ///< the index tensor of a rotation
    std::int64_t tokens = 0;    ///< rows before the graph narrows to its outputs; 0: unknown
    void* outputs = nullptr;    ///< which rows are left after it narrowed
    PlannedTensor tensor[max_tensors];
    PlannedRecord record[max_records];
};

/// This thread's plan for the graph; null without memory. Plans of other threads are their own.
GraphPlan* plan_graph(const GgmlApi& api, void* graph) noexcept;

}  // namespace orch
