// The pipeline: identity, passes, products, tensors, names, ledger.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "analyzer/align/alignment.hpp"
#include "analyzer/align/identity.hpp"
#include "analyzer/align/ledger.hpp"
#include "analyzer/align/passes.hpp"
#include "analyzer/align/roles.hpp"
#include "analyzer/align/sites.hpp"
#include "analyzer/align/tensors.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

void drop_passes(const EngineTrace& engine, const std::vector<std::string>& reasons, Fates& fates) {
    for (const Product& product : engine.products) {
        if (product.pass < 0)
            fates.drop(product.entry, "outside of any forward pass");
        else if (!reasons[at(product.pass)].empty())
            fates.drop(product.entry, reasons[at(product.pass)]);
    }
    for (std::size_t i = 0; i < engine.passes.size(); ++i) {
        if (reasons[i].empty()) continue;
        for (const std::size_t tensor : engine.passes[i].tensors)
            fates.drop(tensor, reasons[i]);
    }
}

/// The order of the reference's data flow: that of its calls in the last chunk of a pass.
void sort_sites(Alignment& alignment) {
    const auto key = [&](const Site& site) {
        std::size_t place = 0;
        if (site.tensor >= 0) {
            place = alignment.tensors[at(site.tensor)].a;
            const std::int64_t call = alignment.a->trace->entries()[place].call;
            if (call >= 0) place = static_cast<std::size_t>(call);
        } else {
            const std::size_t last = alignment.products[site.products.front()].a.back();
            const Entry& entry = alignment.a->entry(alignment.a->products[last]);
            place = entry.call >= 0 ? static_cast<std::size_t>(entry.call) : last;
        }
        return std::pair{site.pass < 0 ? alignment.passes.size() : at(site.pass), place};
    };
    std::vector<std::pair<std::pair<std::size_t, std::size_t>, std::size_t>> order;
    for (std::size_t i = 0; i < alignment.sites.size(); ++i)
        order.emplace_back(key(alignment.sites[i]), i);
    std::sort(order.begin(), order.end());
    std::vector<Site> sorted;
    sorted.reserve(order.size());
    for (const auto& [place, index] : order)
        sorted.push_back(std::move(alignment.sites[index]));
    alignment.sites = std::move(sorted);
}

void find_lone_weights(Alignment& alignment) {
    const auto lone = [&](const EngineTrace& engine, bool of_b) {
        std::vector<bool> found(engine.weights.size());
        for (const WeightMatch& match : alignment.weights) {
            for (const int weight : of_b ? match.b : match.a)
                found[at(weight)] = true;
        }
        std::vector<int> result;
        for (std::size_t i = 0; i < found.size(); ++i) {
            if (!found[i] && !engine.weights[i].is_activation)
                result.push_back(static_cast<int>(i));
        }
        return result;
    };
    alignment.lone_weights_a = lone(*alignment.a, false);
    alignment.lone_weights_b = lone(*alignment.b, true);
}

/// What one trace alone says about how far it can be trusted.
void judge_trace(const EngineTrace& engine, Alignment& alignment) {
    const std::uint64_t bad = engine.trace->counts().bad_lines;
    if (engine.facts.completeness == Completeness::incomplete) {
        const std::string why =
            engine.facts.findings.empty() ? engine.facts.reason : engine.facts.findings.front();
        alignment.not_comparable.push_back(
            fmt::format("the trace of {} is incomplete: {}; what is missing could hide a "
                        "difference: trace it again",
                        engine.team, why));
    } else if (bad > 0) {
        alignment.not_comparable.push_back(fmt::format(
            "{} of {} cannot be read, the first is line {}; what is missing could hide a "
            "difference: trace it again",
            counted(bad, "line"), engine.path,
            engine.trace->bad_lines().empty() ? 0 : engine.trace->bad_lines().front().line));
    } else if (engine.facts.completeness == Completeness::unknown) {
        alignment.notes.push_back(fmt::format(
            "no ledger vouches for the lines of {}: whether some are missing is not known",
            engine.team));
    }
    for (const BlindSpot& spot : engine.facts.blind_spots)
        alignment.notes.push_back(fmt::format("{} has a blind spot: {}: {}", engine.team,
                                              printable(spot.what), printable(spot.why)));
}

