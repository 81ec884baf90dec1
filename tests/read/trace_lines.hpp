// Lines as orchtrace, and as other loggers, write them.
#pragma once
#include <fmt/format.h>

#include <string>
#include <vector>

namespace orch {

inline std::string log_line(int token, const std::string& checkpoint = "logits",
                            const std::string& values = "1.5,-0.0,2e-3") {
    return fmt::format(R"({{"ts":"2026-01-31T12:00:00.123Z","team":"llama.cpp","checkpoint":"{}",)"
                       R"("token_idx":{},"dtype":"f32","shape":"[1,320]","values":[{}]}})",
                       checkpoint, token, values);
}

/// As Python's json.dumps writes it: a space behind each comma and colon.
inline std::string spaced_line(int token) {
    return fmt::format(
        R"({{"ts": "2026-01-31T12:00:00", "team": "torch", "checkpoint": "layer_0_output", )"
        R"("token_idx": {}, "dtype": "f32", "shape": "[1, 8]", "values": [1.0, -2.5, null]}})",
        token);
}

inline const std::string gemm_line =
    R"({"ts":"2026-01-31T12:00:01.624Z","team":"llama.cpp","checkpoint":"gemm.blk.0.attn_q",)"
    R"("token_idx":19,"dtype":"f32","shape":"[20,128]","kind":"gemm","call":17,"pass":2,)"
    R"("name":"Qcur-0","op":"MUL_MAT","positions":"token","first_position":3,"alpha":0.125,)"
    R"("weight":"blk.0.attn_q.weight","x":{"dtype":"f32","rows":20,"cols":96,"energy":2565.127,)"
    R"("sum":89.87926,"mean":0.035,"absmax":3.85,"min":-3.85,"max":3.53,"argmax":2025,)"
    R"("hash":"176fce9d04a9859c","mixed":[-22.38,4.71,-4.6,0.94,-7.6,-1.8,13.76,-14.4,16.6,6.7,)"
    R"(16.3,15.2,-0.69,-9.6,12.96,6.19],"last_row":{"energy":126.15,"sum":-20.2,"absmax":2.68,)"
    R"("max":2.14,"argmax":34,"sketch":[1.35,-1.6,1.7,-0.14,0.86,-1.09,-4.3,-0.94,-2,-2.19,1.93,)"
    R"(0.25,5.49,0.34,3.34,-1.75]}},"y":{"dtype":"f32","rows":20,"cols":128,"energy":2377.1,)"
    R"("sum":null,"mean":-0.04,"absmax":3.1,"min":-3.1,"max":2.94,"argmax":2219,)"
    R"("hash":"04571359904114ca","nan":1,"pos_inf":0,"neg_inf":2,"mixed":[8,-12,-0.8,1.3,-8,)"
    R"(1.5,-7.8,12.2,4.9,5.5,11.2,-5.8,2.6,-2,5.7,-8.6],"last_row":{"energy":121.2,"sum":9.8,)"
    R"("absmax":2.13,"max":2.13,"argmax":28,"sketch":[3,-2,-3,-1,2,-0.1,0.8,4,-2,4.1,-0.7,-3,7,)"
    R"(-1.5,2.4,-3.6]}},"nonfinite":[[1,"nan"],[2,"-inf"]],"values":[1.8366414,null,null,0.5]})";

inline const std::string row_line =
    R"({"ts":"2026-01-31T12:00:00.892Z","team":"engine","checkpoint":"gemm.000000","token_idx":0,)"
    R"("dtype":"f32","shape":"[2,17]","kind":"row","call":0,"x":{"energy":14,"sum":6,"absmax":3,)"
    R"("sketch":[4,-2,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},"y":{"energy":14,"sum":6,"absmax":3,"max":3,)"
    R"("argmax":16,"sketch":[4,-2,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},"values":[1,2,0]})";

inline const std::string weight_line =
    R"({"ts":"2026-01-31T12:00:00.892Z","team":"engine","checkpoint":"weight.w1","token_idx":0,)"
    R"("dtype":"f32","shape":"[17,12]","kind":"weight","weight":"w1","name":"blk.w","energy":17,)"
    R"("sum":17,"absmax":1,"hash":"469c22c6a6800000","sketch":[2,-1,1,1,1,-1,-1,1,1,1,1,1,1,-1,)"
    R"(-1,-1],"row_digests":[{"row":0,"energy":1,"sum":1,"absmax":1,"max":1,"argmax":0,)"
    R"("sketch":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},{"row":16,"energy":2,"sum":1,"absmax":1,)"
    R"("sketch":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}],"values":[1,0,0]})";

inline const std::string pass_line =
    R"({"ts":"2026-01-31T12:00:01.377Z","team":"llama.cpp","checkpoint":"pass","token_idx":20,)"
    R"("dtype":"i32","shape":"[]","kind":"pass","pass":1,"op":"llama_decode","n_tokens":2,)"
    R"("tokens":[80,81],"token_positions":[19,20],"sequences":[0,3],"values":[]})";

inline const std::string header_line =
    R"({"ts":"2026-01-31T12:00:00.892Z","team":"engine","checkpoint":"orchtrace.header",)"
    R"("token_idx":0,"dtype":"","shape":"[]","kind":"header","schema":1,"version":"0.1.0",)"
    R"("pid":24466,"argv":["engine","--model","model.gguf"],"isa":"avx512","config":)"
    R"({"checkpoints":"gemm,layers","values":10},"problems":[],"values":[]})";

inline const std::string ledger_line =
    R"({"ts":"2026-01-31T12:00:02.733Z","team":"llama.cpp","checkpoint":"orchtrace.ledger",)"
    R"("token_idx":0,"dtype":"","shape":"[]","kind":"ledger","final":true,"classes":{"gemm":)"
    R"({"seen":116,"recorded":116,"filtered":0,"dropped":0}},"row_lines":174,"lines":352,)"
    R"("values":[]})";

inline const std::vector<std::string> lines_of_all_kinds = {log_line(7), spaced_line(12), gemm_line,
                                                            row_line,    weight_line,     pass_line,
                                                            header_line, ledger_line};

}  // namespace orch
