// One run of one engine, ready to be aligned: its passes, its products in the order of the calls,
// and the weights that they multiply.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "analyzer/info/trace_summary.hpp"
#include "analyzer/read/records.hpp"
#include "analyzer/read/trace.hpp"
#include "analyzer/weights/role.hpp"

namespace orch {

struct ModelIndex;

struct Weight {
    WeightRecord record;
    /// By the engine's name for it, or by the index that has the same sketch; layer -1: unknown.
    Role role;
    std::string name;  ///< the engine's or the index's; may be empty
    bool named_by_engine = false;
    bool is_activation = false;  ///< changing content: one operand of an attention product
    std::uint32_t uses = 0;
    std::uint32_t passes = 0;  ///< that use it
};

struct Product {
    std::size_t entry = 0;  ///< into Trace::entries()
    int weight = -1;        ///< into EngineTrace::weights; -1: none recorded
    int pass = -1;          ///< into EngineTrace::passes
};

/// One forward pass: as the engine says (`pass` records), or cut where the sequence of weights
/// starts again.
struct Pass {
    std::int64_t first_position = 0;
    std::int64_t tokens = 0;              ///< rows of its widest product
    std::vector<std::int64_t> token_ids;  ///< empty: unknown
    std::vector<std::int64_t> positions;  ///< empty: unknown
    std::vector<std::size_t> products;    ///< into EngineTrace::products, in the order of calls
    std::vector<std::size_t> tensors;     ///< entries of named checkpoints, in the order of calls
    bool told = false;                    ///< by a `pass` record
    std::string dropped;                  ///< why it takes no part (warm-up, dummy), else empty
};

struct EngineTrace {
    const Trace* trace = nullptr;
    RunRange run;
    RunSummary facts;
    std::string team;
    std::string path;
    std::string kv_dtype;
    std::vector<Weight> weights;
    std::vector<Product> products;
    std::vector<Pass> passes;
    std::vector<std::size_t> logs;     ///< entries of plain lines
    std::vector<std::size_t> tensors;  ///< entries of named checkpoints outside of any pass
    const Entry& entry(const Product& product) const { return trace->entries()[product.entry]; }
};

/// `index` may be null. `facts` is the summary of this run.
EngineTrace read_engine(const Trace& trace, const RunRange& run, RunSummary facts,
                        const ModelIndex* index);

}  // namespace orch
