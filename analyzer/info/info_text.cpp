#include <fmt/format.h>

#include <algorithm>

#include "analyzer/info/info_print.hpp"
#include "analyzer/util/table.hpp"

namespace orch {
namespace {

constexpr std::size_t max_families = 60;

/// "  host      " in front of what is said of it; nothing at all where there is nothing to say.
void fact(std::string& out, std::string_view label, std::string_view text) {
    if (!text.empty()) out += wrapped(fmt::format("  {:<11} ", label), printable(text));
}

/// Prominent: what the reader must know before trusting a number. Colour is put around the mark
/// only, so that it does not count as width.
void warning(std::string& out, const Paint& paint, std::string_view label, std::string_view text) {
    const std::string lines = wrapped(fmt::format("  ! {}: ", label), printable(text));
    out += "  " + paint.yellow("!") + lines.substr(3);
}

std::string range_text(std::int64_t first, std::int64_t last) {
    return first == last ? std::to_string(first) : fmt::format("{}..{}", first, last);
}

std::string families_text(const RunSummary& run) {
    std::vector<std::vector<std::string>> rows;
    for (const CheckpointFamily& f : run.families) {
        if (rows.size() == max_families) break;
        rows.push_back({printable(f.name), f.records_text(), f.rows == 0 ? "" : grouped(f.rows),
                        range_text(f.first_token, f.last_token), printable(joined(f.dtypes, ",")),
                        printable(f.shape)});
    }
    if (rows.empty()) return {};
    std::string out = table({{"checkpoint", 34},
                             {"records", 14, true},
                             {"rows", 8, true},
                             {"token_idx", 11, true},
                             {"dtype", 7},
                             {"shape", 12}},
                            rows);
    if (run.families.size() > rows.size()) {
        out += fmt::format("    ... and {}; --format json lists all\n",
                           counted(run.families.size() - rows.size(), "more line"));
    }
    return out;
}

std::string ledger_text(const LedgerFacts& ledger) {
    std::vector<std::vector<std::string>> rows;
    for (const ClassLedger& c : ledger.classes) {
        if (c.seen + c.recorded + c.in_file == 0) continue;
        rows.push_back({printable(c.name), grouped(c.seen), grouped(c.recorded),
                        grouped(c.filtered), grouped(c.dropped), grouped(c.in_file)});
    }
    if (rows.empty()) return {};
    return table({{"ledger", 14},
                  {"seen", 13, true},
                  {"recorded", 13, true},
                  {"filtered", 13, true},
                  {"dropped", 13, true},
                  {"in file", 13, true}},
                 rows);
}

std::string weights_text(const WeightFacts& weights) {
    if (weights.count == 0) return {};
    std::vector<std::string> dtypes;
    for (const auto& [dtype, count] : weights.dtypes) {
        dtypes.push_back(fmt::format("{} {}", grouped(count), dtype));
    }
    const std::string by_index =
        weights.named_by_index == 0
            ? ""
            : fmt::format("{} named by the index, ", grouped(weights.named_by_index));
    return fmt::format("{} ({} named, {}{} nameless): {}", grouped(weights.count),
                       grouped(weights.named), by_index, grouped(weights.nameless()),
                       joined(dtypes, ", "));
}

std::string config_text(const HeaderFacts& header) {
    std::vector<std::string> parts;
    for (const auto& [key, value] : header.config)
        parts.push_back(fmt::format("{}={}", key, value));
    return joined(parts, " ");
}

std::string libraries_text(const HeaderFacts& header) {
    constexpr std::size_t shown = 6;
    std::vector<std::string> names;
    for (const std::string& path : header.libraries) {
        if (names.size() == shown) break;
        names.push_back(path.substr(path.rfind('/') + 1));
    }
    std::string text = joined(names, ", ");
    if (header.libraries.size() > shown) {
        text += fmt::format(" and {} more", header.libraries.size() - shown);
    }
    return text;
}

std::string command_text(const HeaderFacts& header) {
    std::vector<std::string> words;
    for (const std::string& word : header.argv)
        words.push_back(shell_quoted(word));
    return clipped(joined(words, " "), 3 * text_width);
}

void header_text(std::string& out, const HeaderFacts& h) {
    fact(out, "process", fmt::format("{}, pid {} on {}", h.executable, h.pid, h.host));
    fact(out, "command", command_text(h));
    fact(out, "tracer",
         fmt::format("orchtrace {}, format {}, {} backend, {}", h.version, h.schema, h.backend,
                     h.isa));
    fact(out, "config", config_text(h));
    fact(out, "libraries", libraries_text(h));
}

/// An index that names nothing is as a rule that of another model.
void index_text(std::string& out, const TraceSummary& trace, const Paint& paint) {
    if (trace.index.empty()) return;
    WeightFacts all;
    for (const RunSummary& run : trace.runs) {
        all.count += run.weights.count;
        all.named += run.weights.named;
        all.named_by_index += run.weights.named_by_index;
    }
    if (all.count == all.named) {
        fact(out, "index", trace.index + ": not needed, no weight here is without a name");
    } else if (all.named_by_index == 0) {
        warning(out, paint, "index",
                fmt::format("{}: none of the {} here is in it; is it of this model?", trace.index,
                            counted(all.nameless(), "nameless weight")));
    } else {
        fact(out, "index", trace.index);
    }
}

void warnings_text(std::string& out, const RunSummary& run, const Paint& paint) {
    for (const std::string& finding : run.findings)
        warning(out, paint, "incomplete", finding);
    for (const std::string& problem : run.config_problems) {
        warning(out, paint, "config", problem);
    }
    for (const BlindSpot& spot : run.blind_spots) {
        warning(out, paint, "blind spot", fmt::format("{}: {}", spot.what, spot.why));
    }
    std::uint64_t nonfinite = 0;
    for (const CheckpointFamily& family : run.families) {
        nonfinite += family.nonfinite;
        if (family.holes == 0) continue;
        warning(
            out, paint, "gap",
            fmt::format("{}: {} missing in between", family.name, counted(family.holes, "number")));
    }
    if (nonfinite > 0) {
        warning(out, paint, "values",
                fmt::format("NaN or Inf in {}", counted(nonfinite, "record")));
    }
}

std::string run_text(const RunSummary& run, std::size_t number, const Paint& paint) {
    std::string teams;
    for (const std::string& team : run.teams)
        teams += (teams.empty() ? "" : ", ") + printable(team);
    const std::string times = run.first_ts == run.last_ts
                                  ? run.first_ts
                                  : fmt::format("{} to {}", run.first_ts, run.last_ts);
    std::string out =
        '\n' + paint.bold(fmt::format("run {}: {}", number, clipped(teams, text_width - 20))) +
        '\n';
    fact(out, "lines", fmt::format("{}..{}", run.first_line, run.last_line));
    fact(out, "time", times);
    if (run.header) {
        header_text(out, *run.header);
    } else {
        fact(out, "tracer", "none: plain lines, made by another logger");
    }
    if (run.passes.count > 0) {
        fact(out, "passes",
             fmt::format("{} over {}", grouped(run.passes.count),
                         counted(run.passes.tokens, "token")));
    }
    fact(out, "weights", weights_text(run.weights));
    for (const Setting& setting : run.settings)
        fact(out, "setting",
             fmt::format("{}: {}", printable(setting.op), size_text(setting.bytes)));
    warnings_text(out, run, paint);
    if (run.ledger) out += ledger_text(*run.ledger);
    return out + families_text(run);
}

/// One sentence; a long path gives way, down to a few columns.
std::string verdict_text(const TraceSummary& trace, const Paint& paint) {
    constexpr std::size_t least_path = 16;
    const std::string verdict = printable(trace.verdict());
    const std::size_t wanted = std::min(columns(verdict) + 2, text_width - least_path);
    const std::string path = clipped(printable(trace.path), text_width - wanted);
    std::string sentence = wrapped({}, fmt::format("{}: {}", path, verdict));
    const std::string rest = sentence.substr(path.size() + 1);
    switch (trace.completeness()) {
        case Completeness::complete:
            return path + ":" + paint.green(rest);
        case Completeness::unknown:
            return sentence;
        case Completeness::incomplete:
            break;
    }
    return path + ":" + paint.red(rest);
}

}  // namespace

std::string info_text(const TraceSummary& trace, const Paint& paint) {
    std::string out = verdict_text(trace, paint);
    for (const BadLine& bad : trace.bad_lines) {
        warning(out, paint, fmt::format("line {}", bad.line), bad.why + "; skipped");
    }
    if (trace.counts.bad_lines > trace.bad_lines.size()) {
        warning(out, paint, "and",
                counted(trace.counts.bad_lines - trace.bad_lines.size(), "more bad line"));
    }
    index_text(out, trace, paint);
    for (std::size_t i = 0; i < trace.runs.size(); ++i)
        out += run_text(trace.runs[i], i + 1, paint);
    return out;
}

}  // namespace orch