void judge_ledger(const EngineTrace& engine, const SideLedger& ledger, Alignment& alignment) {
    if (ledger.unmatched.empty()) return;
    const Unmatched& first = ledger.unmatched.front();
    const Entry& entry = engine.trace->entries()[first.entry];
    alignment.not_comparable.push_back(
        fmt::format("{} of {} {} no counterpart, the first is {}:{} ({}): {}",
                    counted(ledger.unmatched.size(), "record"), engine.team,
                    ledger.unmatched.size() == 1 ? "has" : "have", engine.path, entry.line,
                    printable(engine.trace->string(entry.checkpoint)), first.why));
}

void tell_of_experts(Alignment& alignment) {
    std::uint64_t count = 0;
    for (const SideLedger* ledger : {&alignment.ledger_a, &alignment.ledger_b}) {
        const auto found = ledger->dropped.find(other_expert);
        if (found != ledger->dropped.end()) count += found->second;
    }
    if (count == 0) return;
    alignment.notes.push_back(fmt::format(
        "the engines chose different experts: {} of one of them took no part in the comparison",
        counted(count, "product")));
}

void judge(Alignment& alignment) {
    tell_of_experts(alignment);
    judge_trace(*alignment.a, alignment);
    judge_trace(*alignment.b, alignment);
    const bool a_has_products = !alignment.a->products.empty();
    const bool b_has_products = !alignment.b->products.empty();
    if (alignment.products.empty() && alignment.tensors.empty()) {
        alignment.not_comparable.push_back(
            a_has_products && b_has_products
                ? "the traces have no pass and no tensor in common; were both engines given the "
                  "same model and prompt?"
                : "the traces have no checkpoint in common; 'orchtrace info' lists those of each");
    }
    judge_ledger(*alignment.a, alignment.ledger_a, alignment);
    judge_ledger(*alignment.b, alignment.ledger_b, alignment);
}

}  // namespace

Alignment align(const EngineTrace& a, const EngineTrace& b) {
    Alignment alignment;
    alignment.a = &a;
    alignment.b = &b;
    Fates fates_a(a);
    Fates fates_b(b);

    // Which weights are the same: holds for all passes.
    const Identity identity = identify(a, b);

    // Which passes did the same work. From here on no pass is added.
    PassPairs passes = pair_passes(a, b);
    alignment.passes = std::move(passes.pairs);
    alignment.not_comparable = std::move(passes.not_comparable);
    alignment.notes = std::move(passes.notes);

    // Lines first: one may stand for a tensor of a pass that has no partner.
    pair_logs(alignment, fates_a, fates_b);
    drop_passes(a, passes.dropped_a, fates_a);
    drop_passes(b, passes.dropped_b, fates_b);
    pair_products(identity, alignment, fates_a, fates_b);
    pair_tensors(alignment, fates_a, fates_b);
    sort_sites(alignment);

    // From here on no match is added.
    judge_contents(a, b, alignment.weights);
    find_lone_weights(alignment);
    label(alignment);

    alignment.ledger_a = fates_a.ledger();
    alignment.ledger_b = fates_b.ledger();
    judge(alignment);
    return alignment;
}

std::string evidence_text(unsigned evidence) {
    constexpr std::pair<Evidence, std::string_view> words[] = {
        {by_weight, "weight"}, {by_shape, "shape"}, {by_order, "order"},
        {by_energy, "energy"}, {by_name, "name"},   {by_value, "value"}};
    std::string text;
    for (const auto& [bit, word] : words) {
        if ((evidence & bit) != 0) text += fmt::format("{}{}", text.empty() ? "" : ", ", word);
    }
    return text;
}

}  // namespace orch
