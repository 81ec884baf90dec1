#include "analyzer/align/align_print.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

Json engine_json(const EngineTrace& engine) {
    return {{"team", engine.team},
            {"path", engine.path},
            {"completeness", completeness_name(engine.facts.completeness)},
            {"products", engine.products.size()},
            {"passes", engine.passes.size()},
            {"weights", engine.weights.size()}};
}

Json pass_json(const PassPair& pass) {
    return {{"a", pass.chunks_a},
            {"b", pass.chunks_b},
            {"first_position", pass.first_position},
            {"tokens", pass.tokens},
            {"evidence", evidence_text(pass.evidence)}};
}

Json ids_json(const EngineTrace& engine, const std::vector<int>& weights) {
    Json ids = Json::array();
    for (const int weight : weights)
        ids.push_back(engine.weights[at(weight)].record.id);
    return ids;
}

Json weight_json(const Alignment& alignment, const WeightMatch& match) {
    return {{"label", match.label},
            {"layer", match.role.layer},
            {"part", part_name(match.role.part)},
            {"a", ids_json(*alignment.a, match.a)},
            {"b", ids_json(*alignment.b, match.b)},
            {"distance", match.distance},
            {"runner_up", match.runner_up},
            {"expected", match.expected},
            {"content", content_name(match.content)},
            {"rows", row_order_name(match.rows)},
            {"rows_text", match.rows_text}};
}

Json calls_json(const EngineTrace& engine, const std::vector<std::size_t>& products) {
    Json calls = Json::array();
    for (const std::size_t product : products) {
        const Entry& entry = engine.entry(engine.products[product]);
        calls.push_back({{"line", entry.line},
                         {"call", entry.call},
                         {"checkpoint", engine.trace->string(entry.checkpoint)}});
    }
    return calls;
}

Json product_json(const Alignment& alignment, const ProductPair& pair) {
    Json json{{"match", pair.match},
              {"a", calls_json(*alignment.a, pair.a)},
              {"b", calls_json(*alignment.b, pair.b)},
              {"evidence", evidence_text(pair.evidence)}};
    if (pair.wrong_match >= 0) json["wrong_match"] = pair.wrong_match;
    return json;
}

Json site_json(const Alignment& alignment, const Site& site) {
    Json json{{"pass", site.pass},
              {"layer", site.layer},
              {"part", part_name(site.part)},
              {"label", site.label}};
    if (site.tensor >= 0) {
        const TensorPair& tensor = alignment.tensors[at(site.tensor)];
        json["token_idx"] = tensor.token_idx;
        json["line_a"] = alignment.a->trace->entries()[tensor.a].line;
        json["line_b"] = alignment.b->trace->entries()[tensor.b].line;
        return json;
    }
    json["products"] = Json::array();
    for (const std::size_t product : site.products)
        json["products"].push_back(product_json(alignment, alignment.products[product]));
    return json;
}

Json ledger_json(const EngineTrace& engine, const SideLedger& ledger) {
    Json unmatched = Json::array();
    for (const Unmatched& one : ledger.unmatched) {
        const Entry& entry = engine.trace->entries()[one.entry];
        unmatched.push_back({{"line", entry.line},
                             {"checkpoint", engine.trace->string(entry.checkpoint)},
                             {"why", one.why}});
    }
    return {{"total", ledger.total},   {"matched", ledger.matched},
            {"merged", ledger.merged}, {"dropped", ledger.dropped},
            {"unmatched", unmatched},  {"adds_up", ledger.adds_up()}};
}

template <class Items, class Print>
Json list_json(const Items& items, const Print& print) {
    Json list = Json::array();
    for (const auto& item : items)
        list.push_back(print(item));
    return list;
}

}  // namespace

std::string_view content_name(Content content) {
    switch (content) {
        case Content::same_bits:
            return "same bits";
        case Content::equal:
            return "equal";
        case Content::rounding:
            return "rounding";
        case Content::changed:
            return "changed";
        case Content::unknown:
            break;
    }
    return "unknown";
}

std::string_view row_order_name(RowOrder order) {
    switch (order) {
        case RowOrder::same:
            return "same";
        case RowOrder::permuted:
            return "permuted";
        case RowOrder::unknown:
            break;
    }
    return "unknown";
}

nlohmann::ordered_json align_json(const Alignment& alignment) {
    return {
        {"schema_version", align_schema_version},
        {"comparable", alignment.not_comparable.empty()},
        {"not_comparable", alignment.not_comparable},
        {"notes", alignment.notes},
        {"engines", {engine_json(*alignment.a), engine_json(*alignment.b)}},
        {"passes", list_json(alignment.passes, pass_json)},
        {"weights", list_json(alignment.weights,
                              [&](const auto& match) { return weight_json(alignment, match); })},
        {"lone_weights",
         {ids_json(*alignment.a, alignment.lone_weights_a),
          ids_json(*alignment.b, alignment.lone_weights_b)}},
        {"sites",
         list_json(alignment.sites, [&](const auto& site) { return site_json(alignment, site); })},
        {"ledgers",
         {ledger_json(*alignment.a, alignment.ledger_a),
          ledger_json(*alignment.b, alignment.ledger_b)}}};
}

}  // namespace orch
