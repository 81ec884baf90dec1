#include <algorithm>

#include "analyzer/report/escape.hpp"
#include "analyzer/report/numbers.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

Json message(const std::string& text) {
    return {{"text", text}};
}

Json location(const Place& place) {
    Json physical{{"artifactLocation", {{"uri", uri_of_path(place.path)}}}};
    if (place.line > 0) physical["region"] = {{"startLine", place.line}};
    Json result{{"physicalLocation", physical}};
    if (!place.checkpoint.empty()) {
        result["logicalLocations"] = Json::array({{{"name", place.checkpoint}}});
    }
    return result;
}

/// Where nothing is blamed, the traces as a whole are what the reader can look at.
Place first_place(const PairReport& pair) {
    if (pair.first_divergence && !pair.first_divergence->other.path.empty()) {
        return pair.first_divergence->other;
    }
    return {pair.b.path, 0, {}};
}

Json related(const PairReport& pair) {
    Json list = Json::array();
    if (!pair.first_divergence || pair.first_divergence->reference.path.empty()) return list;
    Json place = location(pair.first_divergence->reference);
    place["id"] = 1;
    place["message"] = message("the same operation in the reference, " + pair.a.team);
    list.push_back(place);
    return list;
}

std::string rule_of(const PairReport& pair) {
    return pair.first_divergence ? pair.first_divergence->signature.name : "no_single_operation";
}

std::string text_of(const PairReport& pair) {
    std::string text = pair.headline;
    if (!pair.first_divergence) return text;
    for (const std::string& sentence : pair.first_divergence->evidence)
        text += '\n' + sentence;
    return text;
}

Json result_json(const PairReport& pair, std::size_t rule) {
    Json properties{{"grade", grade_name(pair.grade)}};
    std::string fingerprint = pair.b.team + "|" + rule_of(pair);
    if (pair.first_divergence) {
        const FirstDivergence& first = *pair.first_divergence;
        fingerprint += '|' + first.checkpoint;
        properties["team"] = first.team;
        properties["checkpoint"] = first.checkpoint;
        properties["token_idx"] = first.token_idx;
        properties["error"] = json_number(first.error);
        properties["floor"] = json_number(first.floor);
        properties["confidence"] = json_number(first.signature.confidence);
    }
    return {{"ruleId", rule_of(pair)},
            {"ruleIndex", rule},
            {"level", "error"},
            {"message", message(text_of(pair))},
            {"locations", Json::array({location(first_place(pair))})},
            {"relatedLocations", related(pair)},
            {"partialFingerprints", {{"orchtraceSite/v1", fingerprint}}},
            {"properties", properties}};
}

Json rule_json(const PairReport& pair) {
    Json rule{{"id", rule_of(pair)},
              {"shortDescription", message("bug signature: " + rule_of(pair))}};
    if (pair.first_divergence && !pair.first_divergence->signature.falsifier.empty()) {
        rule["help"] = message(pair.first_divergence->signature.falsifier);
    }
    return rule;
}

}  // namespace

Json report_sarif(const Report& report) {
    Json rules = Json::array();
    Json results = Json::array();
    Json notifications = Json::array();
    std::vector<std::string> ids;
    for (const PairReport& pair : report.pairs) {
        if (pair.verdict == Verdict::not_comparable) {
            notifications.push_back({{"level", "error"}, {"message", message(pair.headline)}});
        }
        if (pair.verdict != Verdict::divergence) continue;
        const auto known = std::find(ids.begin(), ids.end(), rule_of(pair));
        const auto index = static_cast<std::size_t>(known - ids.begin());
        if (known == ids.end()) {
            ids.push_back(rule_of(pair));
            rules.push_back(rule_json(pair));
        }
        results.push_back(result_json(pair, index));
    }
    const Json invocation{{"executionSuccessful", report.verdict != Verdict::not_comparable},
                          {"toolExecutionNotifications", notifications}};
    const Json driver{{"name", "orchtrace"}, {"version", ORCH_VERSION}, {"rules", rules}};
    const Json run{{"tool", {{"driver", driver}}},
                   {"invocations", Json::array({invocation})},
                   {"results", results}};
    return {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
            {"version", "2.1.0"},
            {"runs", Json::array({run})}};
}

}  // namespace orch
