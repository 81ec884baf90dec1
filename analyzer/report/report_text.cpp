// The report as a person reads it: what, where, who, how sure; then the evidence; then the command
// to run next.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "analyzer/report/page.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"
#include "analyzer/util/table.hpp"

namespace orch {
namespace {

constexpr auto everything = static_cast<std::size_t>(-1);
constexpr std::size_t evidence_shown = 4;
constexpr std::size_t notes_shown = 3;
constexpr std::size_t unmatched_shown = 1;
constexpr std::size_t layers_shown = 9;
constexpr std::size_t matrix_shown = 7;
constexpr std::size_t team_width = 24;
constexpr std::size_t other_readings_shown = 1;

std::string painted(Verdict verdict, const Paint& paint) {
    const std::string_view word = verdict_title(verdict);
    switch (verdict) {
        case Verdict::parity:
            return paint.green(word);
        case Verdict::divergence:
            return paint.red(word);
        case Verdict::not_comparable:
            break;
    }
    return paint.yellow(word);
}

/// The first few, and how many more there are.
std::vector<std::string> first_of(const std::vector<std::string>& all, std::size_t count) {
    std::vector<std::string> shown(
        all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), count)));
    if (all.size() > count)
        shown.push_back(fmt::format("and {} more; --verbose shows all", all.size() - count));
    return shown;
}

// ---- the first divergence

std::string how_much(const FirstDivergence& first) {
    std::string text =
        fmt::format("{} off: error {}, {}", percent_text(first.error), error_text(first.error),
                    against_floor(first.error, first.floor));
    if (!first.floor_from.empty()) text += fmt::format(" ({})", first.floor_from);
    if (first.input_error > 0) {
        text += fmt::format("; its input: error {}", error_text(first.input_error));
    }
    return text;
}

std::string where(const FirstDivergence& first) {
    std::string text = first.checkpoint;
    if (!first.between.empty()) text += fmt::format(": between {}", first.between);
    text += fmt::format("; token {}", first.token_idx);
    if (first.pass >= 0) text += fmt::format(" in pass {}", first.pass);
    return text;
}

void first_divergence(Page& page, const FirstDivergence& first, bool verbose) {
    page.fact("where", where(first));
    page.fact("how much", how_much(first));
    page.fact("which", fmt::format("{}{}{}", first.team.empty() ? "undetermined" : first.team,
                                   first.team_because.empty() ? "" : ": ", first.team_because));
    const Signature& kind = first.signature;
    page.fact("what kind", fmt::format("{}, {}{}{}", kind.name, sure_text(kind.confidence),
                                       kind.because.empty() ? "" : ": ", kind.because));
    page.fact("refuted by", kind.falsifier);
    std::vector<std::string> others;
    for (const Signature& other : first.also) {
        if (others.size() == other_readings_shown && !verbose) break;
        others.push_back(fmt::format("{}, {}{}{}", other.name, sure_text(other.confidence),
                                     other.because.empty() ? "" : ": ", other.because));
    }
    page.facts("or else", others);
    std::vector<std::string> evidence = first.evidence;
    std::erase(evidence, kind.because);  // it was said above
    page.facts("evidence", first_of(evidence, verbose ? everything : evidence_shown));
    page.facts("look at", {place_text(first.reference), place_text(first.other)});
}

// ---- how the error spreads

/// Layers worth a column: the ends, what is around `center`, and an even spread of the rest.
std::set<std::size_t> chosen_layers(std::size_t count, std::size_t center) {
    std::set<std::size_t> chosen;
    const auto add = [&](std::size_t i) {
        if (i < count && chosen.size() < layers_shown) chosen.insert(i);
    };
    add(0);
    if (count > 0) add(count - 1);
    if (center < count) {
        add(center);
        add(center + 1);
        if (center > 0) add(center - 1);
    }
    for (std::size_t parts = 2; parts <= 2 * layers_shown && chosen.size() < layers_shown;
         parts *= 2) {
        for (std::size_t i = 1; i < parts; ++i)
            add(count * i / parts);
    }
    for (std::size_t i = 0; i < count; ++i)
        add(i);
    return chosen;
}

void drift(Page& page, const PairReport& pair) {
    const auto& layers = pair.drift.layers;
    if (!layers.empty()) {
        const int wrong = pair.first_divergence ? pair.first_divergence->layer : -1;
        std::size_t center = layers.size();
        for (std::size_t i = 0; i < layers.size(); ++i) {
            if (wrong >= 0 && layers[i].layer == wrong) center = i;
        }
        std::string top;
        std::string bottom;
        for (const std::size_t i : chosen_layers(layers.size(), center)) {
            top +=
                fmt::format("{:>8}", fmt::format("{}{}", i == center ? ">" : "", layers[i].layer));
            bottom += fmt::format("{:>8}", error_text(layers[i].error));
        }
        page.lines(fmt::format("  {:<11}{}\n", "layer", top));
        page.lines(fmt::format("  {:<11}{}\n", "error", bottom));
    }
    if (!layers.empty() && !pair.drift.kind.empty()) {
        page.fact("drift", fmt::format("{}{}{}", pair.drift.kind,
                                       pair.drift.meaning.empty() ? "" : ": ", pair.drift.meaning));
    }
}

