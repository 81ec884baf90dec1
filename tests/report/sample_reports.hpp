// Reports made by hand, for the printers.
#pragma once
#include <cmath>
#include <limits>
#include <string>

#include "analyzer/judge/report.hpp"

namespace orch {

inline EngineFacts engine(const std::string& team, const std::string& path, bool names) {
    EngineFacts facts;
    facts.team = team;
    facts.path = path;
    facts.executable = names ? "node" : "python3.11";
    facts.completeness = "complete";
    facts.libraries = {names ? "libggml-cpu.so" : "libopenblas.so.0"};
    facts.precision = names ? "f32, f16 KV cache" : "f32";
    facts.products = names ? 232 : 488;
    facts.passes = 8;
    facts.tokens = 27;
    facts.names = names;
    return facts;
}

inline SiteRow site(const std::string& checkpoint, int layer, const std::string& op, double in,
                    double out, const std::string& state) {
    SiteRow row;
    row.checkpoint = checkpoint;
    row.layer = layer;
    row.op = op;
    row.a = "blk." + std::to_string(layer) + "." + op + ".weight";
    row.b = "w" + std::to_string(7 * layer);
    row.evidence = "weight, shape, order";
    row.pairs = 8;
    row.input_error = in;
    row.output_error = out;
    row.floor = 2.6e-3;
    row.state = state;
    return row;
}

inline TokenRow token(std::int64_t position, std::int64_t a, std::int64_t b,
                      const std::string& flip, double error) {
    TokenRow row;
    row.position = position;
    row.argmax_a = a;
    row.argmax_b = b;
    row.flip = flip;
    row.error = error;
    return row;
}

/// Two engines, as far as they are the same in every verdict.
inline PairReport sample_pair() {
    PairReport pair;
    pair.a = engine("llama.cpp", "llama.jsonl", true);
    pair.b = engine("pytorch", "torch.jsonl", false);
    pair.weights_matched = 17;
    pair.weights_a = 29;
    pair.weights_b = 17;
    pair.weights_found_a = 29;
    pair.weights_found_b = 17;
    pair.precision = "f16 KV cache against f32";
    pair.ledger_a = {"llama.cpp", 232, 200, 32, 0, {}, {}, true};
    pair.ledger_b = {"pytorch", 488, 200, 32, 0, {{"attention operands", 256}}, {}, true};
    pair.sites = {site("layer_0_qkv", 0, "q", 1.2e-7, 3.1e-7, "ok"),
                  site("layer_0_o", 0, "o", 1.1e-3, 1.3e-3, "ok"),
                  site("layer_1_qkv", 1, "q", 9.1e-4, 8.8e-4, "ok")};
    pair.drift = {{{0, 1.1e-3, 0}, {1, 1.4e-3, 1.27}}, "stable", "no layer adds much"};
    return pair;
}

inline Report one_pair(const PairReport& pair) {
    Report report;
    report.verdict = pair.verdict;
    report.headline = pair.headline;
    report.pairs = {pair};
    return report;
}

inline PairReport parity_pair() {
    PairReport pair = sample_pair();
    pair.verdict = Verdict::parity;
    pair.grade = Grade::within_floor;
    pair.headline = "pytorch computes what llama.cpp computes; an f16 KV cache explains the rest";
    pair.tokens = {token(19, 80, 80, "", 1.0e-3), token(20, 95, 95, "", 1.2e-3),
                   token(21, 309, 309, "", 9.0e-4)};
    pair.worst_error = 1.2e-3;
    return pair;
}

inline PairReport divergent_pair() {
    PairReport pair = sample_pair();
    pair.verdict = Verdict::divergence;
    pair.grade = Grade::bad;
    pair.headline = "pytorch goes wrong in the attention of layer 2, and the rotation looks wrong";
    FirstDivergence first;
    first.team = "pytorch";
    first.team_because = "llama.cpp is the reference";
    first.checkpoint = "layer_2_attention";
    first.layer = 2;
    first.op = "attention";
    first.bracket = true;
    first.between = "the products of q, k, v and o of layer 2";
    first.token_idx = 1;
    first.pass = 0;
    first.signature = {"rope_base", 0.85, "position 0 agrees and the error grows with the position",
                       "log layer_2_q_rope: its first two features agree if this is wrong"};
    first.also = {{"mask", 0.1, "later rows alone differ", "a pass of one token would agree"}};
    first.error = 0.147;
    first.input_error = 3.1e-4;
    first.floor = 2.6e-3;
    first.floor_from = "arithmetic of f32 with an f16 KV cache";
    first.evidence = {"q, k and v of layer 2 agree: error 3.1e-4 in 27 rows",
                      "the input of o differs: 0.147 in row 1, 0.21 in row 16"};
    first.reference = {"llama.jsonl", 312, "gemm.blk.2.attn_output"};
    first.other = {"torch.jsonl", 288, "gemm.000031"};
    pair.first_divergence = first;
    pair.sites.push_back(site("layer_2_attention", 2, "attention", 3.1e-4, 0.147, "FIRST"));
    pair.sites.push_back(site("layer_2_o", 2, "o", 0.147, 0.15, "after"));
    SiteRow dark = site("layer_3_o", 3, "o", 0, 0, "not measured");
    dark.input_error.reset();
    dark.output_error.reset();
    pair.sites.push_back(dark);
    pair.drift = {{{0, 1.1e-3, 0}, {1, 1.4e-3, 1.27}, {2, 0.15, 107}, {3, 0.21, 1.4}},
                  "growing",
                  "the error grows behind layer 2"};
    pair.tokens = {token(19, 80, 80, "", 0.1), token(20, 95, 12, "hard", 0.3),
                   token(21, 309, 310, "tie", 0.2)};
    pair.tokens[1].margin = 1.25;
    pair.tokens[1].kl = 0.02;
    pair.tokens[2].kl = 0.01;
    pair.tokens.push_back(token(0, 1, 2, "hard", 9));
    pair.tokens.back().skipped = "--skip-positions";
    pair.b.blind_spots = {"oneDNN weights: they are in a layout of oneDNN's own"};
    pair.worst_error = 0.3;
    return pair;
}

inline PairReport not_comparable_pair() {
    PairReport pair = sample_pair();
    pair.verdict = Verdict::not_comparable;
    pair.headline = "torch.jsonl is incomplete, so that what is missing could be the fault";
    pair.reasons = {
        "the ledger of torch.jsonl counts 488 records, the file holds 483: trace it again"};
    pair.b.completeness = "incomplete";
    pair.b.findings = {"the ledger counts 488 records of class gemm, the file holds 483"};
    pair.ledger_b = {"pytorch",
                     483,
                     195,
                     32,
                     0,
                     {{"attention operands", 256}},
                     {"torch.jsonl:17 gemm.000003: no such product in llama.cpp"},
                     false};
    pair.sites.clear();
    pair.drift = {};
    return pair;
}

inline Report divergence() {
    return one_pair(divergent_pair());
}
inline Report parity() {
    return one_pair(parity_pair());
}
inline Report not_comparable() {
    return one_pair(not_comparable_pair());
}

inline Report three_engines() {
    PairReport candle = parity_pair();
    candle.b = engine("candle", "candle.jsonl", false);
    candle.headline = "candle computes what llama.cpp computes";
    Report report;
    report.verdict = Verdict::divergence;
    report.headline = "pytorch is the outlier: it goes wrong in the attention of layer 2";
    report.pairs = {candle, divergent_pair()};
    report.teams = {"llama.cpp", "candle", "pytorch"};
    const double none = std::numeric_limits<double>::quiet_NaN();
    report.matrix = {{0, 1.2e-3, 0.3}, {1.2e-3, 0, none}, {0.3, none, 0}};
    report.medoid = "llama.cpp";
    report.outlier = "pytorch";
    report.outlier_because = "its median distance is 250 times that of the others";
    report.baseline = "llama.cpp";
    report.nearest = "candle";
    report.shared_libraries = {{"llama.cpp", "candle"}};
    report.outliers = {{"layer_2_attention", "pytorch", 57}};
    return report;
}

/// Text as no sane engine would give it, in every place that holds text.
inline Report hostile() {
    const std::string long_word(300, 'x');
    const std::string odd = "a\x1b[31m|<b>&\"'\n\xff\xc3 \xe2\x82\xac," + long_word;
    PairReport pair = divergent_pair();
    for (std::string* text :
         {&pair.headline, &pair.precision, &pair.a.team, &pair.b.team, &pair.a.path, &pair.b.path,
          &pair.ledger_a.team, &pair.drift.meaning, &pair.drift.kind}) {
        *text = odd;
    }
    FirstDivergence& first = *pair.first_divergence;
    for (std::string* text :
         {&first.team, &first.team_because, &first.checkpoint, &first.op, &first.between,
          &first.signature.name, &first.signature.because, &first.signature.falsifier,
          &first.floor_from, &first.reference.path, &first.other.checkpoint, &first.evidence[0]}) {
        *text = odd;
    }
    first.error = std::numeric_limits<double>::infinity();
    first.floor = 0;
    for (SiteRow& row : pair.sites)
        row.checkpoint = row.a = row.b = odd;
    pair.reasons = {odd};
    pair.notes = {odd, odd, odd, odd};
    pair.tokens[0].skipped = odd;
    pair.tokens[1].kl = std::numeric_limits<double>::quiet_NaN();
    Report report = three_engines();
    report.headline = odd;
    report.teams = {odd, odd, odd};
    report.outlier = odd;
    report.pairs = {pair, pair};
    return report;
}

}  // namespace orch
