// A blamed place in the report's words.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzer/judge/blame.hpp"

namespace orch {
namespace {

struct Words {
    std::string op;
    int layer = -1;
    std::string checkpoint;
    std::string between;
    bool bracket = false;
};

Words words_of_product(const Blame& blame) {
    Words words;
    const Part part = blame.suspect.part;
    words.op = part == Part::other ? "product" : part_name(part);
    if (!blame.findings.empty() && !blame.findings.front().op.empty())
        words.op = blame.findings.front().op;
    words.layer = blame.suspect.layer;
    words.checkpoint = part == Part::other ? blame.suspect.label
                       : part == Part::head || words.layer < 0
                           ? words.op
                           : fmt::format("layer_{}_{}", words.layer, words.op);
    return words;
}

Words words_of_tensor(const Blame& blame) {
    Words words;
    words.checkpoint = blame.suspect.label;
    words.layer = blame.suspect.layer;
    const auto ends = [&](std::string_view tail) { return words.checkpoint.ends_with(tail); };
    if (words.checkpoint == "embedding" || words.checkpoint == "final_norm")
        words.op = words.checkpoint;
    else if (words.checkpoint == "logits")
        words.op = "head";
    else if (ends("_output"))
        words.op = "residual";
    else if (ends("_attn_out"))
        words.op = "o";
    else if (ends("_ffn_out"))
        words.op = "down";
    else if (ends("_ffn_norm"))
        words.op = "ffn_norm";
    else if (ends("_attn_norm"))
        words.op = "attn_norm";
    else if (ends("_q") || ends("_k") || ends("_v"))
        words.op = words.checkpoint.substr(words.checkpoint.size() - 1);
    else
        words.op = "attention";
    return words;
}

Words words_of_bracket(const Blame& blame) {
    const Suspect& suspect = blame.suspect;
    Words words;
    words.bracket = true;
    words.layer = suspect.layer;
    if (suspect.part == Part::other) {  // no name tells what it is
        words.op = "unknown";
        words.checkpoint = suspect.label;
        words.between = "what comes before the product " + suspect.label + " and that product";
        return words;
    }
    const bool residual = !blame.findings.empty() && blame.findings.front().op == "residual";
    // What goes on in the stream was there before the norm.
    const bool in_stream = residual || suspect.persists.value_or(false);
    const auto layer_word = [&](const char* word) {
        return fmt::format("layer_{}_{}", words.layer, word);
    };
    switch (suspect.step) {
        case Step::embedding:
            words.op = suspect.persists.value_or(false) ? "embedding" : "attn_norm";
            words.checkpoint =
                words.op == "embedding" ? std::string{"embedding"} : layer_word("attn_norm");
            words.between = "the token ids and the products of q, k and v of layer 0";
            if (words.op == "embedding") words.layer = -1;
            return words;
        case Step::attention:
            words.op = "attention";
            words.checkpoint = layer_word("attention");
            words.between =
                fmt::format("the products of q, k and v and that of o of layer {}", words.layer);
            return words;
        case Step::activation:
            words.op = "activation";
            words.checkpoint = layer_word("activation");
            words.between = fmt::format("the products of gate and up and that of down of layer {}",
                                        words.layer);
            return words;
        case Step::norm:
        case Step::product:
        case Step::tensor:
        case Step::unknown:
            break;
    }
    if (suspect.part == Part::head) {
        int last = -1;
        for (const Site& site : suspect.alignment->sites)
            last = std::max(last, site.layer);
        words.layer = in_stream ? last : -1;
        words.op = in_stream ? "residual" : "final_norm";
        words.checkpoint = in_stream ? layer_word("ffn_residual") : std::string{"final_norm"};
        words.between = fmt::format("the product of down of layer {} and that of the head", last);
        return words;
    }
    const bool feed_forward = suspect.part == Part::gate || suspect.part == Part::up ||
                              suspect.part == Part::gate_up || suspect.part == Part::router;
    if (feed_forward) {
        words.op = in_stream ? "residual" : "ffn_norm";
        words.checkpoint = layer_word(in_stream ? "attn_residual" : "ffn_norm");
        words.between =
            fmt::format("the product of o and those of gate and up of layer {}", words.layer);
        return words;
    }
    words.between =
        fmt::format("the product of down of layer {} and those of q, k and v of layer {}",
                    words.layer - 1, words.layer);
    words.op = in_stream ? "residual" : "attn_norm";
    if (in_stream) --words.layer;
    words.checkpoint = layer_word(in_stream ? "ffn_residual" : "attn_norm");
    return words;
}

Place place_of(const EngineTrace& engine, const std::vector<std::size_t>& products) {
    if (products.empty()) return {};
    const Entry& entry = engine.entry(engine.products[products.front()]);
    return {engine.path, entry.line, std::string{engine.trace->string(entry.checkpoint)}};
}

void tell_team(FirstDivergence& found, const Alignment& alignment, const Blame& blame,
               const FlowOptions& options) {
    const std::string& a = alignment.a->team;
    const std::string& b = alignment.b->team;
    if (blame.place.product != nullptr && blame.suspect.product) {
        const ProductData& product = *blame.suspect.product;
        if (product.proof_a && product.proof_b) {
            const bool bad_a = product.proof_a->error >
                               proof_floor(options.a, product.weight_type_a, product.rounding_a);
            const bool bad_b = product.proof_b->error >
                               proof_floor(options.b, product.weight_type_b, product.rounding_b);
            if (bad_a != bad_b) {
                found.team = bad_b ? b : a;
                found.team_because = fmt::format(
                    "proof: its result is {:.1e} away from its own input times its own weight; the "
                    "other engine's {:.1e}",
                    (bad_b ? product.proof_b : product.proof_a)->error,
                    (bad_b ? product.proof_a : product.proof_b)->error);
                return;
            }
        }
    }
    for (const Finding& finding : blame.findings)
        if (!finding.team.empty() && finding.signature.name == found.signature.name) {
            found.team = finding.team;
            found.team_because = finding.team_because;
            return;
        }
    found.team = b;
    found.team_because = "the reference is taken as right";
}

}  // namespace

FirstDivergence describe(const Alignment& alignment, const Blame& blame,
                         const FlowOptions& options) {
    FirstDivergence found;
    const SiteReading& site = *blame.place.site;
    const bool is_tensor = site.products.empty();
    const Reading& reading = blame.shown_by != nullptr        ? *blame.shown_by
                             : is_tensor                      ? site.tensor
                             : blame.place.product != nullptr ? blame.place.product->y
                                                              : site.x;
    const Words words = is_tensor                        ? words_of_tensor(blame)
                        : blame.place.product != nullptr ? words_of_product(blame)
                                                         : words_of_bracket(blame);
    found.op = words.op;
    found.layer = words.layer;
    found.checkpoint = words.checkpoint;
    found.between = words.between;
    found.bracket = words.bracket;
    found.pass = site.pass;
    found.token_idx =
        reading.first_off >= 0 ? reading.first_off : std::max<std::int64_t>(0, reading.position);
    if (reading.first_off < 0 && reading.position < 0 && !reading.rows.empty())
        found.token_idx = reading.rows.begin()->first;
    found.error = reading.error_at_gain;
    found.floor = reading.expected_at_gain;
    found.input_error = blame.suspect.input_error;
    const std::string arithmetic = arithmetic_text(options.a, options.b);
    found.floor_from =
        !options.known.empty()
            ? "run of the reference against itself"
            : "arithmetic of " + (arithmetic.empty() ? options.b.activations : arithmetic);
    if (!blame.findings.empty()) found.signature = blame.findings.front().signature;
    for (std::size_t i = 1; i < blame.findings.size(); ++i)
        if (blame.findings[i].signature.confidence >= 0.2)
            found.also.push_back(blame.findings[i].signature);
    if (blame.findings.empty()) {
        found.signature.because = "none of the known signatures fits";
        found.signature.falsifier = "both engines' tensors inside this place, logged in full";
    }
    tell_team(found, alignment, blame, options);

    found.evidence.push_back(fmt::format(
        "{} differs by {:.1e} at {}, where {:.1e} was to be expected",
        found.bracket ? "what leaves " + found.checkpoint : found.checkpoint, found.error,
        reading.position >= 0 ? fmt::format("position {}", reading.position) : "all rows together",
        found.floor));
    if (blame.place.product != nullptr) {
        found.evidence.push_back(
            fmt::format("its input agrees to {:.1e}", blame.place.product->x.error));
        if (blame.suspect.product && blame.suspect.product->proof_b)
            found.evidence.push_back(
                fmt::format("by its own input and weight {}'s result is off by {:.1e}",
                            alignment.b->team, blame.suspect.product->proof_b->error));
    }
    std::vector<std::string> rows;
    for (const auto& [position, row] : reading.rows)
        if (rows.size() < 8) rows.push_back(fmt::format("{}: {:.1e}", position, row.error));
    if (rows.size() > 1)
        found.evidence.push_back(fmt::format("errors by position: {}", fmt::join(rows, ", ")));
    if (!found.signature.because.empty()) found.evidence.push_back(found.signature.because);

    if (!is_tensor) {
        const ProductPair* pair =
            blame.place.product != nullptr ? blame.place.product->pair : site.products.front().pair;
        found.reference = place_of(*alignment.a, pair->a);
        found.other = place_of(*alignment.b, pair->b);
    } else {
        const TensorPair& tensor = alignment.tensors[static_cast<std::size_t>(site.site->tensor)];
        const Entry& a = alignment.a->trace->entries()[tensor.a];
        const Entry& b = alignment.b->trace->entries()[tensor.b];
        found.reference = {alignment.a->path, a.line, tensor.checkpoint};
        found.other = {alignment.b->path, b.line, tensor.checkpoint};
    }
    return found;
}

}  // namespace orch
