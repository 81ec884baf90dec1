// The place where two engines part, with everything in the traces that may tell why.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analyzer/judge/arithmetic.hpp"
#include "analyzer/judge/flow.hpp"
#include "analyzer/judge/measure.hpp"

namespace orch {

/// A row of the matrix that is off, in a pass whose earlier places agree.
struct SuspectRow {
    int pass = -1;
    bool prefill = false;  ///< its pass has several tokens
    RowPair row;
    double error = 0;
    double expected = 0;
    bool off() const { return error > floors::suspicious * expected; }
};

/// What enters a norm, for one row: the stream before its last addend, and the addends.
struct NormRow {
    SuspectRow at;
    std::optional<Sketch> before;   ///< reference: stream without the last addend
    std::optional<Sketch> addend;   ///< reference: the last addend
    std::optional<Sketch> earlier;  ///< reference: the addend before that
    std::optional<Sketch> addend_of_row_before;
    double mean_square = 0;  ///< of the stream that the norm reads, reference; 0: not known
};

struct Suspect {
    Step step = Step::product;  ///< what lies before the matrix; product: the matrix is its result
    int layer = -1;
    Part part = Part::other;  ///< of the product, or of the first product behind the bracket
    std::string label;
    std::int64_t cols = 0;
    bool same_features = true;
    double error = 0;     ///< where the gain is largest
    double expected = 0;  ///< there
    double input_error = 0;
    std::vector<SuspectRow> rows;
    std::vector<NormRow> norm_rows;
    /// The matrix in each pass of evidence, in their order, and the passes.
    struct InPass {
        int pass = -1;
        bool prefill = false;
        MatrixPair matrix;
        double expected = 0;
        std::vector<std::int64_t> chunks = {};  ///< where the other engine's chunks of it begin
    };
    std::vector<InPass> passes;
    /// Of a product: what the records say about it in the first of those passes.
    std::optional<ProductData> product;
    std::vector<MatrixPair> inputs;  ///< of a product, by pass
    Arithmetic arithmetic_a;
    Arithmetic arithmetic_b;
    Digits digits_a;
    Digits digits_b;
    /// The context of attention: the reference's results of v, by pass and position.
    std::map<std::pair<int, std::int64_t>, RowDigest> values;
    /// Whether the error is still in the residual stream at the next norm; none: cannot be told.
    std::optional<bool> persists;
    std::string team_a;
    std::string team_b;
    const Alignment* alignment = nullptr;

    std::vector<const SuspectRow*> off_rows() const;
    std::vector<RowPair> off_pairs() const;
    double noise() const;  ///< the largest that is expected of a row
    /// The share of the difference that lies in the fullest of the sketches' sixteen places.
    double share_of_fullest_place() const;
};

/// Where it is, for the builder.
struct SuspectPlace {
    const SiteReading* site = nullptr;
    const ProductReading* product = nullptr;  ///< null: the bracket before the site, or a tensor
};

/// Of the parts of a result, in their order: null for each product of no weight. Chunks of a prompt
/// multiply one weight several times.
std::vector<const Weight*> weights_of(const EngineTrace& engine,
                                      const std::vector<std::size_t>& products);

/// Behind a wrong norm the residual stream is right, and the next norm reads what the products in
/// between say; behind a wrong stream it is not. None: it cannot be told of an error of that size.
std::optional<bool> persists_in(const PassData& pass, const std::string& label, double error);

Suspect build_suspect(const Alignment& alignment, const SuspectPlace& place,
                      const std::vector<std::vector<SiteReading>>& readings, Measurer& measurer,
                      const FlowOptions& options);

}  // namespace orch
