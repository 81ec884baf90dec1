// Whole alignments of engines that run one model.
#include <gtest/gtest.h>

#include "tests/align/align_support.hpp"

namespace orch {
namespace {

const std::vector<std::string> all_sites{
    "layer_0_qkv", "layer_0_attn_out", "layer_0_gate_up", "layer_0_ffn_down",
    "layer_1_qkv", "layer_1_attn_out", "layer_1_gate_up", "layer_1_ffn_down",
    "layer_2_qkv", "layer_2_attn_out", "layer_2_gate_up", "layer_2_ffn_down",
    "head"};

std::uint64_t dropped(const SideLedger& ledger, const std::string& reason) {
    const auto found = ledger.dropped.find(reason);
    return found == ledger.dropped.end() ? 0 : found->second;
}

/// The weight of one place replaced, as seen by the engine that runs it.
FakeEngine with_weight(FakeEngine engine, const FakeModel& model, int layer, const std::string& op,
                       const FakeWeight& weight) {
    engine.weight_of = [&model, layer, op, weight](int at, const std::string& of) {
        if (at == layer && of == op) return weight;
        return at < 0 ? model.weights.at(of) : model.at(at, of);
    };
    return engine;
}

TEST(Align, FindsEveryProductOfANamelessEngine) {
    const FakeModel model = fake_model();
    const Aligned result = aligned(model, llama(), torch());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->passes.size(), 3U);
    EXPECT_EQ(result->weights.size(), 22U);
    EXPECT_EQ(result->products.size(), 66U);
    EXPECT_EQ(result.sites(0), all_sites);
    EXPECT_EQ(result.sites(2), all_sites);
    EXPECT_EQ(result->ledger_a.matched, 66U);
    EXPECT_EQ(dropped(result->ledger_a, "tensor that the other engine does not name"), 9U);
    EXPECT_EQ(dropped(result->ledger_b, "two activations, no weight"), 3U * 3 * 4);
    for (const ProductPair& pair : result->products) {
        EXPECT_TRUE(is_proven(pair.evidence));
        EXPECT_EQ(pair.wrong_match, -1);
    }
}

TEST(Align, TellsPartsApartWhateverTheOrderOfCallsIs) {
    const FakeModel model = fake_model();
    const Aligned result = aligned(model, llama(), torch());
    const Site* site = result.site(0, "layer_1_qkv");
    ASSERT_NE(site, nullptr);
    ASSERT_EQ(site->products.size(), 3U);
    std::vector<std::string> labels;
    for (const std::size_t product : site->products)
        labels.push_back(result->weights[result->products[product].match].label);
    EXPECT_EQ(labels,
              (std::vector<std::string>{"layer_1_attn_q", "layer_1_attn_v", "layer_1_attn_k"}));
    EXPECT_EQ(site->layer, 1);
    EXPECT_EQ(site->part, Part::q);
}

TEST(Align, AddsUpWhatAnEngineFuses) {
    const FakeModel model = fake_model();
    FakeEngine fused = torch();
    fused.fused_qkv = fused.fused_gate_up = true;
    const Aligned result = aligned(model, llama(), fused);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result.sites(0), all_sites);
    EXPECT_EQ(result->products.size(), 3U * 13);
    EXPECT_EQ(result->ledger_a.merged, 3U * 3 * 5);
    const WeightMatch* qkv = result.weight("layer_2_qkv");
    ASSERT_NE(qkv, nullptr);
    EXPECT_EQ(qkv->a.size(), 3U);
    EXPECT_EQ(qkv->b.size(), 1U);
    EXPECT_EQ(qkv->content, Content::equal);
    EXPECT_EQ(qkv->rows, RowOrder::same);
    EXPECT_EQ(qkv->rows_text,
              "blk.2.attn_q.weight, blk.2.attn_k.weight, blk.2.attn_v.weight one below the other");
    // The other way round.
    const Aligned back = aligned(run(model, fused).whole(), run(model, llama()).whole());
    EXPECT_EQ(back.why(), "");
    EXPECT_EQ(back.sites(0), all_sites);
    EXPECT_EQ(back->ledger_b.merged, 3U * 3 * 5);
}

