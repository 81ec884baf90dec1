#include "analyzer/info/info_print.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

Json header_json(const HeaderFacts& h) {
    Json config = Json::object();
    for (const auto& [key, value] : h.config)
        config[key] = value;
    return {{"schema", h.schema},
            {"version", h.version},
            {"backend", h.backend},
            {"isa", h.isa},
            {"pid", h.pid},
            {"ppid", h.ppid},
            {"host", h.host},
            {"argv", h.argv},
            {"executable", h.executable},
            {"libraries", h.libraries},
            {"config", config}};
}

Json ledger_json(const LedgerFacts& ledger) {
    Json classes = Json::object();
    for (const ClassLedger& c : ledger.classes) {
        classes[c.name] = {{"seen", c.seen},         {"recorded", c.recorded},
                           {"filtered", c.filtered}, {"dropped", c.dropped},
                           {"in_file", c.in_file},   {"adds_up", c.adds_up()}};
    }
    return {{"final", ledger.is_final},
            {"classes", classes},
            {"lines", ledger.lines},
            {"lost_lines", ledger.lost_lines},
            {"dropped_rows", ledger.dropped_rows},
            {"write_error", ledger.write_error}};
}

Json family_json(const CheckpointFamily& f) {
    return {{"name", f.name},
            {"kinds", f.kinds},
            {"members", f.members},
            {"holes", f.holes},
            {"records", f.records},
            {"records_per_member", {f.fewest, f.most}},
            {"rows", f.rows},
            {"token_idx", {f.first_token, f.last_token}},
            {"dtypes", f.dtypes},
            {"shape", f.shape},
            {"records_with_nonfinite", f.nonfinite}};
}

Json run_json(const RunSummary& run) {
    Json families = Json::array();
    for (const CheckpointFamily& family : run.families)
        families.push_back(family_json(family));
    Json blind_spots = Json::array();
    for (const BlindSpot& spot : run.blind_spots) {
        blind_spots.push_back({{"what", spot.what}, {"why", spot.why}});
    }
    Json settings = Json::array();
    for (const Setting& setting : run.settings)
        settings.push_back({{"op", setting.op}, {"bytes", setting.bytes}});
    return {{"teams", run.teams},
            {"first_line", run.first_line},
            {"last_line", run.last_line},
            {"first_ts", run.first_ts},
            {"last_ts", run.last_ts},
            {"completeness", completeness_name(run.completeness)},
            {"lost_records", run.lost},
            {"findings", run.findings},
            {"blind_spots", blind_spots},
            {"settings", settings},
            {"config_problems", run.config_problems},
            {"header", run.header ? header_json(*run.header) : Json{}},
            {"ledger", run.ledger ? ledger_json(*run.ledger) : Json{}},
            {"records", run.records},
            {"rows", run.rows},
            {"passes", {{"count", run.passes.count}, {"tokens", run.passes.tokens}}},
            {"weights",
             {{"count", run.weights.count},
              {"named", run.weights.named},
              {"named_by_index", run.weights.named_by_index},
              {"nameless", run.weights.nameless()},
              {"dtypes", run.weights.dtypes}}},
            {"checkpoints", families}};
}

}  // namespace

Json info_json(const TraceSummary& trace) {
    Json bad_lines = Json::array();
    for (const BadLine& bad : trace.bad_lines) {
        bad_lines.push_back({{"line", bad.line}, {"why", bad.why}});
    }
    Json runs = Json::array();
    for (const RunSummary& run : trace.runs)
        runs.push_back(run_json(run));
    return {{"path", trace.path},
            {"verdict", trace.verdict()},
            {"index", trace.index.empty() ? Json{} : Json(trace.index)},
            {"completeness", completeness_name(trace.completeness())},
            {"bytes", trace.counts.bytes},
            {"lines", trace.counts.lines},
            {"records", trace.records()},
            {"bad_lines", {{"count", trace.counts.bad_lines}, {"first", bad_lines}}},
            {"truncated", trace.counts.truncated},
            {"runs", runs}};
}

}  // namespace orch
