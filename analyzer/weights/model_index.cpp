#include "analyzer/weights/model_index.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view why) {
    throw UnreadableFile(
        fmt::format("{}: {}; make one with 'orchtrace index MODEL'", path.string(), why));
}

void read_fact(simdjson::dom::object model, std::string_view name, std::string& fact) {
    std::string_view text;
    if (model.at_key(name).get(text) == simdjson::SUCCESS) fact = text;
}

/// Numbers of the wrong type stay 0: what an index lacks is not known.
template <class Number>
void read_fact(simdjson::dom::object model, std::string_view name, Number& fact) {
    Number number = 0;
    if (model.at_key(name).get(number) == simdjson::SUCCESS) fact = number;
}

void read_header(std::string_view line, ModelIndex& index) {
    simdjson::dom::parser parser;
    const simdjson::padded_string padded{line};
    simdjson::dom::object header;
    std::string_view backend;
    if (parser.parse(padded).get(header) != simdjson::SUCCESS ||
        header.at_key("backend").get(backend) != simdjson::SUCCESS || backend != "index") {
        fail(index.path, "not an index of a model");
    }
    simdjson::dom::object model;
    if (header.at_key("model").get(model) != simdjson::SUCCESS) return;
    for_each_fact(index.facts,
                  [&](std::string_view name, auto& fact) { read_fact(model, name, fact); });
}

std::uint64_t weights_in_ledger(std::string_view line) {
    simdjson::dom::parser parser;
    const simdjson::padded_string padded{line};
    simdjson::dom::element ledger;
    std::uint64_t recorded = 0;
    bool final = false;
    if (parser.parse(padded).get(ledger) != simdjson::SUCCESS ||
        ledger["final"].get(final) != simdjson::SUCCESS || !final ||
        ledger["classes"]["weight"]["recorded"].get(recorded) != simdjson::SUCCESS) {
        return 0;
    }
    return recorded;
}

}  // namespace

ModelIndex read_index(const std::filesystem::path& path) {
    const Trace trace{path};
    ModelIndex index;
    index.path = path.string();
    const auto entries = trace.entries();
    if (entries.empty() || entries.front().kind != RecordKind::header)
        fail(path, "not an index of a model");
    index.model = trace.string(entries.front().team);
    read_header(trace.text(entries.front()), index);

    RecordParser parser{trace};
    std::uint64_t expected = 0;
    for (const Entry& entry : entries) {
        if (entry.kind == RecordKind::ledger) expected = weights_in_ledger(trace.text(entry));
        if (entry.kind != RecordKind::weight) continue;
        WeightRecord record = parser.weight(entry);
        if (!parser.problem().empty())
            fail(path, fmt::format("line {}: {}", entry.line, parser.problem()));
        const Role role = role_of(record.name);
        index.weights.push_back({std::move(record), role});
    }
    if (trace.counts().bad_lines > 0 || trace.runs().size() != 1 || index.weights.empty() ||
        index.weights.size() != expected) {
        fail(path, fmt::format("damaged: {} of {} weights, {}", index.weights.size(), expected,
                               counted(trace.counts().bad_lines, "bad line")));
    }
    return index;
}

}  // namespace orch