TEST(Align, BothSidesMayFuseOtherParts) {
    const FakeModel model = fake_model();
    FakeEngine one = torch();
    one.fused_qkv = true;
    FakeEngine other = torch();
    other.fused_gate_up = true;
    const Aligned result = aligned(model, one, other);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->products.size(), 3U * 13);
}

TEST(Align, NamelessEnginesGetTheirLayersFromTheOrder) {
    const FakeModel model = fake_model();
    FakeEngine fused = torch();
    fused.fused_qkv = true;
    const Aligned result = aligned(model, torch(), fused);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result.sites(1), all_sites);
    const bool says_so =
        std::any_of(result->notes.begin(), result->notes.end(), [](const std::string& note) {
            return note.find("are inferred from the order") != std::string::npos;
        });
    EXPECT_TRUE(says_so);
}

TEST(Align, AWeightOfAnotherLayerIsFoundByItsPlace) {
    const FakeModel model = fake_model();
    for (const char* op : {"q", "o", "down"}) {
        const Aligned result =
            aligned(run(model, llama()).whole(),
                    run(model, with_weight(torch(), model, 0, op, model.at(1, op))).whole());
        EXPECT_EQ(result.why(), "") << result.text();
        int wrong = 0;
        for (const ProductPair& pair : result->products) {
            if (pair.wrong_match < 0) continue;
            ++wrong;
            const WeightMatch& here = result->weights[pair.match];
            EXPECT_EQ(here.role.layer, 0) << op;
            EXPECT_EQ(here.content, Content::changed);
            EXPECT_EQ(result->weights[pair.wrong_match].role.layer, 1) << op;
            EXPECT_EQ(result->weights[pair.wrong_match].role.part, here.role.part);
            EXPECT_FALSE(pair.evidence & by_weight);
            EXPECT_TRUE(pair.evidence & by_order);
        }
        EXPECT_EQ(wrong, 3) << op;
        EXPECT_EQ(result.sites(0), all_sites);
    }
}

TEST(Align, TwoUsesOfOneWeightAreToldApartByTheirPlace) {
    // The engine's own pointer is wrong: one id, used twice in a pass.
    const FakeModel model = fake_model();
    FakeEngine engine = with_weight(torch(), model, 2, "o", model.at(0, "o"));
    engine.id_of = [](int layer, const std::string& op) {
        return op == "o" && layer != 1 ? "w9" : "";
    };
    const Aligned result = aligned(run(model, llama()).whole(), run(model, engine).whole());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result.sites(0), all_sites);
    const Site* site = result.site(0, "layer_2_attn_out");
    ASSERT_NE(site, nullptr);
    const ProductPair& pair = result->products[site->products[0]];
    ASSERT_GE(pair.wrong_match, 0);
    EXPECT_EQ(result->weights[pair.wrong_match].label, "layer_0_attn_out");
    EXPECT_EQ(result->products[result.site(0, "layer_0_attn_out")->products[0]].wrong_match, -1);
}

TEST(Align, LayersThatChangedPlacesAreAllWrong) {
    const FakeModel model = fake_model();
    FakeEngine engine = torch();
    engine.weight_of = [&](int layer, const std::string& op) {
        if (layer < 0) return model.weights.at(op);
        return model.at(layer == 0 ? 1 : layer == 1 ? 0 : layer, op);
    };
    const Aligned result = aligned(run(model, llama()).whole(), run(model, engine).whole());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result.sites(0), all_sites);
    const auto wrong = std::count_if(result->products.begin(), result->products.end(),
                                     [](const ProductPair& pair) { return pair.wrong_match >= 0; });
    EXPECT_EQ(wrong, 3 * 14);
}

TEST(Align, AnUnknownWeightIsPairedByItsPlaceAndSaidToBeAnother) {
    const FakeModel model = fake_model();
    const FakeWeight other = random_weight(64, 64, 4711);
    const Aligned result = aligned(run(model, llama()).whole(),
                                   run(model, with_weight(torch(), model, 1, "o", other)).whole());
    EXPECT_EQ(result.why(), "") << result.text();
    const WeightMatch* match = result.weight("layer_1_attn_out");
    ASSERT_NE(match, nullptr);
    EXPECT_EQ(match->content, Content::changed);
    EXPECT_GT(match->distance, 0.4);
    EXPECT_TRUE(result->lone_weights_a.empty());
    EXPECT_EQ(result.sites(0), all_sites);
}

