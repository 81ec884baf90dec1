#include "analyzer/info/trace_summary.hpp"

#include <fmt/format.h>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

std::uint64_t count_at(object json, std::string_view key) {
    std::uint64_t value = 0;
    return json.at_key(key).get(value) == simdjson::SUCCESS ? value : 0;
}

std::vector<std::string> strings_at(const Record& record, std::string_view key) {
    std::vector<std::string> result;
    array list;
    if (record.json().at_key(key).get(list) != simdjson::SUCCESS) return result;
    for (element item : list) {
        std::string_view text;
        if (item.get(text) == simdjson::SUCCESS) result.emplace_back(text);
    }
    return result;
}

/// Paths, bare or as {"path":…}.
std::vector<std::string> libraries_of(const Record& record) {
    std::vector<std::string> result = strings_at(record, "libraries");
    array list;
    if (record.json().at_key("libraries").get(list) != simdjson::SUCCESS) return result;
    for (element item : list) {
        std::string_view path;
        if (item.is_object() && item["path"].get(path) == simdjson::SUCCESS) {
            result.emplace_back(path);
        }
    }
    return result;
}

HeaderFacts header_of(const Record& record) {
    HeaderFacts facts;
    facts.schema = record.integer("schema").value_or(0);
    facts.pid = record.integer("pid").value_or(0);
    facts.ppid = record.integer("ppid").value_or(0);
    facts.version = record.string("version");
    facts.host = record.string("host");
    facts.executable = record.string("executable");
    facts.isa = record.string("isa");
    facts.backend = record.string("backend");
    facts.argv = strings_at(record, "argv");
    facts.libraries = libraries_of(record);
    object config;
    if (record.json().at_key("config").get(config) == simdjson::SUCCESS) {
        for (const auto [key, value] : config) {
            std::string_view text;
            const bool is_text = value.get(text) == simdjson::SUCCESS;
            facts.config.emplace_back(key, is_text ? std::string{text} : simdjson::minify(value));
        }
    }
    return facts;
}

LedgerFacts ledger_of(const Record& record) {
    LedgerFacts facts;
    const object json = record.json();
    bool is_final = false;
    facts.is_final = json.at_key("final").get(is_final) == simdjson::SUCCESS && is_final;
    facts.lines = count_at(json, "lines");
    facts.lost_lines = count_at(json, "lost_lines");
    facts.dropped_rows = count_at(json, "dropped_rows");
    facts.write_error = record.string("write_error");
    // Rows are no class of their own: none is ever filtered.
    const std::uint64_t rows = count_at(json, "row_lines");
    object classes;
    if (json.at_key("classes").get(classes) == simdjson::SUCCESS) {
        for (const auto [name, value] : classes) {
            object counts;
            if (value.get(counts) != simdjson::SUCCESS) continue;
            facts.classes.push_back({std::string{name}, count_at(counts, "seen"),
                                     count_at(counts, "recorded"), count_at(counts, "filtered"),
                                     count_at(counts, "dropped"), 0});
        }
    }
    facts.classes.push_back({"row", rows, rows, 0, 0, 0});
    return facts;
}

/// One run under construction.
struct OpenRun {
    RunSummary summary;
    FamilyCollector families;
    std::map<std::string, std::uint64_t, std::less<>> lines_of_class;

    void add(const Record& record) {
        const std::string_view kind = record.kind();
        const std::string_view ts = record.string("ts");
        if (summary.first_line == 0) {
            summary.first_line = record.line();
            summary.first_ts = ts;
        }
        summary.last_line = record.line();
        if (!ts.empty()) summary.last_ts = ts;
        add_once(summary.teams, record.string("team"));
        if (kind == "ledger") {
            summary.ledger = ledger_of(record);
            return;
        }
        ++summary.lines;
        if (kind == "header") {
            summary.header = header_of(record);
            summary.config_problems = strings_at(record, "problems");
        } else if (kind == "blind_spot") {
            summary.blind_spots.push_back(
                {std::string{record.string("what")}, std::string{record.string("why")}});
        } else {
            count(record, kind.empty() ? "log" : kind);
        }
    }

    void count(const Record& record, std::string_view kind) {
        const auto found = lines_of_class.find(kind);
        ++(found != lines_of_class.end() ? found->second : lines_of_class[std::string{kind}]);
        if (kind == "weight") {
            ++summary.weights.count;
            if (record.has("name")) ++summary.weights.named;
            ++summary.weights.dtypes[std::string{record.string("dtype")}];
        } else if (kind == "pass") {
            ++summary.passes.count;
            summary.passes.tokens += count_at(record.json(), "n_tokens");
        } else {
            families.add(record);
            ++(kind == "row" ? summary.rows : summary.records);
        }
    }

    RunSummary finish() {
        summary.families = families.finish();
        if (summary.ledger) {
            for (ClassLedger& counts : summary.ledger->classes) {
                const auto found = lines_of_class.find(counts.name);
                counts.in_file = found != lines_of_class.end() ? found->second : 0;
            }
        }
        judge_completeness(summary);
        return std::move(summary);
    }
};

/// A header starts a run. So does a line of another team behind a run that has a header: orchtrace
/// writes one team only, so another logger appended to its file.
bool starts_run(const OpenRun& current, const Record& record) {
    if (record.kind() == "header") return true;
    const RunSummary& run = current.summary;
    return run.header && record.kind().empty() && record.string("team") != run.teams.front();
}

}  // namespace

std::uint64_t TraceSummary::records() const {
    std::uint64_t sum = 0;
    for (const RunSummary& run : runs)
        sum += run.records;
    return sum;
}

TraceSummary summarize(const std::filesystem::path& path) {
    TraceSummary trace;
    trace.path = path.string();
    std::optional<OpenRun> open;
    const auto on_record = [&](const Record& record) {
        if (open && starts_run(*open, record)) {
            trace.runs.push_back(open->finish());
            open.reset();
        }
        if (!open) open.emplace();
        open->add(record);
    };
    const auto on_bad_line = [&](const BadLine& bad) {
        if (trace.bad_lines.size() < max_bad_lines_shown) trace.bad_lines.push_back(bad);
    };
    trace.counts = for_each_record(path, on_record, on_bad_line);
    if (open) trace.runs.push_back(open->finish());
    return trace;
}

}  // namespace orch
