#include "analyzer/judge/judge.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "analyzer/judge/comparison.hpp"
#include "analyzer/judge/drift.hpp"
#include "analyzer/judge/facts.hpp"
#include "analyzer/judge/plain.hpp"
#include "analyzer/judge/tokens.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

std::string names_of(const EngineTrace& engine, const std::vector<int>& weights) {
    std::vector<std::string> names;
    for (const int index : weights) {
        const Weight& weight = engine.weights[static_cast<std::size_t>(index)];
        names.push_back(weight.name.empty() ? weight.record.id : weight.name);
    }
    return joined(names, " + ");
}

void tell_weights(const Alignment& alignment, PairReport& report) {
    const auto count = [](const EngineTrace& engine) {
        std::uint64_t weights = 0;
        for (const Weight& weight : engine.weights)
            weights += weight.is_activation ? 0 : 1;
        return weights;
    };
    report.weights_a = count(*alignment.a);
    report.weights_b = count(*alignment.b);
    report.weights_matched = alignment.weights.size();
    for (const WeightMatch& match : alignment.weights)
        if (match.content == Content::changed)
            report.weights_changed.push_back(fmt::format(
                "{}: {} and {} differ by {:.1e}, where the element types explain {:.1e}",
                match.label, names_of(*alignment.a, match.a), names_of(*alignment.b, match.b),
                match.distance, match.expected));
}

std::string row_label(const SiteReading& site, const ProductReading& product) {
    auto part = std::string{part_name(product.role.part)};
    if (product.role.part == Part::other) return site.site->label;
    if (site.site->layer < 0 || product.role.part == Part::head) return part;
    return fmt::format("layer_{}_{}", site.site->layer, part);
}

/// Rows of the table, one for each product or tensor, over all passes.
class SiteTable {
  public:
    SiteTable(const Alignment& alignment, const std::optional<Blame>& blame)
        : alignment_{alignment}, blame_{blame} {}

    void add(const SiteReading& site) {
        if (site.products.empty() && site.site->tensor < 0) return;  // attention's own
        if (site.products.empty()) {
            SiteRow& row = row_at(site.site->label, site);
            row.op = "tensor";
            row.a = row.b = site.site->label;
            add_reading(row, site.tensor, row.output_error);
            finish(row, site, site.tensor, nullptr);
        }
        for (const ProductReading& product : site.products) {
            SiteRow& row = row_at(row_label(site, product), site);
            row.op = part_name(product.role.part);
            if (product.pair->match >= 0) {
                const WeightMatch& match =
                    alignment_.weights[static_cast<std::size_t>(product.pair->match)];
                row.a = names_of(*alignment_.a, match.a);
                row.b = names_of(*alignment_.b, match.b);
                if (!match.rows_text.empty()) row.b += " (" + match.rows_text + ")";
            }
            row.evidence = evidence_text(product.pair->evidence);
            add_reading(row, product.x, row.input_error);
            add_reading(row, product.y, row.output_error);
            add_proof(row.proof_a, product.proof_a);
            add_proof(row.proof_b, product.proof_b);
            finish(row, site, product.y, &product);
        }
    }

    std::vector<SiteRow> take() { return std::move(rows_); }

  private:
    SiteRow& row_at(const std::string& label, const SiteReading& site) {
        const auto [found, fresh] = index_.emplace(label, rows_.size());
        if (fresh) {
            SiteRow row;
            row.checkpoint = label;
            row.layer = site.site->layer;
            row.state = "not measured";
            rows_.push_back(std::move(row));
        }
        SiteRow& row = rows_[found->second];
        ++row.pairs;
        return row;
    }

    static void add_reading(SiteRow& row, const Reading& reading, std::optional<double>& error) {
        if (!reading.measured) return;
        if (!error || reading.error > *error) error = reading.error;
        row.floor = std::max(row.floor, reading.expected_at_gain);
    }