// ---- what was compared

std::string compared(const PairReport& pair) {
    const SiteCounts counts = count_sites(pair);
    std::string text = fmt::format(
        "{} at {}",
        counted(counts.products, "pair of products or tensors", "pairs of products or tensors"),
        counted(counts.all, "place"));
    if (counts.same > 0) text += fmt::format(", {} the same to the bit", grouped(counts.same));
    if (counts.measured < counts.all) {
        text += fmt::format(", {} not measured", grouped(counts.all - counts.measured));
    }
    if (pair.a.passes == 0) return text;
    return text + fmt::format("; {} over {} in {}", counted(pair.a.passes, "pass", "passes"),
                              counted(pair.a.tokens, "token"), pair.a.team);
}

std::string worst(const PairReport& pair) {
    const SiteRow* site = worst_site(pair);
    if (site == nullptr || !(site->input_error || site->output_error))
        return "nothing was measured";
    const double error = std::max(site->input_error.value_or(0), site->output_error.value_or(0));
    if (error == 0) return "no difference at all";
    return fmt::format("error {} at {}, {}{}", error_text(error), site->checkpoint,
                       against_floor(error, site->floor),
                       pair.calibrated ? " (measured by --floor)" : "");
}

void ledger(Page& page, const PairReport& pair, bool verbose) {
    std::vector<std::vector<std::string>> rows;
    for (const LedgerRow* row : {&pair.ledger_a, &pair.ledger_b}) {
        if (row->team.empty() && row->total == 0) continue;
        rows.push_back({printable(row->team), grouped(row->total), grouped(row->matched),
                        grouped(row->merged), grouped(dropped_total(*row)), grouped(row->unmatched),
                        row->adds_up ? "yes" : "NO"});
    }
    if (rows.empty()) return;
    page.lines(table({{"ledger", 24},
                      {"records", 11, true},
                      {"matched", 11, true},
                      {"merged", 9, true},
                      {"dropped", 9, true},
                      {"unmatched", 9, true},
                      {"adds up", 7, true}},
                     rows));
    std::vector<std::string> dropped;
    for (const LedgerRow* row : {&pair.ledger_a, &pair.ledger_b}) {
        const std::string why = dropped_text(*row);
        if (!why.empty()) dropped.push_back(fmt::format("{}: {}", row->team, why));
    }
    page.facts("dropped", dropped);
    std::vector<std::string> unmatched;
    for (const LedgerRow* row : {&pair.ledger_a, &pair.ledger_b}) {
        const auto some = first_of(row->unmatched_first, verbose ? everything : unmatched_shown);
        unmatched.insert(unmatched.end(), some.begin(), some.end());
    }
    page.facts("unmatched", unmatched);
}

void compared_facts(Page& page, const PairReport& pair, bool verbose) {
    const std::size_t notes = verbose ? everything : notes_shown;
    if (!pair.sites.empty()) page.fact("compared", compared(pair));
    page.fact("weights", weights_text(pair));
    page.facts("", first_of(pair.weights_changed, notes));
    page.fact("precision", pair.precision);
    page.facts("note", first_of(pair.notes, notes));
    ledger(page, pair, verbose);
    std::vector<std::string> unseen = not_seen(pair);
    if (unseen.empty()) unseen.emplace_back("no blind spot is known");
    page.facts("not seen", first_of(unseen, notes));
}

// ---- tables of --verbose

void sites_table(Page& page, const PairReport& pair) {
    if (pair.sites.empty()) return;
    std::vector<std::vector<std::string>> rows;
    for (const SiteRow& site : pair.sites) {
        rows.push_back({printable(site.checkpoint), printable(site.a), printable(site.b),
                        error_text(site.input_error), error_text(site.output_error),
                        error_text(site.floor), printable(site.state)});
    }
    page.blank();
    page.lines(table({{"place", 20},
                      {"reference", 18},
                      {"other", 12},
                      {"in", 7, true},
                      {"out", 7, true},
                      {"floor", 7, true},
                      {"state", 12}},
                     rows));
}

void tokens_table(Page& page, const PairReport& pair) {
    if (pair.tokens.empty()) return;
    std::vector<std::vector<std::string>> rows;
    for (const TokenRow& row : pair.tokens) {
        rows.push_back({std::to_string(row.position), std::to_string(row.argmax_a),
                        std::to_string(row.argmax_b), row.flip, error_text(row.error),
                        error_text(row.max_abs), error_text(row.margin), error_text(row.kl),
                        printable(row.skipped)});
    }
    page.blank();
    page.lines(table({{"token_idx", 9, true},
                      {"reference", 9, true},
                      {"other", 9, true},
                      {"flip", 5},
                      {"error", 7, true},
                      {"max abs", 8, true},
                      {"margin", 8, true},
                      {"KL", 8, true},
                      {"left out", 20}},
                     rows));
}