TEST(Align, AFusedWeightWithOneWrongPartIsPairedByItsPlace) {
    const FakeModel model = fake_model();
    FakeEngine engine = with_weight(torch(), model, 1, "v", model.at(2, "v"));
    engine.fused_qkv = true;
    const Aligned result = aligned(run(model, llama()).whole(), run(model, engine).whole());
    EXPECT_EQ(result.why(), "") << result.text();
    const WeightMatch* match = result.weight("layer_1_qkv");
    ASSERT_NE(match, nullptr);
    EXPECT_EQ(match->a.size(), 3U);
    EXPECT_EQ(match->content, Content::changed);
}

TEST(Align, PassesAreJoinedOverChunks) {
    const FakeModel model = fake_model();
    FakeEngine one = llama();
    one.passes = {9, 1, 1};
    FakeEngine chunked = torch();
    chunked.passes = {4, 4, 1, 1, 1};
    chunked.logits = {false, false, true, true, true};
    const Aligned result = aligned(model, one, chunked);
    EXPECT_EQ(result.why(), "") << result.text();
    ASSERT_EQ(result->passes.size(), 3U);
    EXPECT_EQ(result->passes[0].chunks_a, (std::vector<int>{0}));
    EXPECT_EQ(result->passes[0].chunks_b, (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(result->passes[0].tokens, 4);
    EXPECT_EQ(result->passes[1].first_position, 9);
    const Site* site = result.site(0, "layer_1_attn_out");
    ASSERT_NE(site, nullptr);
    EXPECT_EQ(result->products[site->products[0]].b.size(), 3U);
    EXPECT_EQ(result.sites(0), all_sites);
}

TEST(Align, ChunksThatOverlapAreOnePair) {
    const FakeModel model = fake_model();
    FakeEngine a = llama();
    a.passes = {6, 4, 1};
    a.logits = {false, true, true};
    FakeEngine b = llama();
    b.team = "other";
    b.passes = {4, 6, 1};
    b.logits = {false, true, true};
    const Aligned result = aligned(model, a, b);
    EXPECT_EQ(result.why(), "") << result.text();
    ASSERT_EQ(result->passes.size(), 2U);
    EXPECT_EQ(result->passes[0].chunks_a.size(), 2U);
    EXPECT_EQ(result->passes[0].chunks_b.size(), 2U);
    EXPECT_EQ(result.sites(0), all_sites);
}

TEST(Align, ALongerGenerationIsNoHole) {
    const FakeModel model = fake_model();
    FakeEngine longer = torch();
    longer.passes = {4, 1, 1, 1, 1};
    const Aligned result = aligned(model, llama(), longer);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->passes.size(), 3U);
    EXPECT_EQ(dropped(result->ledger_b, "pass that the other engine did not run"), 2U * (22 + 12));
}

TEST(Align, PromptsOfOtherLengthsAreNotComparable) {
    const FakeModel model = fake_model();
    FakeEngine shorter = torch();
    shorter.passes = {3, 1, 1};
    const Aligned result = aligned(model, llama(), shorter);
    EXPECT_NE(
        result.why().find("the prompts differ in length: 4 tokens in llama.cpp, 3 in pytorch"),
        std::string::npos)
        << result.why();
}

TEST(Align, OtherTokensInThePromptAreNotComparable) {
    const FakeModel model = fake_model();
    FakeEngine other = llama();
    other.team = "other";
    other.tokens[2] = 99;
    const Aligned result = aligned(model, llama(), other);
    EXPECT_NE(result.why().find("at position 2 llama.cpp was fed token 9, other token 99"),
              std::string::npos)
        << result.why();
}

TEST(Align, WhatFollowsAnotherChosenTokenIsLeftOut) {
    const FakeModel model = fake_model();
    FakeEngine other = llama();
    other.team = "other";
    other.tokens[5] = 99;
    const Aligned result = aligned(model, llama(), other);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->passes.size(), 2U);
    EXPECT_EQ(dropped(result->ledger_a, "after the engines chose different tokens"), 22U + 3);
}

