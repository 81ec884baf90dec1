// show: single records, as a person reads them.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/cli/open_trace.hpp"
#include "analyzer/export/arrays.hpp"
#include "analyzer/util/text.hpp"
#include "core/selector.hpp"

namespace orch {
namespace {

struct Options {
    std::string trace;
    std::string checkpoint;
    std::optional<std::int64_t> token;
    std::optional<std::int64_t> call;
    std::optional<std::int64_t> pass;
    std::optional<std::uint64_t> line;
    std::size_t values = 10;
    std::size_t limit = 10;
    std::string format = "text";
};

bool is_wanted(const Options& options, const Trace& trace, const Entry& entry) {
    if (options.line) return entry.line == *options.line;
    if (!options.checkpoint.empty() &&
        !glob_matches(options.checkpoint, trace.string(entry.checkpoint))) {
        return false;
    }
    return (!options.token || entry.token_idx == *options.token) &&
           (!options.call || entry.call == *options.call) &&
           (!options.pass || entry.pass == *options.pass);
}

void line(std::string& out, std::string_view label, const std::string& text) {
    if (!text.empty()) out += wrapped(fmt::format("  {:<9} ", label), text);
}

std::string numbers(std::span<const double> values, std::size_t most) {
    std::vector<std::string> texts;
    for (const double value : values.first(std::min(values.size(), most)))
        texts.push_back(fmt::format("{:.6g}", value));
    if (values.size() > most) texts.push_back(fmt::format("... {} in all", grouped(values.size())));
    return joined(texts, " ");
}

std::string nonfinite_text(const Nonfinite& counts) {
    if (counts.total() == 0) return {};
    return fmt::format(", {} NaN, {} inf, {} -inf", counts.nan, counts.pos_inf, counts.neg_inf);
}

std::string extremes(const std::optional<double>& min, const std::optional<double>& max,
                     const std::optional<std::int64_t>& argmax) {
    std::string text;
    if (min) text += fmt::format(", min {:.6g}", *min);
    if (max) text += fmt::format(", max {:.6g}", *max);
    if (argmax) text += fmt::format(" at {}", *argmax);
    return text;
}

void row_lines(std::string& out, std::string_view label, const RowDigest& row) {
    line(out, label,
         fmt::format("energy {:.6g}, sum {:.6g}, absmax {:.6g}{}{}", row.energy, row.sum,
                     row.absmax, extremes({}, row.max, row.argmax), nonfinite_text(row.nonfinite)));
    if (row.sketch) line(out, "  sketch", numbers(*row.sketch, row.sketch->size()));
}

void side_lines(std::string& out, std::string_view label, const Side& side) {
    line(
        out, label,
        fmt::format("{} [{},{}], energy {:.6g}, sum {:.6g}, absmax {:.6g}{}{}{}",
                    printable(side.dtype), side.rows, side.cols, side.energy, side.sum, side.absmax,
                    extremes(side.min, side.max, side.argmax), nonfinite_text(side.nonfinite),
                    side.hash ? fmt::format(", hash {:016x}", *side.hash) : ""));
    if (side.mixed) line(out, "  mixed", numbers(*side.mixed, side.mixed->size()));
    if (side.last_row) row_lines(out, "  last row", *side.last_row);
}

void call_lines(std::string& out, const CallRecord& call, std::string_view weight) {
    std::vector<std::string> facts;
    if (!call.op.empty()) facts.push_back(call.op);
    if (!call.name.empty()) facts.push_back("named " + call.name);
    if (!weight.empty()) facts.push_back(fmt::format("weight {}", weight));
    if (!call.caller.empty()) facts.push_back("called by " + call.caller);
    line(out, "by", printable(joined(facts, ", ")));
    if (call.x) side_lines(out, "x", *call.x);
    side_lines(out, "y", call.y);
    if (call.proof) {
        line(out, "proof",
             fmt::format("error {:.3g}, worst {:.3g}", call.proof->error, call.proof->worst));
    }
}

void row_record_lines(std::string& out, const RowRecord& row) {
    if (row.x) row_lines(out, "x", *row.x);
    row_lines(out, "y", row.y);
}

void weight_lines(std::string& out, const WeightRecord& weight) {
    line(out, "weight",
         fmt::format("{}{}, {} [{},{}], energy {:.6g}, sum {:.6g}, absmax {:.6g}{}",
                     printable(weight.id),
                     weight.name.empty() ? "" : ", named " + printable(weight.name),
                     printable(weight.dtype), weight.rows, weight.cols, weight.energy, weight.sum,
                     weight.absmax, nonfinite_text(weight.nonfinite)));
    if (weight.sketch) line(out, "  sketch", numbers(*weight.sketch, weight.sketch->size()));
}

/// So that a list can be wrapped; what stands in quotes is as it was.
std::string with_spaces(std::string_view json) {
    std::string text;
    bool is_quoted = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        text += json[i];
        const bool is_escape = is_quoted && json[i] == '\\' && i + 1 < json.size();
        if (is_escape)
            text += json[++i];
        else if (json[i] == '"')
            is_quoted = !is_quoted;
        else if (json[i] == ',' && !is_quoted)
            text += ' ';
    }
    return text;
}

/// What a record of the tracer says of itself, beside the keys that every line has.
void fact_lines(std::string& out, std::string_view text) {
    constexpr std::string_view of_every_line[] = {"ts",    "team",  "checkpoint", "token_idx",
                                                  "dtype", "shape", "kind",       "values"};
    simdjson::dom::parser parser;
    simdjson::dom::object record;
    if (parser.parse(text).get(record) != simdjson::SUCCESS) return;
    for (const auto [key, value] : record) {
        if (std::find(std::begin(of_every_line), std::end(of_every_line), key) !=
            std::end(of_every_line))
            continue;
        std::string_view word;
        const bool is_text = value.get(word) == simdjson::SUCCESS;
        line(out, printable(key),
             printable(is_text ? std::string{word} : with_spaces(simdjson::minify(value))));
    }
}

std::string record_text(const Trace& trace, const Entry& entry, RecordParser& parser,
                        std::size_t most_values, const Paint& paint) {
    std::string out =
        fmt::format("{}:{}  {}  token {}  {} {}", printable(trace.path()), entry.line,
                    paint.bold(printable(trace.string(entry.checkpoint))), entry.token_idx,
                    printable(trace.string(entry.dtype)), printable(trace.string(entry.shape)));
    if (entry.call >= 0) out += fmt::format("  call {}", entry.call);
    if (entry.pass >= 0) out += fmt::format("  pass {}", entry.pass);
    out += '\n';
    if (entry.kind == RecordKind::gemm || entry.kind == RecordKind::checkpoint) {
        call_lines(out, parser.call(entry), trace.string(entry.weight));
    } else if (entry.kind == RecordKind::row) {
        row_record_lines(out, parser.row(entry));
    } else if (entry.kind == RecordKind::weight) {
        weight_lines(out, parser.weight(entry));
    } else if (entry.kind != RecordKind::log) {
        fact_lines(out, trace.text(entry));
    }
    line(out, "values", numbers(whole_values(trace, entry, parser), most_values));
    return out;
}

int show(const Options& options, Context& context) {
    const Trace trace = open_trace(options.trace);
    RecordParser parser{trace};
    std::uint64_t found = 0;
    for (const Entry& entry : trace.entries()) {
        if (!is_wanted(options, trace, entry)) continue;
        if (++found > options.limit && options.limit != 0) continue;
        if (options.format == "jsonl") {
            context.out << trace.text(entry) << '\n';
        } else {
            context.out << record_text(trace, entry, parser, options.values, Paint{context.color});
        }
    }
    if (found == 0) {
        throw UsageError(fmt::format(
            "{}: none of its {} matches; 'orchtrace info' lists checkpoints and token positions",
            printable(options.trace), counted(trace.entries().size(), "record")));
    }
    if (options.limit != 0 && found > options.limit) {
        context.err << fmt::format("... and {}; --limit 0 shows all\n",
                                   counted(found - options.limit, "more record"));
    }
    return exit_ok;
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("TRACE", options->trace, "a trace file; - reads a pipe")
        ->required()
        ->type_name("FILE");
    app.add_option("--checkpoint", options->checkpoint, "only these; * and ? are wildcards")
        ->type_name("GLOB");
    app.add_option("--token", options->token, "only this token_idx")->type_name("N");
    app.add_option("--call", options->call, "only this call, with its rows")->type_name("N");
    app.add_option("--pass", options->pass, "only this forward pass")->type_name("N");
    app.add_option("--line", options->line, "the record of this line of the file")->type_name("N");
    app.add_option("--values", options->values, "how many values")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--limit", options->limit, "how many records; 0: all")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--format", options->format, "text, or jsonl: the lines as they are")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "jsonl"}))
        ->capture_default_str();
    return [options](Context& context) { return show(*options, context); };
}

}  // namespace

const Command show_command{"show", "[OPTIONS] TRACE",
                           "show single records with their digests and values",
                           "examples:\n"
                           "  orchtrace show trace.jsonl --checkpoint logits --token 20\n"
                           "  orchtrace show trace.jsonl --checkpoint orchtrace.header\n"
                           "  orchtrace show trace.jsonl --line 118\n"
                           "  orchtrace show trace.jsonl --call 42 --format jsonl | jq .",
                           add_options};

}  // namespace orch
