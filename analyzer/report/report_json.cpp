// docs/REPORT.md is the contract of what this file writes. Lists are flat, with the number of the
// pair in each row, so that a table needs no nesting.
#include "analyzer/report/numbers.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

Json place_json(const Place& place) {
    return {{"path", place.path}, {"line", place.line}, {"checkpoint", place.checkpoint}};
}

Json signature_json(const Signature& signature) {
    return {{"signature", signature.name},
            {"confidence", json_number(signature.confidence)},
            {"because", signature.because},
            {"falsifier", signature.falsifier}};
}

Json text_or_null(const std::string& text) {
    return text.empty() ? Json{} : Json(text);
}

Json layer_or_null(int layer) {
    return layer < 0 ? Json{} : Json(layer);
}

Json first_json(const std::optional<FirstDivergence>& found) {
    if (!found) return nullptr;
    const FirstDivergence& first = *found;
    Json also = Json::array();
    for (const Signature& other : first.also)
        also.push_back(signature_json(other));
    return {{"team", text_or_null(first.team)},
            {"team_because", first.team_because},
            {"checkpoint", first.checkpoint},
            {"layer", layer_or_null(first.layer)},
            {"op", first.op},
            {"bracket", first.bracket},
            {"between", first.between},
            {"token_idx", first.token_idx},
            {"pass", first.pass < 0 ? Json{} : Json(first.pass)},
            {"signature", first.signature.name},
            {"confidence", json_number(first.signature.confidence)},
            {"because", first.signature.because},
            {"falsifier", first.signature.falsifier},
            {"also", also},
            {"error", json_number(first.error)},
            {"input_error", json_number(first.input_error)},
            {"floor", json_number(first.floor)},
            {"floor_from", first.floor_from},
            {"evidence", first.evidence},
            {"reference", place_json(first.reference)},
            {"other", place_json(first.other)}};
}

Json engine_json(const EngineFacts& engine) {
    return {{"team", engine.team},
            {"path", engine.path},
            {"executable", engine.executable},
            {"completeness", engine.completeness},
            {"findings", engine.findings},
            {"blind_spots", engine.blind_spots},
            {"libraries", engine.libraries},
            {"precision", engine.precision},
            {"products", engine.products},
            {"passes", engine.passes},
            {"tokens", engine.tokens},
            {"names", engine.names}};
}

Json ledger_json(std::size_t pair, std::string_view side, const LedgerRow& row) {
    Json dropped = Json::object();
    for (const auto& [reason, count] : row.dropped)
        dropped[reason] = count;
    return {{"pair", pair},
            {"side", side},
            {"team", row.team},
            {"total", row.total},
            {"matched", row.matched},
            {"merged", row.merged},
            {"unmatched", row.unmatched},
            {"dropped", dropped},
            {"unmatched_first", row.unmatched_first},
            {"adds_up", row.adds_up}};
}

Json pair_json(const PairReport& pair) {
    return {{"reference", pair.a.team},
            {"other", pair.b.team},
            {"verdict", verdict_name(pair.verdict)},
            {"grade", grade_name(pair.grade)},
            {"headline", pair.headline},
            {"reasons", pair.reasons},
            {"notes", pair.notes},
            {"precision", pair.precision},
            {"calibrated", pair.calibrated},
            {"worst_error", json_number(pair.worst_error)},
            {"weights",
             {{"matches", pair.weights_matched},
              {"reference", pair.weights_a},
              {"reference_matched", pair.weights_found_a},
              {"other", pair.weights_b},
              {"other_matched", pair.weights_found_b},
              {"changed", pair.weights_changed}}},
            {"first_divergence", first_json(pair.first_divergence)}};
}

Json site_json(std::size_t pair, const SiteRow& site) {
    return {{"pair", pair},
            {"checkpoint", site.checkpoint},
            {"layer", layer_or_null(site.layer)},
            {"op", site.op},
            {"state", site.state},
            {"reference", site.a},
            {"other", site.b},
            {"pairs", site.pairs},
            {"evidence", site.evidence},
            {"input_error", json_number(site.input_error)},
            {"output_error", json_number(site.output_error)},
            {"floor", json_number(site.floor)},
            {"proof_reference", json_number(site.proof_a)},
            {"proof_other", json_number(site.proof_b)}};
}