    static void add_proof(std::optional<double>& worst, const std::optional<double>& proof) {
        if (proof && (!worst || *proof > *worst)) worst = proof;
    }

    void finish(SiteRow& row, const SiteReading& site, const Reading& reading,
                const ProductReading* product) {
        if (!reading.measured || row.state == "FIRST") return;
        if (blame_ && blame_->place.site == &site &&
            (blame_->place.product == product || blame_->place.product == nullptr)) {
            row.state = "FIRST";
            passed_ = true;
            return;
        }
        const bool off = reading.gain > floors::suspicious;
        const double floor = product != nullptr ? product->floor : reading.expected_at_gain;
        std::string state = "ok";
        if (reading.same_bits || reading.error == 0)
            state = "same";
        else if (passed_)
            state = "after";
        else if (off || reading.error > floors::suspicious * floor)
            state = "inherited";
        static const std::vector<std::string> order = {"not measured", "same", "ok", "inherited",
                                                       "after"};
        const auto rank = [&](const std::string& word) {
            return std::find(order.begin(), order.end(), word) - order.begin();
        };
        if (rank(state) > rank(row.state)) row.state = state;
    }

    const Alignment& alignment_;
    const std::optional<Blame>& blame_;
    std::vector<SiteRow> rows_;
    std::map<std::string, std::size_t> index_;
    bool passed_ = false;
};

struct Findings {
    bool same_bits = true;
    bool within_floor = true;
    bool hard_flip = false;
};

Findings look_over(const Comparison& comparison, int before_pass,
                   const std::vector<TokenRow>& tokens) {
    Findings found;
    const auto look = [&](const Reading& reading) {
        if (!reading.measured) return;
        found.same_bits = found.same_bits && (reading.same_bits || reading.error == 0);
        found.within_floor = found.within_floor && reading.gain <= floors::doubtful;
    };
    for (const PassReadings& pass : comparison.readings)
        for (const SiteReading& site : pass) {
            if (before_pass >= 0 && site.pass >= before_pass) continue;
            look(site.tensor);
            for (const ProductReading& product : site.products) {
                look(product.x);
                look(product.y);
            }
        }
    for (const TokenRow& token : tokens)
        found.hard_flip = found.hard_flip || (token.skipped.empty() && token.flip == "hard");
    return found;
}

Grade grade_of(const PairReport& report, const Findings& found, const JudgeOptions& options) {
    if (report.verdict == Verdict::parity) {
        if (found.same_bits) return Grade::identical;
        if (found.within_floor && !found.hard_flip) return Grade::within_floor;
    }
    if (report.worst_error > options.bad || found.hard_flip) return Grade::bad;
    if (report.worst_error >= options.reasonable) return Grade::poor;
    return report.verdict == Verdict::parity ? Grade::reasonable : Grade::poor;
}

std::string headline_of(const PairReport& report, std::size_t measured) {
    const std::string& a = report.a.team;
    const std::string& b = report.b.team;
    switch (report.verdict) {
        case Verdict::not_comparable:
            return fmt::format(
                "{} and {} cannot be compared: {}", a, b,
                report.reasons.empty() ? "nothing in common was measured" : report.reasons.front());
        case Verdict::divergence: {
            const FirstDivergence& first = *report.first_divergence;
            return fmt::format("{} parts from {} first at {} (token {}): {}", b, a,
                               first.checkpoint, first.token_idx, first.signature.name);
        }
        case Verdict::parity:
            break;
    }
    if (report.grade == Grade::identical)
        return fmt::format("{} and {} agree to the bit in all {} places measured", a, b,
                           grouped(measured));
    return fmt::format("{} computes what {} computes: {} places measured, {:.1e} at the end{}", b,
                       a, grouped(measured), report.worst_error,
                       report.precision.empty() ? "" : ", from " + report.precision);
}

