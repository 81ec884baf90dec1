#include "analyzer/report/wording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

/// "2.60e-03" -> "2.6e-3": what a reader needs, and no more.
std::string scientific(double value) {
    std::string text = fmt::format("{:.1e}", value);
    const std::size_t e = text.find('e');
    std::string mantissa = text.substr(0, e);
    if (mantissa.ends_with(".0")) mantissa.resize(mantissa.size() - 2);
    const bool negative = text[e + 1] == '-';
    std::size_t digits = e + 2;
    while (digits + 1 < text.size() && text[digits] == '0')
        ++digits;
    return fmt::format("{}e{}{}", mantissa, negative ? "-" : "", text.substr(digits));
}

void add_show(std::vector<std::string>& commands, const Place& place) {
    if (place.path.empty() || place.line == 0) return;
    commands.push_back(
        fmt::format("orchtrace show {} --line {}", shell_quoted(place.path), place.line));
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::parity:
            return "parity";
        case Verdict::divergence:
            return "divergence";
        case Verdict::not_comparable:
            break;
    }
    return "not_comparable";
}

std::string_view verdict_title(Verdict verdict) {
    switch (verdict) {
        case Verdict::parity:
            return "PARITY";
        case Verdict::divergence:
            return "DIVERGENCE";
        case Verdict::not_comparable:
            break;
    }
    return "NOT COMPARABLE";
}

std::string_view grade_name(Grade grade) {
    switch (grade) {
        case Grade::identical:
            return "identical";
        case Grade::within_floor:
            return "within_floor";
        case Grade::reasonable:
            return "reasonable";
        case Grade::poor:
            return "poor";
        case Grade::bad:
            return "bad";
        case Grade::none:
            break;
    }
    return "none";
}

std::string_view grade_meaning(Grade grade) {
    switch (grade) {
        case Grade::identical:
            return "the same to the bit wherever both can be read";
        case Grade::within_floor:
            return "every difference is explained by the arithmetic";
        case Grade::reasonable:
            return "more than arithmetic explains, but same sign, size and ranking";
        case Grade::poor:
            return "too far apart at the end, and no single operation is to blame";
        case Grade::bad:
            return "far apart at the end, or another token wins";
        case Grade::none:
            break;
    }
    return "nothing can be said";
}

std::string error_text(double error) {
    if (std::isnan(error)) return "-";
    if (std::isinf(error)) return error > 0 ? "inf" : "-inf";
    if (error == 0) return "0";
    const double size = std::abs(error);
    return size >= 0.01 && size < 9999.5 ? fmt::format("{:.3g}", error) : scientific(error);
}

std::string error_text(const std::optional<double>& error) {
    return error ? error_text(*error) : "-";
}

std::string percent_text(double share) {
    if (!std::isfinite(share)) return "beyond measure";
    const double percent = 100 * std::abs(share);
    if (percent == 0) return "0 %";
    if (percent < 0.01) return "under 0.01 %";
    if (percent >= 1e4) return fmt::format("{} times its size", error_text(share));
    return percent >= 10 ? fmt::format("{:.0f} %", percent) : fmt::format("{:.2g} %", percent);
}

std::string against_floor(double error, double floor) {
    if (!(floor > 0)) return "the floor is 0";
    const double ratio = error / floor;
    if (!std::isfinite(ratio)) return fmt::format("floor {}", error_text(floor));
    const std::string times = ratio >= 1e4   ? scientific(ratio)
                              : ratio >= 9.5 ? grouped(std::llround(ratio))
                                             : fmt::format("{:.2g}", ratio);
    return fmt::format("{} times the floor of {}", times, error_text(floor));
}

std::string sure_text(double confidence) {
    return fmt::format("{:.0f} % sure", 100 * std::clamp(confidence, 0.0, 1.0));
}

std::string place_text(const Place& place) {
    std::string text = place.line == 0 ? place.path : fmt::format("{}:{}", place.path, place.line);
    if (!place.checkpoint.empty()) text += ' ' + place.checkpoint;
    return text;
}

std::string site_text(const FirstDivergence& first) {
    if (first.layer < 0) return first.op.empty() ? first.checkpoint : first.op;
    return fmt::format("{} of layer {}", first.op.empty() ? first.checkpoint : first.op,
                       first.layer);
}

const PairReport* deciding_pair(const Report& report) {
    for (const Verdict wanted : {Verdict::divergence, Verdict::not_comparable}) {
        for (const PairReport& pair : report.pairs) {
            if (pair.verdict == wanted) return &pair;
        }
    }
    return report.pairs.empty() ? nullptr : &report.pairs.front();
}

const SiteRow* worst_site(const PairReport& pair) {
    const SiteRow* worst = nullptr;
    double most = -1;
    for (const SiteRow& site : pair.sites) {
        const double error =
            std::max(site.input_error.value_or(-1), site.output_error.value_or(-1));
        if (error <= most) continue;
        most = error;
        worst = &site;
    }
    return worst;
}

