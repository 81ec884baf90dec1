// Is everything in the trace that was to be recorded? The writer's ledger against what is there.
#include <fmt/format.h>

#include <algorithm>

#include "analyzer/info/trace_summary.hpp"
#include "analyzer/util/text.hpp"
#include "core/format_version.hpp"

namespace orch {
namespace {

/// The first reason stands in the verdict.
void find(RunSummary& run, std::string_view reason, std::string finding) {
    run.completeness = Completeness::incomplete;
    if (run.reason.empty()) run.reason = reason;
    run.findings.push_back(std::move(finding));
}

void check_sums(RunSummary& run, const ClassLedger& c) {
    if (c.adds_up()) return;
    find(run, "its ledger does not add up",
         fmt::format("the ledger does not add up: {}: {} seen, but {} recorded + {} filtered + {} "
                     "dropped = {}",
                     c.name, grouped(c.seen), grouped(c.recorded), grouped(c.filtered),
                     grouped(c.dropped), grouped(c.recorded + c.filtered + c.dropped)));
}

/// True if nothing of this class is missing in the file.
bool check_presence(RunSummary& run, const ClassLedger& c) {
    if (c.dropped > 0) {
        run.lost += c.dropped;
        find(run, "",
             fmt::format("{} of class {} dropped for want of memory or time",
                         counted(c.dropped, "record"), c.name));
    }
    if (c.in_file >= c.recorded) return true;
    run.lost += c.recorded - c.in_file;
    find(run, "",
         fmt::format("the ledger counts {} of class {}, the file holds {}",
                     counted(c.recorded, "record"), c.name, grouped(c.in_file)));
    return false;
}

void check_ledger(RunSummary& run) {
    const LedgerFacts& ledger = *run.ledger;
    bool all_there = true;
    for (const ClassLedger& c : ledger.classes) {
        check_sums(run, c);
        all_there = check_presence(run, c) && all_there;
    }
    const std::uint64_t written = ledger.lines - std::min(ledger.lines, ledger.lost_lines);
    if (all_there && run.lines < written) {
        run.lost += written - run.lines;
        find(run, "",
             fmt::format("the ledger counts {} written, the file holds {}",
                         counted(written, "line"), grouped(run.lines)));
    }
    if (ledger.lost_lines > 0) {
        // The classes above miss the same lines; where they do not, these are header and the like.
        run.lost = std::max(run.lost, ledger.lost_lines);
        find(run, "",
             fmt::format("{} could not be written: {}", counted(ledger.lost_lines, "line"),
                         ledger.write_error.empty() ? "no reason given" : ledger.write_error));
    }
    if (ledger.dropped_rows > 0) {
        find(run, "row lines were dropped",
             fmt::format("{} did not fit into a line: ask for fewer values",
                         counted(ledger.dropped_rows, "row line")));
    }
}

std::string joined_teams(const std::vector<RunSummary>& runs) {
    std::vector<std::string> teams;
    for (const RunSummary& run : runs) {
        for (const std::string& team : run.teams)
            add_once(teams, printable(team));
    }
    for (std::string& team : teams)
        team = team.empty() ? "an unnamed engine" : clipped(team, 24);
    if (teams.size() > 3) {
        const std::size_t more = teams.size() - 2;
        teams.resize(2);
        teams.push_back(fmt::format("{} more", more));
    }
    if (teams.size() < 2) return joined(teams, "");
    const std::string last = teams.back();
    teams.pop_back();
    return fmt::format("{} and {}", joined(teams, ", "), last);
}

}  // namespace

std::string_view completeness_name(Completeness completeness) {
    switch (completeness) {
        case Completeness::complete:
            return "complete";
        case Completeness::unknown:
            return "unknown";
        case Completeness::incomplete:
            return "incomplete";
    }
    return "?";
}

void judge_completeness(RunSummary& run) {
    run.completeness = run.ledger ? Completeness::complete : Completeness::unknown;
    if (run.header && run.header->schema > format_version) {
        find(run, "it is of a newer format",
             fmt::format("written in format {}, newer than the {} that this orchtrace knows",
                         run.header->schema, format_version));
    }
    if (run.ledger) check_ledger(run);
    const bool ended_well = run.ledger && run.ledger->is_final;
    if ((run.header || run.ledger) && !ended_well) {
        find(run, "no orderly end",
             "the process did not end in an orderly way: records up to 100 ms before its end may "
             "be missing");
    }
    if (run.ledger && !run.header) {
        find(run, "its header is missing", "the header is missing: the file's start was lost");
    }
}

Completeness TraceSummary::completeness() const {
    if (counts.bad_lines > 0) return Completeness::incomplete;
    auto worst = runs.empty() ? Completeness::unknown : Completeness::complete;
    for (const RunSummary& run : runs)
        worst = std::max(worst, run.completeness);
    return worst;
}

std::string TraceSummary::verdict() const {
    if (runs.empty()) return "no record at all";
    std::uint64_t passes = 0;
    std::uint64_t lost = 0;
    std::string reason;
    for (const RunSummary& run : runs) {
        passes += run.passes.count;
        lost += run.lost;
        if (reason.empty()) reason = run.reason;
    }
    std::string text = fmt::format("{} of {}, {}", counted(runs.size(), "run"), joined_teams(runs),
                                   counted(records(), "record"));
    if (passes > 0) text += fmt::format(" of {}", counted(passes, "pass", "passes"));
    switch (completeness()) {
        case Completeness::complete:
            return text + ", complete";
        case Completeness::unknown:
            return text + ", no ledger: completeness is not known";
        case Completeness::incomplete:
            break;
    }
    if (lost > 0) {
        reason = fmt::format("{} lost", counted(lost, "record"));
    } else if (reason.empty()) {
        reason = counts.truncated && counts.bad_lines == 1
                     ? "the last line is cut off"
                     : fmt::format("{} skipped", counted(counts.bad_lines, "bad line"));
    }
    return fmt::format("{}, INCOMPLETE: {}", text, reason);
}

}  // namespace orch
