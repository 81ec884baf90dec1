#include <fmt/format.h>

#include "analyzer/report/escape.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"

namespace orch {
namespace {

constexpr std::size_t rows_shown = 200;

using Cells = std::vector<std::string>;

std::string row(const Cells& cells) {
    std::string out = "|";
    for (const std::string& cell : cells)
        out += ' ' + markdown_text(cell) + " |";
    return out + '\n';
}

std::string head(const Cells& titles) {
    std::string out = row(titles) + "|";
    for (std::size_t i = 0; i < titles.size(); ++i)
        out += "---|";
    return out + '\n';
}

std::string folded(const std::string& title, const std::string& body) {
    return fmt::format("\n<details><summary>{}</summary>\n\n{}\n</details>\n", title, body);
}

/// A table of facts, without those that there are none of.
std::string facts(const std::vector<std::pair<std::string, std::string>>& all) {
    std::string out = "| | |\n|---|---|\n";
    for (const auto& [label, text] : all) {
        if (!text.empty()) out += row({label, text});
    }
    return out;
}

std::string signature_text(const Signature& signature) {
    return fmt::format("{}, {}{}{}", signature.name, sure_text(signature.confidence),
                       signature.because.empty() ? "" : ": ", signature.because);
}

std::string list(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts)
        out += fmt::format("- {}\n", markdown_text(text));
    return out;
}

std::string first_text(const FirstDivergence& first) {
    std::string out = facts({
        {"where",
         first.checkpoint + (first.between.empty() ? std::string{} : ": between " + first.between)},
        {"token", fmt::format("{}", first.token_idx)},
        {"how much", fmt::format("error {}, {}{}", error_text(first.error),
                                 against_floor(first.error, first.floor),
                                 first.floor_from.empty() ? "" : " (" + first.floor_from + ")")},
        {"which engine", fmt::format("{}{}{}", first.team.empty() ? "undetermined" : first.team,
                                     first.team_because.empty() ? "" : ": ", first.team_because)},
        {"what kind", signature_text(first.signature)},
        {"refuted by", first.signature.falsifier},
        {"in the reference", place_text(first.reference)},
        {"in the other", place_text(first.other)},
    });
    if (!first.evidence.empty()) out += "\n" + list(first.evidence);
    return out;
}

std::string sites_text(const PairReport& pair) {
    std::string out =
        head({"place", "reference", "other", "input error", "output error", "floor", "state"});
    for (std::size_t i = 0; i < pair.sites.size() && i < rows_shown; ++i) {
        const SiteRow& site = pair.sites[i];
        out += row({site.checkpoint, site.a, site.b, error_text(site.input_error),
                    error_text(site.output_error), error_text(site.floor), site.state});
    }
    if (pair.sites.size() > rows_shown) {
        out += fmt::format("\n{} more: `--format csv --table sites`\n",
                           pair.sites.size() - rows_shown);
    }
    return folded(fmt::format("{} places", pair.sites.size()), out);
}

std::string tokens_table(const PairReport& pair) {
    std::string out = head({"token_idx", "reference", "other", "flip", "error", "KL", "left out"});
    for (std::size_t i = 0; i < pair.tokens.size() && i < rows_shown; ++i) {
        const TokenRow& token = pair.tokens[i];
        out += row({std::to_string(token.position), std::to_string(token.argmax_a),
                    std::to_string(token.argmax_b), token.flip, error_text(token.error),
                    error_text(token.kl), token.skipped});
    }
    if (pair.tokens.size() > rows_shown) {
        out += fmt::format("\n{} more: `--format csv`\n", pair.tokens.size() - rows_shown);
    }
    return folded(fmt::format("{} positions", pair.tokens.size()), out);
}

std::string ledger_text(const PairReport& pair) {
    std::string out =
        head({"ledger", "records", "matched", "merged", "dropped", "unmatched", "adds up"});
    for (const LedgerRow* side : {&pair.ledger_a, &pair.ledger_b}) {
        out += row({side->team, std::to_string(side->total), std::to_string(side->matched),
                    std::to_string(side->merged), std::to_string(dropped_total(*side)),
                    std::to_string(side->unmatched), side->adds_up ? "yes" : "NO"});
    }
    return out;
}

std::string pair_text(const PairReport& pair) {
    std::string out;
    if (pair.first_divergence) out += first_text(*pair.first_divergence) + "\n";
    if (!pair.reasons.empty()) out += list(pair.reasons) + "\n";
    out += facts(
        {{"grade", fmt::format("{}: {}", grade_name(pair.grade), grade_meaning(pair.grade))},
         {"tokens", tokens_text(pair.tokens)},
         {"weights", weights_text(pair)},
         {"precision", pair.precision},
         {"drift", pair.drift.kind.empty() ? "" : pair.drift.kind + ": " + pair.drift.meaning}});
    out += "\n" + ledger_text(pair);
    if (!pair.notes.empty()) out += "\n" + list(pair.notes);
    const std::vector<std::string> unseen = not_seen(pair);
    if (!unseen.empty()) out += "\nNot seen:\n\n" + list(unseen);
    if (!pair.sites.empty()) out += sites_text(pair);
    if (!pair.tokens.empty()) out += tokens_table(pair);
    return out;
}

std::string matrix_text(const Report& report) {
    Cells titles{"distance"};
    titles.insert(titles.end(), report.teams.begin(), report.teams.end());
    std::string out = head(titles);
    for (std::size_t i = 0; i < report.matrix.size() && i < report.teams.size(); ++i) {
        Cells cells{report.teams[i]};
        for (std::size_t j = 0; j < report.matrix[i].size(); ++j)
            cells.push_back(i == j ? "" : error_text(report.matrix[i][j]));
        out += row(cells);
    }
    out += "\n" + facts({{"medoid", report.medoid},
                         {"outlier", report.outlier.empty()
                                         ? "none"
                                         : report.outlier + ": " + report.outlier_because},
                         {"nearest to " + report.baseline, report.nearest}});
    return out;
}

}  // namespace

std::string report_markdown(const Report& report) {
    std::string out = fmt::format("### orchtrace: {}\n\n{}\n\n", verdict_title(report.verdict),
                                  markdown_text(report.headline));
    if (report.pairs.size() > 1) out += matrix_text(report) + "\n";
    for (const PairReport& pair : report.pairs) {
        if (report.pairs.size() > 1) {
            out += fmt::format("\n#### {} against {}: {}\n\n{}\n\n", markdown_text(pair.b.team),
                               markdown_text(pair.a.team), verdict_title(pair.verdict),
                               markdown_text(pair.headline));
        }
        out += pair_text(pair);
    }
    const auto commands = next_commands(report);
    if (!commands.empty()) {
        out += "\n```sh\n";
        for (const std::string& command : commands)
            out += printable(command) + '\n';
        out += "```\n";
    }
    return out;
}

}  // namespace orch