TEST(Align, ANamelessEngineShowsByItsInputThatItChoseAnotherToken) {
    const FakeModel model = fake_model();
    FakeEngine reference = llama();
    reference.tokens = {7, 8, 9, 10, 5, 5};  // it feeds what wins
    FakeEngine other = torch();
    other.tokens = {7, 8, 9, 10, 6, 6};
    other.winners = {6, 6, 6};
    const Aligned result = aligned(model, reference, other);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->passes.size(), 1U);
    EXPECT_EQ(dropped(result->ledger_b, "after the engines chose different tokens"),
              2U * (22 + 12));
    // The same inputs although another token won: the token was given, and stays.
    other.tokens = reference.tokens;
    EXPECT_EQ(aligned(model, reference, other)->passes.size(), 3U);
    // Other inputs although the same token won: that is a fault, and stays.
    other.tokens = {7, 8, 9, 10, 6, 6};
    other.winners = {5, 5, 5};
    EXPECT_EQ(aligned(model, reference, other)->passes.size(), 3U);
}

TEST(Align, WarmUpBeforeTheFirstRequestIsLeftOut) {
    const FakeModel model = fake_model();
    FakeTrace trace("llama.cpp");
    FakeEngine warm_up = llama();
    warm_up.passes = {2};
    warm_up.tokens = {1, 2};
    run(model, warm_up, trace);
    run(model, llama(), trace);
    const Aligned result = aligned(trace.whole(), run(model, torch()).whole());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->passes.size(), 3U);
    EXPECT_EQ(result->passes[0].a, 1);
    EXPECT_EQ(dropped(result->ledger_a, "warm-up before the first request"), 22U + 3);
}

TEST(Align, RequestsAreJoinedByTheirPrompts) {
    const FakeModel model = fake_model();
    const auto requests = [&](FakeEngine engine, const std::vector<std::int64_t>& prompts) {
        FakeTrace trace(engine.team);
        for (const std::int64_t prompt : prompts) {
            engine.passes = {prompt, 1};
            run(model, engine, trace);
        }
        return trace.whole();
    };
    const Aligned result = aligned(requests(llama(), {4, 6, 3}), requests(llama(), {4, 3}));
    EXPECT_EQ(result.why(), "") << result.text();
    ASSERT_EQ(result->passes.size(), 4U);
    EXPECT_EQ(result->passes[2].a, 4);
    EXPECT_EQ(result->passes[2].b, 2);
    EXPECT_EQ(dropped(result->ledger_a, "request that the other engine did not run"), 2U * 25);
}

TEST(Align, APassWithoutLogitsEndsEarly) {
    const FakeModel model = fake_model();
    const auto two_requests = [&](FakeEngine engine, bool logits) {
        FakeTrace trace(engine.team);
        engine.passes = {4};
        engine.logits = {logits};
        run(model, engine, trace);
        engine.passes = {3, 1};
        engine.logits.clear();
        run(model, engine, trace);
        return trace.whole();
    };
    const Aligned result = aligned(two_requests(llama(), false), two_requests(torch(), true));
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(dropped(result->ledger_b, "rows that the other engine did not go on with"), 4U);
}

TEST(Align, AProductThatIsMissingIsAHole) {
    const FakeModel model = fake_model();
    const FakeTrace whole = run(model, torch());
    std::string text;
    for (const std::string& line : whole.lines()) {
        if (line.find(R"("checkpoint":"gemm.000030")") == std::string::npos) text += line;
    }
    const Aligned result = aligned(run(model, llama()).text(), text);
    EXPECT_NE(result.why().find("has no counterpart"), std::string::npos) << result.why();
    EXPECT_EQ(result->ledger_a.unmatched.size(), 1U);
}