TokenCounts count_tokens(const std::vector<TokenRow>& tokens) {
    TokenCounts counts;
    double sum_kl = 0;
    std::size_t with_kl = 0;
    for (const TokenRow& row : tokens) {
        if (!row.skipped.empty()) {
            ++counts.skipped;
            continue;
        }
        ++counts.compared;
        const bool hard = row.flip == "hard";
        const bool is_known = row.argmax_a >= 0 && row.argmax_b >= 0;
        counts.hard += hard ? 1 : 0;
        counts.ties += !hard && !row.flip.empty() ? 1 : 0;
        counts.decided += is_known ? 1 : 0;
        counts.agree += is_known && row.argmax_a == row.argmax_b ? 1 : 0;
        const bool first_hard = hard && counts.hard == 1;
        if (is_known && (first_hard || (!row.flip.empty() && counts.first_flip == nullptr))) {
            counts.first_flip = &row;
        }
        if (row.error) counts.worst_error = std::max(counts.worst_error.value_or(0), *row.error);
        if (!row.kl) continue;
        ++with_kl;
        sum_kl += *row.kl;
        counts.max_kl = std::max(counts.max_kl.value_or(0), *row.kl);
    }
    if (with_kl > 0) counts.mean_kl = sum_kl / static_cast<double>(with_kl);
    return counts;
}

std::string tokens_text(const std::vector<TokenRow>& tokens) {
    const TokenCounts counts = count_tokens(tokens);
    if (counts.compared + counts.skipped == 0) return "no logits that are in both traces";
    std::string text =
        counts.decided == 0
            ? fmt::format("which one wins is not known at {}", counted(counts.compared, "position"))
            : fmt::format("the same one wins at {} of {}", grouped(counts.agree),
                          counted(counts.decided, "position"));
    if (counts.hard > 0) text += fmt::format("; {}", counted(counts.hard, "hard flip"));
    if (counts.ties > 0) text += fmt::format("; {}", counted(counts.ties, "tie"));
    if (const TokenRow* flip = counts.first_flip) {
        text += fmt::format("; first at {}: {} against {}", flip->position, flip->argmax_a,
                            flip->argmax_b);
        if (flip->margin) text += fmt::format(", margin {}", error_text(*flip->margin));
    }
    if (counts.worst_error) {
        text += fmt::format("; logits differ by at most {}", error_text(*counts.worst_error));
    }
    if (counts.mean_kl) {
        text += fmt::format("; KL mean {}, most {}", error_text(*counts.mean_kl),
                            error_text(counts.max_kl));
    }
    if (counts.skipped > 0) text += fmt::format("; {} left out", grouped(counts.skipped));
    return text;
}

SiteCounts count_sites(const PairReport& pair) {
    SiteCounts counts;
    for (const SiteRow& site : pair.sites) {
        ++counts.all;
        counts.products += site.pairs;
        counts.measured += site.input_error || site.output_error ? 1 : 0;
        counts.same += site.state == "same" ? 1 : 0;
    }
    return counts;
}

std::string weights_text(const PairReport& pair) {
    if (pair.weights_a + pair.weights_b == 0) return "none in the traces";
    return fmt::format("{} of {} of {} and {} of {} of {} recognised, in {}",
                       grouped(pair.weights_found_a), grouped(pair.weights_a), pair.a.team,
                       grouped(pair.weights_found_b), grouped(pair.weights_b), pair.b.team,
                       counted(pair.weights_matched, "match", "matches"));
}

std::string dropped_text(const LedgerRow& row) {
    std::vector<std::string> reasons;
    for (const auto& [reason, count] : row.dropped)
        reasons.push_back(fmt::format("{} ({})", reason, grouped(count)));
    return joined(reasons, ", ");
}

std::uint64_t dropped_total(const LedgerRow& row) {
    std::uint64_t sum = 0;
    for (const auto& [reason, count] : row.dropped)
        sum += count;
    return sum;
}

std::vector<std::string> not_seen(const PairReport& pair) {
    std::vector<std::string> texts;
    for (const EngineFacts* engine : {&pair.a, &pair.b}) {
        for (const std::string& finding : engine->findings)
            texts.push_back(fmt::format("{}: {}", engine->team, finding));
        for (const std::string& spot : engine->blind_spots)
            texts.push_back(fmt::format("{}: {}", engine->team, spot));
    }
    const SiteCounts counts = count_sites(pair);
    if (counts.measured < counts.all) {
        std::string names;
        std::size_t named = 0;
        for (const SiteRow& site : pair.sites) {
            if (site.input_error || site.output_error) continue;
            if (++named > 4) break;
            names += (names.empty() ? "" : ", ") + site.checkpoint;
        }
        texts.push_back(fmt::format("{} could not be measured: {}{}",
                                    counted(counts.all - counts.measured, "place"), names,
                                    named > 4 ? ", …" : ""));
    }
    if (pair.verdict == Verdict::parity) {
        const SiteRow* blindest = nullptr;
        for (const SiteRow& site : pair.sites) {
            if (blindest == nullptr || site.floor > blindest->floor) blindest = &site;
        }
        if (blindest != nullptr && blindest->floor > 0) {
            texts.push_back(fmt::format("differences below the floor: up to {} at {}",
                                        percent_text(blindest->floor), blindest->checkpoint));
        }
    }
    return texts;
}

std::vector<std::string> next_commands(const Report& report) {
    const PairReport* pair = deciding_pair(report);
    if (pair == nullptr) return {};
    const std::string both =
        fmt::format("{} {}", shell_quoted(pair->a.path), shell_quoted(pair->b.path));
    std::vector<std::string> commands;
    switch (report.verdict) {
        case Verdict::parity:
            commands.push_back(fmt::format("orchtrace baseline save {} -o budget.json", both));
            break;
        case Verdict::divergence:
            if (pair->first_divergence) {
                const FirstDivergence& first = *pair->first_divergence;
                add_show(commands, first.other);
                add_show(commands, first.reference);
            }
            if (commands.empty()) {
                commands.push_back(fmt::format("orchtrace compare --verbose {}", both));
            }
            break;
        case Verdict::not_comparable:
            commands.push_back(fmt::format("orchtrace info {}", both));
            break;
    }
    return commands;
}

}  // namespace orch