// ---- a pair, and many

/// The headline holds the first of them, as a rule.
std::vector<std::string> unsaid_reasons(const PairReport& pair) {
    std::vector<std::string> reasons = pair.reasons;
    std::erase_if(reasons, [&](const std::string& reason) {
        return pair.headline.find(reason) != std::string::npos;
    });
    return reasons;
}

void pair_body(Page& page, const PairReport& pair, bool verbose) {
    const std::size_t shown = verbose ? everything : notes_shown;
    switch (pair.verdict) {
        case Verdict::divergence:
            if (pair.first_divergence) first_divergence(page, *pair.first_divergence, verbose);
            page.facts("but", first_of(pair.reasons, shown));
            break;
        case Verdict::parity:
            page.fact("how good",
                      fmt::format("{}: {}", grade_name(pair.grade), grade_meaning(pair.grade)));
            page.fact("worst", worst(pair));
            page.facts("but", first_of(pair.reasons, shown));
            break;
        case Verdict::not_comparable:
            page.facts("why", first_of(unsaid_reasons(pair), std::max(shown, evidence_shown)));
            break;
    }
    page.blank();
    drift(page, pair);
    if (pair.verdict != Verdict::not_comparable || !pair.tokens.empty()) {
        page.fact("tokens", tokens_text(pair.tokens));
        page.blank();
    }
    compared_facts(page, pair, verbose);
    if (verbose) {
        sites_table(page, pair);
        tokens_table(page, pair);
    }
    page.blank();
}

/// Engines are numbered in the heads: their names would not fit.
std::string matrix_text(const Report& report) {
    const std::size_t shown = std::min(report.teams.size(), matrix_shown);
    std::vector<Column> heads{{"distance", 24}};
    std::vector<std::vector<std::string>> rows;
    for (std::size_t i = 0; i < shown; ++i)
        heads.push_back({fmt::format("to {}", i + 1), 7, true});
    for (std::size_t i = 0; i < report.matrix.size() && i < report.teams.size(); ++i) {
        std::vector<std::string> row{fmt::format("{} {}", i + 1, printable(report.teams[i]))};
        for (std::size_t j = 0; j < report.matrix[i].size() && j < shown; ++j)
            row.push_back(i == j ? "" : error_text(report.matrix[i][j]));
        row.resize(heads.size());
        rows.push_back(std::move(row));
    }
    std::string text = table(heads, rows);
    if (shown < report.teams.size()) {
        text += "    --format csv --table matrix has all columns\n";
    }
    return text;
}

void many_engines(Page& page, const Report& report) {
    if (!report.matrix.empty()) page.lines(matrix_text(report));
    page.fact("medoid", report.medoid);
    page.fact("outlier", report.outlier.empty()
                             ? "none"
                             : fmt::format("{}: {}", report.outlier, report.outlier_because));
    if (!report.nearest.empty()) {
        page.fact("nearest", fmt::format("{}, to {}", report.nearest, report.baseline));
    }
    for (const auto& group : report.shared_libraries)
        page.fact("one vote", fmt::format("{} share their kernels", joined(group, ", ")));
    std::vector<std::string> places;
    for (const Report::Outlier& outlier : report.outliers)
        places.push_back(fmt::format("{} at {}, {} times as far as the others", outlier.team,
                                     outlier.checkpoint, error_text(outlier.ratio)));
    page.facts("stands out", first_of(places, notes_shown));
    page.blank();
    std::size_t width = 0;
    for (const PairReport& pair : report.pairs)
        width = std::max(width, std::min(columns(printable(pair.b.team)), team_width));
    for (const PairReport& pair : report.pairs) {
        const std::string team = clipped(printable(pair.b.team), width);
        const std::string head =
            fmt::format("  {}{}  {:<14}  ", team, std::string(width - columns(team), ' '),
                        verdict_title(pair.verdict));
        page.lines(wrapped(head, printable(pair.headline)));
    }
    page.blank();
}

}  // namespace

std::string report_text(const Report& report, const Paint& paint, bool verbose) {
    Page page{paint};
    std::string headline = report.headline;
    if (report.pairs.size() == 1 && report.pairs.front().first_divergence) {
        headline += ", " + sure_text(report.pairs.front().first_divergence->signature.confidence);
    }
    page.title(verdict_title(report.verdict), painted(report.verdict, paint), headline);
    const PairReport* deciding = deciding_pair(report);
    if (report.pairs.size() > 1) many_engines(page, report);
    for (const PairReport& pair : report.pairs) {
        if (!verbose && &pair != deciding) continue;
        if (report.pairs.size() > 1) {
            page.lines(fmt::format("{} against {}\n", paint.bold(printable(pair.b.team)),
                                   printable(pair.a.team)));
        }
        pair_body(page, pair, verbose);
    }
    std::string_view label = "next";
    for (const std::string& command : next_commands(report)) {
        page.command(label, command);
        label = {};
    }
    return page.take();
}

}  // namespace orch