Json drift_json(std::size_t pair, const Drift& drift) {
    Json layers = Json::array();
    for (const LayerDrift& layer : drift.layers) {
        layers.push_back({{"layer", layer.layer},
                          {"error", json_number(layer.error)},
                          {"growth", json_number(layer.growth)}});
    }
    return {{"pair", pair}, {"kind", drift.kind}, {"meaning", drift.meaning}, {"layers", layers}};
}

Json token_json(std::size_t pair, const TokenRow& row) {
    const auto token = [](std::int64_t argmax) { return argmax < 0 ? Json{} : Json(argmax); };
    return {{"pair", pair},
            {"token_idx", row.position},
            {"argmax_reference", token(row.argmax_a)},
            {"argmax_other", token(row.argmax_b)},
            {"flip", text_or_null(row.flip)},
            {"error", json_number(row.error)},
            {"max_abs_diff", json_number(row.max_abs)},
            {"mean_abs_diff", json_number(row.mean_abs)},
            {"max_rel_diff", json_number(row.max_rel)},
            {"margin", json_number(row.margin)},
            {"kl", json_number(row.kl)},
            {"top5", json_number(row.top5)},
            {"top10", json_number(row.top10)},
            {"garbage_reference", row.garbage_a},
            {"garbage_other", row.garbage_b},
            {"skipped", text_or_null(row.skipped)}};
}

Json consensus_json(const Report& report) {
    if (report.matrix.empty()) return nullptr;
    Json matrix = Json::array();
    for (const auto& row : report.matrix) {
        Json numbers = Json::array();
        for (const double distance : row)
            numbers.push_back(json_number(distance));
        matrix.push_back(numbers);
    }
    Json outliers = Json::array();
    for (const Report::Outlier& outlier : report.outliers) {
        outliers.push_back({{"checkpoint", outlier.checkpoint},
                            {"team", outlier.team},
                            {"ratio", json_number(outlier.ratio)}});
    }
    return {{"teams", report.teams},
            {"matrix", matrix},
            {"medoid", text_or_null(report.medoid)},
            {"outlier", text_or_null(report.outlier)},
            {"outlier_because", report.outlier_because},
            {"baseline", text_or_null(report.baseline)},
            {"nearest", text_or_null(report.nearest)},
            {"shared_libraries", report.shared_libraries},
            {"outliers", outliers}};
}

}  // namespace

Json report_json(const Report& report) {
    Json engines = Json::array();
    Json pairs = Json::array();
    Json ledger = Json::array();
    Json sites = Json::array();
    Json drift = Json::array();
    Json tokens = Json::array();
    for (std::size_t i = 0; i < report.pairs.size(); ++i) {
        const PairReport& pair = report.pairs[i];
        if (i == 0) engines.push_back(engine_json(pair.a));
        engines.push_back(engine_json(pair.b));
        pairs.push_back(pair_json(pair));
        ledger.push_back(ledger_json(i, "reference", pair.ledger_a));
        ledger.push_back(ledger_json(i, "other", pair.ledger_b));
        drift.push_back(drift_json(i, pair.drift));
        for (const SiteRow& site : pair.sites)
            sites.push_back(site_json(i, site));
        for (const TokenRow& row : pair.tokens)
            tokens.push_back(token_json(i, row));
    }
    const PairReport* deciding = deciding_pair(report);
    return {
        {"schema_version", report_schema_version},
        {"orchtrace", ORCH_VERSION},
        {"verdict", verdict_name(report.verdict)},
        {"headline", report.headline},
        {"first_divergence", deciding == nullptr ? Json{} : first_json(deciding->first_divergence)},
        {"ledger", ledger},
        {"pairs", pairs},
        {"drift", drift},
        {"tokens", tokens},
        {"engines", engines},
        {"sites", sites},
        {"consensus", consensus_json(report)}};
}

std::string document_text(const Json& document) {
    return document.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace orch
