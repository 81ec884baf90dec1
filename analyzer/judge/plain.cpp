#include "analyzer/judge/plain.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "analyzer/info/checkpoint_family.hpp"
#include "analyzer/judge/drift.hpp"
#include "analyzer/judge/metrics.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

struct Line {
    const TensorPair* pair = nullptr;
    ValueMetrics metrics;
    std::uint64_t garbage_a = 0;
    std::uint64_t garbage_b = 0;
    bool skipped = false;
};

bool is_logits(const std::string& checkpoint) {
    return checkpoint.find("logit") != std::string::npos;
}

/// The first number in a checkpoint's name: its layer, in every logger's habit.
int layer_in(const TensorPair& pair) {
    if (pair.layer >= 0) return pair.layer;
    const std::size_t at = pair.checkpoint.find("layer");
    const std::size_t from =
        pair.checkpoint.find_first_of("0123456789", at == std::string::npos ? 0 : at);
    if (at == std::string::npos || from == std::string::npos) return -1;
    return std::atoi(pair.checkpoint.substr(from, 6).c_str());
}

std::vector<Line> read_lines(const Alignment& alignment, const JudgeOptions& options) {
    RecordParser parser_a{*alignment.a->trace};
    RecordParser parser_b{*alignment.b->trace};
    std::vector<Line> lines;
    for (const TensorPair& pair : alignment.tensors) {
        const Entry& a = alignment.a->trace->entries()[pair.a];
        const Entry& b = alignment.b->trace->entries()[pair.b];
        const std::vector<double> values_a = parser_a.values(a);
        const std::vector<double> values_b = parser_b.values(b);
        if (values_a.empty() || values_b.empty()) continue;
        Line line;
        line.pair = &pair;
        line.metrics = compare_values(values_a, values_b, alignment.a->trace->string(a.dtype));
        line.garbage_a = count_garbage(values_a, options.garbage);
        line.garbage_b = count_garbage(values_b, options.garbage);
        const auto& asked = options.skip_positions;
        line.skipped = std::find(asked.begin(), asked.end(), pair.token_idx) != asked.end() ||
                       (options.skip_garbage && line.garbage_a + line.garbage_b > 0);
        lines.push_back(line);
    }
    return lines;
}

double error_of(const Line& line) {
    // A value that one engine has and the other has not is as wrong as can be.
    return line.metrics.nonfinite_apart > 0 ? std::max(1.0, line.metrics.rel_l2)
                                            : line.metrics.rel_l2;
}

TokenRow token_of(const Line& line, const JudgeOptions& options) {
    TokenRow row;
    row.position = line.pair->token_idx;
    row.error = line.metrics.rel_l2;
    row.max_abs = line.metrics.max_abs;
    row.mean_abs = line.metrics.mean_abs;
    row.max_rel = line.metrics.max_rel;
    row.garbage_a = line.garbage_a;
    row.garbage_b = line.garbage_b;
    if (line.skipped) {
        const auto& asked = options.skip_positions;
        const bool by_hand = std::find(asked.begin(), asked.end(), row.position) != asked.end();
        row.skipped = by_hand ? "asked to be left out" : "garbage values";
    } else if (!line.metrics.same_argmax) {
        row.flip = line.metrics.rel_l2 <= options.reasonable ? "tie" : "hard";
    }
    return row;
}

Signature signature_of(const Line& line, const Alignment& alignment) {
    const bool garbage = line.garbage_a != line.garbage_b;
    if (line.metrics.nonfinite_apart > 0)
        return {"nonfinite", 0.95,
                fmt::format("{} values are not finite in one engine alone",
                            line.metrics.nonfinite_apart),
                "the same line of a second run"};
    if (garbage)
        return {"uninitialised", 0.9,
                fmt::format("{} of the values look like memory that nobody wrote in {}, {} in {}",
                            line.garbage_b, alignment.b->team, line.garbage_a, alignment.a->team),
                "the same line of a run with its buffers set to zero first"};
    if (line.metrics.cosine < -0.99)
        return {"sign", 0.8, fmt::format("the cosine of the values is {:.3f}", line.metrics.cosine),
                "more values of the vector"};
    if (line.metrics.cosine > 0.9999 && std::abs(line.metrics.norm_ratio - 1) > 0.01)
        return {"scale", 0.8,
                fmt::format("the values point one way and are {:.4g} times as large",
                            line.metrics.norm_ratio),
                "more values of the vector"};
    return {"unknown", 0.3, "a few values per line tell no more",
            "a trace with orchtrace, which digests whole vectors"};
}

