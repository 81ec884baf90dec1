#include "analyzer/info/trace_summary.hpp"

#include <fmt/format.h>

#include <unordered_set>

#include "analyzer/read/json_parser.hpp"
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

std::vector<std::string> strings_at(object json, std::string_view key) {
    std::vector<std::string> result;
    array list;
    if (json.at_key(key).get(list) != simdjson::SUCCESS) return result;
    for (const element item : list) {
        std::string_view text;
        if (item.get(text) == simdjson::SUCCESS) result.emplace_back(text);
    }
    return result;
}

/// Paths, bare or as {"path":…}.
std::vector<std::string> libraries_of(object json) {
    std::vector<std::string> result = strings_at(json, "libraries");
    array list;
    if (json.at_key("libraries").get(list) != simdjson::SUCCESS) return result;
    for (const element item : list) {
        std::string_view path;
        if (item.is_object() && item["path"].get(path) == simdjson::SUCCESS) {
            result.emplace_back(path);
        }
    }
    return result;
}

HeaderFacts header_of(object json) {
    HeaderFacts facts;
    facts.schema = integer_at(json, "schema", 0);
    facts.pid = integer_at(json, "pid", 0);
    facts.ppid = integer_at(json, "ppid", 0);
    facts.version = string_at(json, "version");
    facts.host = string_at(json, "host");
    facts.executable = string_at(json, "executable");
    facts.isa = string_at(json, "isa");
    facts.backend = string_at(json, "backend");
    facts.argv = strings_at(json, "argv");
    facts.libraries = libraries_of(json);
    object config;
    if (json.at_key("config").get(config) == simdjson::SUCCESS) {
        for (const auto [key, value] : config) {
            std::string_view text;
            const bool is_text = value.get(text) == simdjson::SUCCESS;
            facts.config.emplace_back(key, is_text ? std::string{text} : simdjson::minify(value));
        }
    }
    return facts;
}

LedgerFacts ledger_of(object json) {
    LedgerFacts facts;
    bool is_final = false;
    facts.is_final = json.at_key("final").get(is_final) == simdjson::SUCCESS && is_final;
    facts.lines = count_at(json, "lines");
    facts.lost_lines = count_at(json, "lost_lines");
    facts.dropped_rows = count_at(json, "dropped_rows");
    facts.write_error = string_at(json, "write_error");
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

/// One run under construction. Lines that the index knows well enough are not parsed.
class RunSummarizer {
  public:
    RunSummarizer(const Trace& trace, std::span<const Entry> entries, const RunNames* names)
        : trace_(trace), entries_(entries), names_(names), families_(trace, names) {}

    RunSummary run() {
        for (const Entry& entry : entries_)
            add(entry);
        summary_.first_line = entries_.front().line;
        summary_.last_line = entries_.back().line;
        summary_.first_ts = ts_of(entries_.front());
        summary_.last_ts = last_ts();
        summary_.families = families_.finish();
        if (summary_.ledger) {
            for (ClassLedger& counts : summary_.ledger->classes) {
                const auto found = lines_of_class_.find(counts.name);
                counts.in_file = found != lines_of_class_.end() ? found->second : 0;
            }
        }
        judge_completeness(summary_);
        return std::move(summary_);
    }

  private:
    void add(const Entry& entry) {
        if (&entry == entries_.data() || entry.team != last_team_) {
            last_team_ = entry.team;
            if (teams_.insert(entry.team).second)
                summary_.teams.emplace_back(trace_.string(entry.team));
        }
        if (entry.kind == RecordKind::ledger) {
            summary_.ledger = ledger_of(parsed(entry));
            return;
        }
        ++summary_.lines;
        switch (entry.kind) {
            case RecordKind::header:
                summary_.header = header_of(parsed(entry));
                summary_.config_problems = strings_at(json_, "problems");
                break;
            case RecordKind::blind_spot:
                parsed(entry);
                summary_.blind_spots.push_back(
                    {std::string{string_at(json_, "what")}, std::string{string_at(json_, "why")}});
                break;
            case RecordKind::setting:
                parsed(entry);
                summary_.settings.push_back(
                    {std::string{string_at(json_, "op")}, count_at(json_, "bytes")});
                break;
            case RecordKind::weight:
                ++class_count("weight");
                add_weight(entry);
                break;
            case RecordKind::pass:
                ++class_count("pass");
                ++summary_.passes.count;
                summary_.passes.tokens += count_at(parsed(entry), "n_tokens");
                break;
            default:
                add_values(entry);
        }
    }

    void add_weight(const Entry& entry) {
        WeightFacts& weights = summary_.weights;
        ++weights.count;
        if (parsed(entry).at_key("name").error() == simdjson::SUCCESS) {
            ++weights.named;
        } else if (names_ != nullptr && names_->weights.contains(entry.weight)) {
            ++weights.named_by_index;
        }
        ++weights.dtypes[std::string{trace_.string(entry.dtype)}];
    }

    void add_values(const Entry& entry) {
        const std::string_view kind = entry.kind == RecordKind::other
                                          ? string_at(parsed(entry), "kind")
                                          : kind_name(entry.kind);
        ++class_count(kind);
        families_.add(entry, kind);
        ++(entry.kind == RecordKind::row ? summary_.rows : summary_.records);
    }

    std::uint64_t& class_count(std::string_view name) {
        const auto found = lines_of_class_.find(name);
        return found != lines_of_class_.end() ? found->second : lines_of_class_[std::string{name}];
    }

    /// An empty object where a number of the line turns out to be none.
    object parsed(const Entry& entry) {
        const std::string_view line = trace_.text(entry);
        const bool is_object =
            parser_.parse(line.data(), line.size(), false).get(json_) == simdjson::SUCCESS;
        if (!is_object) json_ = parser_.parse(std::string_view{"{}"}).get_object().value();
        return json_;
    }

    std::string_view ts_of(const Entry& entry) { return string_at(parsed(entry), "ts"); }

    std::string_view last_ts() {
        for (std::size_t i = entries_.size(); i-- > 0;) {
            if (trace_.text(entries_[i]).find("ts") == std::string_view::npos) continue;
            const std::string_view ts = ts_of(entries_[i]);
            if (!ts.empty()) return ts;
        }
        return summary_.first_ts;
    }

    const Trace& trace_;
    const std::span<const Entry> entries_;
    const RunNames* names_;
    RunSummary summary_;
    FamilyCollector families_;
    std::map<std::string, std::uint64_t, std::less<>> lines_of_class_;
    std::unordered_set<StringId> teams_;
    StringId last_team_ = 0;
    simdjson::dom::parser parser_;
    object json_;
};

}  // namespace

std::uint64_t TraceSummary::records() const {
    std::uint64_t sum = 0;
    for (const RunSummary& run : runs)
        sum += run.records;
    return sum;
}

TraceSummary summarize(const Trace& trace, const GivenNames& names) {
    TraceSummary summary;
    summary.path = trace.path();
    summary.index = names.source;
    summary.counts = trace.counts();
    summary.bad_lines = trace.bad_lines();
    for (const RunRange& run : trace.runs()) {
        const auto entries = trace.entries().subspan(run.begin, run.end - run.begin);
        const RunNames* given = names.of_run(summary.runs.size());
        summary.runs.push_back(RunSummarizer{trace, entries, given}.run());
    }
    return summary;
}

}  // namespace orch
