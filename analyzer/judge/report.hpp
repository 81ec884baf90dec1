// What a comparison found: the one structure that every output format prints (docs/REPORT.md).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace orch {

enum class Verdict { parity, divergence, not_comparable };

/// How good a parity, or how bad a divergence.
enum class Grade {
    identical,     ///< every common digest is the same to the bit
    within_floor,  ///< all differences are explained by the arithmetic named in `precision`
    reasonable,    ///< same sign, size and ranking; under 1 % at the end
    poor,          ///< over 1 %, or another token wins, and no single operation is to blame
    bad,           ///< over 10 %, or another token wins
    none,          ///< not comparable
};

struct EngineFacts {
    std::string team;
    std::string path;
    std::string executable;
    std::string completeness;
    std::vector<std::string> findings;     ///< why incomplete
    std::vector<std::string> blind_spots;  ///< "what: why"
    std::vector<std::string> libraries;    ///< that decide what the numbers are (BLAS, ggml, …)
    std::string precision;                 ///< "f32", "q8_0 weights, f32 activations, f16 KV cache"
    std::uint64_t products = 0;
    std::uint64_t passes = 0;
    std::uint64_t tokens = 0;
    bool names = false;
};

/// A place in a trace that a person can look at.
struct Place {
    std::string path;
    std::uint64_t line = 0;
    std::string checkpoint;
};

struct Signature {
    std::string name = "unknown";  ///< docs/REPORT.md has the list
    double confidence = 0;         ///< 0 to 1
    std::string because;           ///< what in the traces speaks for it
    std::string falsifier;         ///< what to look at, or change, that would refute it
};

struct FirstDivergence {
    std::string team;          ///< the engine that is wrong; empty: undetermined
    std::string team_because;  ///< how that is known: proof, reference, majority
    std::string checkpoint;    ///< "layer_2_attention"
    int layer = -1;
    std::string op;        ///< embedding, attn_norm, q, k, v, o, attention, residual, …
    bool bracket = false;  ///< op is everything between two products
    std::string between;   ///< "the products of q, k, v and o of layer 2"
    std::int64_t token_idx = 0;
    int pass = -1;
    Signature signature;
    std::vector<Signature> also;  ///< other readings, by falling confidence
    double error = 0;             ///< of the output
    double input_error = 0;
    double floor = 0;                   ///< what would have been no news
    std::string floor_from;             ///< "arithmetic of f32 with f16 KV cache", "A/A run"
    std::vector<std::string> evidence;  ///< sentences with numbers
    Place reference;
    Place other;
};

/// One site, over all passes.
struct SiteRow {
    std::string checkpoint;
    int layer = -1;
    std::string op;
    std::string a;  ///< what it is in the reference: "blk.2.attn_q.weight"
    std::string b;  ///< "w17 (rows 0 to 127)"
    std::string evidence;
    std::uint64_t pairs = 0;
    std::optional<double> input_error;  ///< worst over passes and rows; none: not comparable
    std::optional<double> output_error;
    double floor = 0;
    std::optional<double> proof_a;
    std::optional<double> proof_b;
    std::string state;  ///< "same", "ok", "inherited", "FIRST", "after", "not measured"
};

struct LayerDrift {
    int layer = 0;
    double error = 0;   ///< relative, of what enters the layer's last site
    double growth = 0;  ///< against the layer before
};

struct Drift {
    std::vector<LayerDrift> layers;
    std::string kind;  ///< growing, stable, shrinking, too few layers
    std::string meaning;
};

/// One position with logits in both.
struct TokenRow {
    std::int64_t position = 0;
    std::int64_t argmax_a = -1;
    std::int64_t argmax_b = -1;
    std::string flip;               ///< "", "tie", "hard"
    std::optional<double> error;    ///< relative L2 of the logits, from values or sketches
    std::optional<double> max_abs;  ///< these need whole vectors
    std::optional<double> mean_abs;
    std::optional<double> max_rel;
    std::optional<double> margin;  ///< reference: best minus second
    std::optional<double> kl;
    std::optional<double> top5;  ///< share in common
    std::optional<double> top10;
    std::uint64_t garbage_a = 0;
    std::uint64_t garbage_b = 0;
    std::string skipped;  ///< why this position takes no part, else empty
    double expected = 0;  ///< of `error`, from what enters and the arithmetic
    double size = 0;      ///< root of the mean square of the reference's logits
};

struct LedgerRow {
    std::string team;
    std::uint64_t total = 0;
    std::uint64_t matched = 0;
    std::uint64_t merged = 0;
    std::uint64_t unmatched = 0;
    std::map<std::string, std::uint64_t> dropped;
    std::vector<std::string> unmatched_first;  ///< the first few: "file:line gemm.000012: why"
    bool adds_up = true;
};

/// Two engines.
struct PairReport {
    Verdict verdict = Verdict::not_comparable;
    Grade grade = Grade::none;
    std::string headline;              ///< one sentence
    std::vector<std::string> reasons;  ///< why not comparable, or what limits the verdict
    std::vector<std::string> notes;
    std::string precision;  ///< what explains the differences: "f16 KV cache", "bf16 against f32"
    EngineFacts a;
    EngineFacts b;
    std::optional<FirstDivergence> first_divergence;
    std::uint64_t weights_matched = 0;
    std::uint64_t weights_a = 0;
    std::uint64_t weights_b = 0;
    std::uint64_t weights_found_a = 0;  ///< of weights_a, those in a match
    std::uint64_t weights_found_b = 0;
    std::vector<std::string> weights_changed;  ///< sentences
    std::vector<SiteRow> sites;
    Drift drift;
    std::vector<TokenRow> tokens;
    LedgerRow ledger_a;
    LedgerRow ledger_b;
    double worst_error = 0;   ///< at the logits, else at the last common site
    bool calibrated = false;  ///< floors come from a run of the user's
};

/// Two or more engines; the first is the reference.
struct Report {
    Verdict verdict = Verdict::not_comparable;
    std::string headline;
    std::vector<PairReport> pairs;  ///< reference against each other
    /// N engines: relative distances at the logits (else the last common site), NaN: none.
    std::vector<std::string> teams;
    std::vector<std::vector<double>> matrix;
    std::string medoid;
    std::string outlier;  ///< empty: none
    std::string outlier_because;
    std::string baseline;  ///< the engine that is taken for the most accurate
    std::string nearest;   ///< to the baseline
    std::vector<std::vector<std::string>> shared_libraries;  ///< groups of teams counted once
    struct Outlier {
        std::string checkpoint;
        std::string team;
        double ratio = 0;
    };
    std::vector<Outlier> outliers;  ///< by checkpoint
};

}  // namespace orch
