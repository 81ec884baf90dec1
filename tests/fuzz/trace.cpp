// Any bytes as a trace: its index, against a parser that is given every line, and all its records.
#include "analyzer/read/trace.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "analyzer/read/records.hpp"
#include "analyzer/read/unpack.hpp"
#include "tests/fuzz/file_in_memory.hpp"
#include "tests/fuzz/same_facts.hpp"

namespace {

using orch::Entry;
using orch::Trace;
using orch::fuzz::require;

void check_runs(const Trace& trace) {
    std::size_t end = 0;
    for (const orch::RunRange& run : trace.runs()) {
        require(run.begin == end && run.begin < run.end, "runs stand one behind the other");
        end = run.end;
    }
    require(end == trace.entries().size(), "every entry is of a run");
}

/// The index kept of a line what a parser finds in it.
void check_entry(const Trace& trace, const Entry& entry) {
    static orch::LineParser parser;
    orch::LineFacts facts;
    if (!parser.parse(trace.text(entry), facts).empty()) return;
    orch::fuzz::require_same_facts(entry, facts.entry);
    const auto is = [&](orch::StringId id, std::string_view text) {
        return trace.string(id) == text && trace.find(text) == id;
    };
    require(is(entry.team, facts.team), "same team");
    require(is(entry.checkpoint, facts.checkpoint), "same checkpoint");
    require(is(entry.weight, facts.weight), "same weight");
    require(is(entry.dtype, facts.dtype), "same dtype");
    require(is(entry.shape, facts.shape), "same shape");
}

/// As the kind of every kind: nothing says that a line is what it calls itself.
void parse(orch::RecordParser& parser, const Entry& entry) {
    (void)parser.call(entry);
    const bool is_bad = !parser.problem().empty();
    (void)parser.row(entry);
    (void)parser.weight(entry).is_activation();
    (void)parser.pass(entry);
    require(is_bad == !parser.problem().empty(), "a record is bad or not, whatever is asked for");
}

using Values = std::map<std::uint64_t, std::vector<double>>;  // by line

struct Parsed {
    std::uint64_t lines = 0;
    std::uint64_t blank_lines = 0;
    Values values;  ///< of the lines that are records
};

/// What the format says a record is, and nothing clever.
void parse_line(simdjson::dom::parser& parser, std::string_view line, Parsed& parsed) {
    ++parsed.lines;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
        ++parsed.blank_lines;
        return;
    }
    simdjson::dom::object record;
    std::string_view checkpoint;
    if (parser.parse(line).get(record) != simdjson::SUCCESS ||
        record.at_key("checkpoint").get(checkpoint) != simdjson::SUCCESS) {
        return;
    }
    std::vector<double>& values = parsed.values[parsed.lines];
    simdjson::dom::array list;
    if (record.at_key("values").get(list) != simdjson::SUCCESS) return;
    for (const simdjson::dom::element element : list) {
        double value = NAN;
        values.push_back(element.get(value) == simdjson::SUCCESS ? value : NAN);
    }
}

Parsed parse_all(std::string_view text) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    Parsed parsed;
    simdjson::dom::parser parser;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        parse_line(parser, text.substr(0, end), parsed);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parsed;
}

bool same_value(double quick, double thorough) {
    return quick == thorough || (std::isnan(thorough) && !std::isfinite(quick));
}

/// Both read the same lines; the index may take more, whose numbers turn out to be none.
void compare(const Trace& trace, std::string_view text) {
    const Parsed thorough = parse_all(text);
    require(trace.counts().lines == thorough.lines, "same number of lines");
    require(trace.counts().blank_lines == thorough.blank_lines, "same number of blank lines");
    orch::RecordParser parser{trace};
    std::size_t found = 0;
    for (const Entry& entry : trace.entries()) {
        const auto wanted = thorough.values.find(entry.line);
        parse(parser, entry);
        require((wanted == thorough.values.end()) == !parser.problem().empty(),
                "same records are bad");
        if (wanted == thorough.values.end()) continue;
        ++found;
        const std::vector<double> values = parser.values(entry);
        require(values.size() == wanted->second.size(), "same number of values");
        for (std::size_t i = 0; i < values.size(); ++i)
            require(same_value(values[i], wanted->second[i]), "same values");
    }
    require(found == thorough.values.size(), "no record is missing in the index");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = orch::fuzz::as_text(data, size);
    if (orch::is_archive(text)) return 0;  // archive.cpp
    const orch::fuzz::FileInMemory file{text};
    const Trace trace{file.path(), {.threads = 1, .sidecar_index = false}};
    const orch::ReadCounts& counts = trace.counts();
    require(counts.bytes == size, "every byte is counted");
    require(counts.records == trace.entries().size(), "every record has an entry");
    require(counts.lines == counts.records + counts.bad_lines + counts.blank_lines,
            "a line is a record, bad or blank");
    require(trace.bad_lines().size() <= counts.bad_lines, "no more bad lines than were counted");
    check_runs(trace);
    std::uint64_t line = 0;
    std::uint64_t end = 0;
    for (const Entry& entry : trace.entries()) {
        require(entry.line > line && entry.offset >= end, "entries stand in the order of the file");
        line = entry.line;
        end = entry.offset + entry.length;
        require(end <= size, "an entry is in the file");
        require(trace.text(entry).find('\n') == std::string_view::npos, "an entry is one line");
        check_entry(trace, entry);
    }
    for (const orch::RunRange& run : trace.runs()) {
        for (const Entry* row : trace.rows_of(run, trace.entries()[run.begin].call))
            require(row->kind == orch::RecordKind::row, "rows are rows");
    }
    compare(trace, text);
    return 0;
}