void tell_divergence(const Alignment& alignment, const Line& line, const std::string& before,
                     double floor, PairReport& report) {
    FirstDivergence found;
    found.team = alignment.b->team;
    found.team_because = "the reference is taken as right";
    if (line.garbage_a != line.garbage_b) {
        found.team = line.garbage_a > line.garbage_b ? alignment.a->team : alignment.b->team;
        found.team_because = "its values are those of memory that nobody wrote";
    }
    found.checkpoint = line.pair->checkpoint;
    found.layer = layer_in(*line.pair);
    found.op = is_logits(found.checkpoint) ? "head" : found.checkpoint;
    found.bracket = true;
    found.between =
        before.empty() ? "the start and " + found.checkpoint : before + " and " + found.checkpoint;
    found.token_idx = line.pair->token_idx;
    found.signature = signature_of(line, alignment);
    found.error = line.metrics.rel_l2;
    found.floor = floor;
    found.floor_from =
        report.calibrated ? "run of the reference against itself" : "difference that users accept";
    found.evidence.push_back(
        fmt::format("the first {} values at token {} differ by {:.1e} (largest difference {:.3g}, "
                    "cosine {:.4f})",
                    line.metrics.count, line.pair->token_idx, line.metrics.rel_l2,
                    line.metrics.max_abs, line.metrics.cosine));
    if (!found.signature.because.empty()) found.evidence.push_back(found.signature.because);
    const Entry& a = alignment.a->trace->entries()[line.pair->a];
    const Entry& b = alignment.b->trace->entries()[line.pair->b];
    found.reference = {alignment.a->path, a.line, line.pair->checkpoint};
    found.other = {alignment.b->path, b.line, line.pair->checkpoint};
    report.first_divergence = std::move(found);
}

}  // namespace

bool is_plain(const Alignment& alignment) {
    return alignment.products.empty() && !alignment.tensors.empty();
}

void judge_plain(const Alignment& alignment, const Alignment* floor, const JudgeOptions& options,
                 PairReport& report) {
    std::map<std::pair<std::string, std::int64_t>, double> known;
    if (floor != nullptr)
        for (const Line& line : read_lines(*floor, options))
            known[{line.pair->checkpoint, line.pair->token_idx}] = 3 * line.metrics.rel_l2;
    report.calibrated = floor != nullptr;

    const std::vector<Line> lines = read_lines(alignment, options);
    const Line* first = nullptr;
    std::string before_first;
    double floor_of_first = 0;
    std::map<std::int64_t, std::pair<std::string, bool>> state;  // token: last checkpoint, off yet
    std::map<int, std::pair<double, std::size_t>> layers;
    std::map<std::string, std::size_t> row_of;
    bool all_same = true;
    bool bad = false;
    bool hard = false;
    double last_error = 0;
    double logits_error = -1;
    for (const Line& line : lines) {
        if (is_logits(line.pair->checkpoint)) report.tokens.push_back(token_of(line, options));
        if (line.skipped) continue;
        const double error = error_of(line);
        auto& [before, off] = state[line.pair->token_idx];
        const auto run = known.find({line.pair->checkpoint, line.pair->token_idx});
        const double limit = std::max(run == known.end() ? 0 : run->second,
                                      floor == nullptr ? options.reasonable : 0);
        all_same = all_same && error == 0;
        const bool over = error > limit && error > 0;
        // Of several tokens the one with the smallest number tells where it begins.
        const bool earlier = first == nullptr || line.pair->token_idx < first->pair->token_idx;
        if (over && !off && earlier) {
            first = &line;
            before_first = before;
            floor_of_first = limit;
        }
        off = off || over;
        before = line.pair->checkpoint;
        const int layer = layer_in(*line.pair);
        if (layer >= 0) {
            layers[layer].first += error * error;
            ++layers[layer].second;
        }
        const auto [found, fresh] = row_of.emplace(line.pair->checkpoint, report.sites.size());
        if (fresh) {
            SiteRow row;
            row.checkpoint = row.a = row.b = line.pair->checkpoint;
            row.layer = layer;
            row.op = is_logits(row.checkpoint) ? "head" : row.checkpoint;
            row.evidence = evidence_text(line.pair->evidence);
            row.floor = limit;
            row.output_error = 0;
            row.state = "same";
            report.sites.push_back(std::move(row));
        }
        SiteRow& row = report.sites[found->second];
        ++row.pairs;
        row.output_error = std::max(*row.output_error, error);
        if (over)
            row.state = "after";
        else if (error > 0 && row.state == "same")
            row.state = "ok";
        last_error = std::max(last_error, error);
        if (is_logits(line.pair->checkpoint)) {
            logits_error = std::max(logits_error, error);
            hard = hard || (!line.metrics.same_argmax && error > options.reasonable);
        }
        bad = bad || error > options.bad || line.garbage_a != line.garbage_b;
    }
    if (report.sites.empty()) {
        report.verdict = Verdict::not_comparable;
        report.reasons.emplace_back(
            "no line that both engines have, and that is not left out, "
            "holds values");
        return;
    }
    std::vector<LayerDrift> drift;
    for (const auto& [layer, sum] : layers)
        drift.push_back({layer, std::sqrt(sum.first / static_cast<double>(sum.second)), 0});
    report.drift = classify_drift(std::move(drift));
    report.worst_error = logits_error >= 0 ? logits_error : last_error;
    const bool diverges = first != nullptr && (bad || hard || floor != nullptr);
    report.verdict = diverges ? Verdict::divergence : Verdict::parity;
    if (all_same)
        report.grade = Grade::identical;
    else if (first == nullptr)
        report.grade = floor != nullptr ? Grade::within_floor : Grade::reasonable;
    else
        report.grade = bad || hard ? Grade::bad : Grade::poor;
    if (diverges) {
        tell_divergence(alignment, *first, before_first, floor_of_first, report);
        report.sites[row_of.at(first->pair->checkpoint)].state = "FIRST";
    }
    report.notes.push_back(
        fmt::format("plain lines show the first values of each vector: {} compared, nothing is "
                    "known of the rest",
                    counted(lines.size(), "line")));
}

}  // namespace orch
