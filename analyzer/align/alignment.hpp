// Which calls of two engines are the same operation of the model, and how that is known.
// a is the reference, b the other engine.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "analyzer/align/engine_trace.hpp"

namespace orch {

/// What agreed. Two kinds at least, or a pair is "unproven": shown, never used for blame.
enum Evidence : unsigned {
    by_weight = 1,  ///< the sketches of the weights
    by_shape = 2,
    by_order = 4,   ///< its neighbours in the sequence are matched
    by_energy = 8,  ///< energies of x or y agree
    by_name = 16,
    by_value = 32,  ///< x or y is the same to the bit
};
inline bool is_proven(unsigned evidence) {
    return (evidence & (evidence - 1)) != 0;
}
std::string evidence_text(unsigned evidence);  ///< "weight, shape, order"

enum class Content {
    same_bits,
    equal,     ///< to the rounding of f32 sums
    rounding,  ///< as far apart as their element types are
    changed,   ///< further: other numbers
    unknown,
};

enum class RowOrder { same, permuted, unknown };

/// The same parameters in both engines: one weight or several that are fused on the other side.
struct WeightMatch {
    std::vector<int> a;  ///< into EngineTrace::weights
    std::vector<int> b;
    double distance = 0;   ///< of the (summed) sketches, relative to the reference's
    double runner_up = 0;  ///< the nearest wrong candidate
    double expected = 0;   ///< distance that the element types explain
    Content content = Content::unknown;
    RowOrder rows = RowOrder::unknown;
    std::string rows_text;  ///< "half-split against interleaved, heads of 16", may be empty
    Role role;              ///< from whichever side has a name, else inferred; of the first part
    std::string label;      ///< "layer_2_attn_q", "layer_0_qkv", "head"
};

/// The same positions in both engines: a pass of each, or the chunks in which one of them, or both,
/// did the same work.
struct PassPair {
    int a = -1;  ///< the first of chunks_a
    int b = -1;
    /// Of pass b. Position in b = row + first position; kept here because a nameless engine counts
    /// rows.
    std::int64_t first_position = 0;
    std::int64_t tokens = 0;
    unsigned evidence = 0;
    std::vector<int> chunks_a;  ///< all passes, in the order of positions
    std::vector<int> chunks_b;
};

/// One product, or products fused on one side, in both engines.
struct ProductPair {
    int pass = -1;               ///< into Alignment::passes
    int match = -1;              ///< into Alignment::weights; -1: paired by place alone
    std::vector<std::size_t> a;  ///< into EngineTrace::products
    std::vector<std::size_t> b;
    unsigned evidence = 0;
    /// b multiplied another weight here than the reference: that match, else -1.
    int wrong_match = -1;
};

/// A named tensor or a plain line in both.
struct TensorPair {
    int pass = -1;  ///< -1: outside of passes (plain lines)
    std::string checkpoint;
    int layer = -1;
    std::int64_t token_idx = 0;
    std::size_t a = 0;  ///< entries
    std::size_t b = 0;
    unsigned evidence = 0;
};

/// A place in the data flow of a pass: products that read one input (q, k and v; o; gate and up;
/// down; head), or one named tensor. In the order of the reference's data flow.
struct Site {
    int pass = -1;
    int layer = -1;                     ///< -1: not in a layer, or unknown
    Part part = Part::other;            ///< of the first product: q, o, gate, down, head, …
    std::vector<std::size_t> products;  ///< into Alignment::products; empty: a tensor
    int tensor = -1;                    ///< into Alignment::tensors
    std::string label;                  ///< "layer_2_qkv"
};

struct Unmatched {
    std::size_t entry = 0;
    std::string why;
};

/// Every product, tensor and plain line of one engine is in exactly one of these.
struct SideLedger {
    std::uint64_t total = 0;
    std::uint64_t matched = 0;                     ///< alone
    std::uint64_t merged = 0;                      ///< as a part of a group
    std::map<std::string, std::uint64_t> dropped;  ///< reason, count
    std::vector<Unmatched> unmatched;
    std::uint64_t dropped_total() const;
    bool adds_up() const { return total == matched + merged + dropped_total() + unmatched.size(); }
};

struct Alignment {
    const EngineTrace* a = nullptr;
    const EngineTrace* b = nullptr;
    std::vector<WeightMatch> weights;
    std::vector<int> lone_weights_a;  ///< found in no match
    std::vector<int> lone_weights_b;
    std::vector<PassPair> passes;
    std::vector<ProductPair> products;
    std::vector<TensorPair> tensors;
    std::vector<Site> sites;
    SideLedger ledger_a;
    SideLedger ledger_b;
    /// Empty: comparable. Else whole sentences: what, why, what to do.
    std::vector<std::string> not_comparable;
    std::vector<std::string> notes;
};

Alignment align(const EngineTrace& a, const EngineTrace& b);

}  // namespace orch