/// Nothing may be called parity that was not looked at.
void check_what_was_seen(PairReport& report, std::size_t measured) {
    if (report.verdict != Verdict::parity) return;
    if (measured == 0) report.reasons.emplace_back("no place could be measured in both traces");
    for (const EngineFacts* facts : {&report.a, &report.b})
        if (facts->completeness == "incomplete")
            report.reasons.push_back(fmt::format(
                "the trace of {} is incomplete ({}): what is missing may be where they part",
                facts->team,
                facts->findings.empty() ? "see orchtrace info" : facts->findings.front()));
    for (const LedgerRow* ledger : {&report.ledger_a, &report.ledger_b})
        if (!ledger->adds_up)
            report.reasons.push_back(fmt::format("the ledger of {} does not add up", ledger->team));
    if (!report.reasons.empty()) {
        report.verdict = Verdict::not_comparable;
        report.grade = Grade::none;
    }
}

void judge_products(const Alignment& alignment, const Alignment* floor, const JudgeOptions& options,
                    PairReport& report, std::size_t& measured) {
    std::map<std::string, double> known;
    double noise = 0;
    if (floor != nullptr && !floor->products.empty()) {
        Measurer measurer{*floor};
        const Comparison run = compare_passes(*floor, options, {}, measurer);
        known = largest_errors(run);
        noise = logit_floor(run.tokens);
        report.calibrated = true;
    }
    Measurer measurer{alignment};
    const Comparison comparison = compare_passes(alignment, options, std::move(known), measurer);
    measured = comparison.measured;
    report.a = engine_facts(*alignment.a, comparison.options.a);
    report.b = engine_facts(*alignment.b, comparison.options.b);
    report.precision = arithmetic_text(comparison.options.a, comparison.options.b);

    BlameResult result = find_blame(alignment, comparison.readings, measurer, comparison.options);
    const int parted = result.tokens_part_at;
    report.verdict = result.blame ? Verdict::divergence : Verdict::parity;
    if (result.blame)
        report.first_divergence = describe(alignment, *result.blame, comparison.options);
    for (std::string& doubt : result.doubts)
        report.notes.push_back(std::move(doubt));

    SiteTable table{alignment, result.blame};
    for (const PassReadings& pass : comparison.readings)
        for (const SiteReading& site : pass)
            if (parted < 0 || site.pass < parted) table.add(site);
    report.sites = table.take();
    report.drift = drift_of(comparison.readings, parted < 0 ? -1 : parted - 1);
    report.tokens = comparison.tokens;
    classify_flips(report.tokens, noise);
    if (parted >= 0) {
        const std::int64_t from = alignment.passes[static_cast<std::size_t>(parted)].first_position;
        for (TokenRow& token : report.tokens)
            if (token.position >= from && token.skipped.empty())
                token.skipped = "the engines were fed different tokens";
        report.notes.push_back(fmt::format(
            "from position {} on the engines were fed different tokens: not compared", from));
    }
    const double end = final_error(comparison, parted);
    report.worst_error = std::isnan(end) ? 0 : end;
    report.grade = grade_of(report, look_over(comparison, parted, report.tokens), options);
}

}  // namespace

PairReport judge(const Alignment& alignment, const Alignment* floor, const JudgeOptions& options) {
    PairReport report;
    report.a = engine_facts(*alignment.a, {});
    report.b = engine_facts(*alignment.b, {});
    report.ledger_a = ledger_row(*alignment.a, alignment.ledger_a);
    report.ledger_b = ledger_row(*alignment.b, alignment.ledger_b);
    report.notes = alignment.notes;
    tell_weights(alignment, report);
    std::size_t measured = 0;
    if (!alignment.not_comparable.empty()) {
        report.reasons = alignment.not_comparable;
    } else if (is_plain(alignment)) {
        judge_plain(alignment, floor, options, report);
        for (const SiteRow& site : report.sites)
            measured += site.pairs;
    } else {
        judge_products(alignment, floor, options, report, measured);
    }
    check_what_was_seen(report, measured);
    report.headline = headline_of(report, measured);
    return report;
}

}  // namespace orch