TEST(Align, AnIncompleteTraceIsNotComparable) {
    const FakeModel model = fake_model();
    std::string text = run(model, torch()).whole();
    text.resize(text.rfind("\n", text.size() - 2) + 1);  // the ledger is gone
    const Aligned result = aligned(run(model, llama()).whole(), text);
    EXPECT_NE(result.why().find("the trace of pytorch is incomplete"), std::string::npos)
        << result.why();
}

TEST(Align, BadLinesAreNotComparable) {
    const FakeModel model = fake_model();
    const Aligned result =
        aligned(run(model, llama()).text() + "{\"a\":\n", run(model, torch()).text());
    EXPECT_NE(result.why().find("1 line of"), std::string::npos) << result.why();
}

TEST(Align, OtherModelsAreNotComparable) {
    const Aligned result =
        aligned(run(fake_model(3, 1), llama()).whole(), run(fake_model(2, 900), torch()).whole());
    EXPECT_FALSE(result->not_comparable.empty());
}

TEST(Align, WithoutWeightIdsPlacesDecide) {
    const FakeModel model = fake_model();
    FakeTrace without("pytorch");
    for (const std::string& line : run(model, torch()).lines()) {
        if (line.find(R"("kind":"weight")") != std::string::npos) continue;
        std::string text = line;
        const std::size_t at = text.find(R"("weight":")");
        if (at != std::string::npos) text.erase(at, text.find(',', at) + 1 - at);
        without.line(text);
    }
    const Aligned result = aligned(run(model, llama()).text(), without.text());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->ledger_a.matched, 66U) << result.text();
    for (const ProductPair& pair : result->products) {
        EXPECT_EQ(pair.match, -1);
        EXPECT_EQ(pair.evidence & (by_weight | by_shape | by_order),
                  static_cast<unsigned>(by_shape | by_order));
    }
}

TEST(Align, NamesJoinEnginesThatSketchNoWeights) {
    const FakeModel model = fake_model();
    FakeEngine other = llama();
    other.team = "other";
    const auto without_sketches = [&](const FakeEngine& engine) {
        std::string text;
        for (const std::string& line : run(model, engine).lines()) {
            if (line.find(R"("kind":"weight")") == std::string::npos) text += line;
        }
        return text;
    };
    const Aligned result = aligned(without_sketches(llama()), without_sketches(other));
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->ledger_a.matched, 66U + 9);
    for (const ProductPair& pair : result->products) {
        EXPECT_TRUE(pair.evidence & by_name);
        EXPECT_FALSE(pair.evidence & by_weight);
    }
    EXPECT_EQ(result->weights[0].content, Content::unknown);
}

TEST(Align, NanInAnActivationMakesItNoWeight) {
    const FakeModel model = fake_model();
    FakeTrace trace("pytorch");
    int operands = 0;
    for (std::string line : run(model, torch()).lines()) {
        // The operands of attention hold nothing but NaN: one content, seen again and again.
        const std::size_t at = line.find(R"("weight":"w10)");
        const bool is_operand = at != std::string::npos && line.find('"', at + 10) - at > 15;
        if (is_operand && line.find(R"("kind":"weight")") != std::string::npos) {
            if (operands++ > 1) continue;
            const std::size_t end = line.find(R"("row_digests")");
            line.insert(end, R"("nan":8,"pos_inf":0,"neg_inf":0,)");
        }
        trace.line(line);
    }
    const Aligned result = aligned(run(model, llama()).text(), trace.text());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->products.size(), 66U);
}

TEST(Align, ThreadsMayMixLinesAndPasses) {
    const FakeModel model = fake_model();
    const FakeTrace trace = run(model, llama());
    std::vector<std::string> lines = trace.lines();
    std::reverse(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines)
        text += line;
    const Aligned result = aligned(text, run(model, torch()).text());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->products.size(), 66U);
    EXPECT_EQ(result.sites(0), all_sites);
}

TEST(Align, OrderOfTracesDoesNotMatter) {
    const FakeModel model = fake_model();
    const Aligned result = aligned(model, torch(), llama());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->products.size(), 66U);
    EXPECT_EQ(result.sites(0), all_sites);
}

}  // namespace
}  // namespace orch
