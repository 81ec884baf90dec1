// Which weights are the same, how far apart they may be, and how their rows are ordered.
#include <gtest/gtest.h>

#include "analyzer/align/sites.hpp"
#include "analyzer/weights/model_index.hpp"
#include "tests/align/align_support.hpp"

namespace orch {
namespace {

using Change = std::function<FakeWeight(int, const std::string&, const FakeWeight&)>;

FakeEngine changed(FakeEngine engine, const FakeModel& model, Change change) {
    engine.weight_of = [&model, change = std::move(change)](int layer, const std::string& op) {
        return change(layer, op, layer < 0 ? model.weights.at(op) : model.at(layer, op));
    };
    return engine;
}

Aligned aligned_with(const FakeModel& model, const FakeEngine& engine) {
    return aligned(run(model, llama()).whole(), run(model, engine).whole());
}

TEST(Weights, TheSameNumbersInAnotherTypeAreRounding) {
    const FakeModel model = fake_model();
    for (const auto& [type, relative] :
         {std::pair{"bf16", 1.7e-3}, std::pair{"q8_0", 5e-3}, std::pair{"q4_0", 9e-2}}) {
        unsigned seed = 1050;
        std::map<std::string, FakeWeight> own;
        for (const auto& [name, weight] : model.weights)
            own[name] = rounded(weight, relative, type, seed++);
        const Aligned result = aligned_with(
            model,
            changed(torch(), model, [&](int layer, const std::string& op, const FakeWeight&) {
                return own.at(layer < 0 ? op : std::to_string(layer) + "." + op);
            }));
        EXPECT_EQ(result.why(), "") << result.text();
        ASSERT_EQ(result->weights.size(), 22U);
        for (const WeightMatch& match : result->weights) {
            EXPECT_EQ(match.content, Content::rounding) << type << " " << match.label;
            EXPECT_NEAR(match.expected, relative, relative / 2) << type;
            EXPECT_EQ(match.rows, RowOrder::same) << type << " " << match.label;
        }
    }
}

TEST(Weights, OneThatIsFurtherOffThanItsLikeHasChanged) {
    const FakeModel model = fake_model();
    const auto change = [](int layer, const std::string& op, const FakeWeight& weight) {
        return layer == 1 && op == "down" ? rounded(weight, 2e-2, "f32", 1007)
                                          : rounded(weight, 1e-3, "f32", 1008);
    };
    const Aligned result = aligned_with(model, changed(torch(), model, change));
    for (const WeightMatch& match : result->weights) {
        EXPECT_EQ(match.content,
                  match.label == "layer_1_ffn_down" ? Content::changed : Content::rounding)
            << match.label << result.text();
    }
}

TEST(Weights, OneChangedRowIsAChangeAndIsNamed) {
    const FakeModel model = fake_model();
    const auto change = [](int layer, const std::string& op, const FakeWeight& weight) {
        FakeWeight own = weight;
        if (layer == 1 && op == "up") own.rows[8] = own.rows[9];
        return own;
    };
    const Aligned result = aligned_with(model, changed(torch(), model, change));
    const WeightMatch* match = result.weight("layer_1_ffn_up");
    ASSERT_NE(match, nullptr);
    EXPECT_EQ(match->content, Content::changed);
    EXPECT_EQ(match->rows, RowOrder::same);
    EXPECT_EQ(match->rows_text, "rows that differ: 8");
}

TEST(Weights, SizeAndSignCount) {
    const FakeModel model = fake_model();
    for (const double factor : {1.05, -1.0}) {
        const auto change = [&](int layer, const std::string& op, const FakeWeight& weight) {
            return layer == 2 && op == "o" ? scaled(weight, factor) : weight;
        };
        const Aligned result = aligned_with(model, changed(torch(), model, change));
        EXPECT_EQ(result.why(), "") << result.text();
        const WeightMatch* match = result.weight("layer_2_attn_out");
        ASSERT_NE(match, nullptr) << factor;
        EXPECT_EQ(match->content, Content::changed);
        EXPECT_NEAR(match->distance, std::abs(factor - 1), std::abs(factor - 1) / 5);
    }
}

TEST(Weights, InfersTheOrderOfHeads) {
    const FakeModel model = fake_model();
    const auto change = [](int, const std::string& op, const FakeWeight& weight) {
        return op == "q" || op == "k" ? half_split(weight, 16) : weight;
    };
    const Aligned result = aligned_with(model, changed(torch(), model, change));
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result.weight("layer_0_attn_q")->rows, RowOrder::permuted);
    EXPECT_EQ(result.weight("layer_0_attn_q")->rows_text,
              "interleaved against half-split, heads of 16");
    EXPECT_EQ(result.weight("layer_0_attn_v")->rows, RowOrder::same);
    const Aligned back =
        aligned(run(model, changed(torch(), model, change)).whole(), run(model, llama()).whole());
    EXPECT_EQ(back.weight("layer_0_attn_q")->rows_text,
              "half-split against interleaved, heads of 16");
}

TEST(Weights, InfersTheOrderOfHeadsInAFusedWeight) {
    const FakeModel model = fake_model();
    FakeEngine engine =
        changed(torch(), model, [](int, const std::string& op, const FakeWeight& weight) {
            return op == "q" || op == "k" ? half_split(weight, 16) : weight;
        });
    engine.fused_qkv = true;
    const Aligned result = aligned_with(model, engine);
    EXPECT_EQ(result.weight("layer_0_qkv")->rows, RowOrder::permuted);
    EXPECT_EQ(result.weight("layer_0_qkv")->rows_text,
              "blk.0.attn_q.weight, blk.0.attn_k.weight, blk.0.attn_v.weight one below the other; "
              "interleaved against half-split, heads of 16");
}

TEST(Weights, RowsInAnyOtherOrderAreTheSameWeight) {
    const FakeModel model = fake_model();
    const auto change = [](int, const std::string& op, const FakeWeight& weight) {
        FakeWeight own = weight;
        if (op == "gate") std::reverse(own.rows.begin(), own.rows.end());
        return own;
    };
    const Aligned result = aligned_with(model, changed(torch(), model, change));
    EXPECT_EQ(result.weight("layer_0_ffn_gate")->content, Content::equal);
    EXPECT_EQ(result.weight("layer_0_ffn_gate")->rows, RowOrder::permuted);
    EXPECT_EQ(result.weight("layer_0_ffn_gate")->rows_text, "the same rows in another order");
}

TEST(Weights, CopiesOfOneContentAreToldApartByTheirPlace) {
    FakeModel model = fake_model();
    model.weights["2.o"] = model.weights["0.o"];  // shared in both engines
    const Aligned result = aligned(model, llama(), torch());
    EXPECT_EQ(result.why(), "") << result.text();
    for (const ProductPair& pair : result->products)
        EXPECT_EQ(pair.wrong_match, -1);
    EXPECT_EQ(result->weights.size(), 22U);
    // One engine keeps two copies, the other uses the first one twice.
    FakeEngine sharing = torch();
    sharing.id_of = [](int layer, const std::string& op) {
        return op == "o" && layer != 1 ? "w7" : "";
    };
    const Aligned shared = aligned(model, llama(), sharing);
    EXPECT_EQ(shared.why(), "") << shared.text();
    EXPECT_EQ(shared->products.size(), 66U);
    for (const ProductPair& pair : shared->products) {
        EXPECT_EQ(pair.wrong_match, -1);
        EXPECT_TRUE(pair.evidence & by_weight);
    }
}

TEST(Weights, ShardsByOutputsAddUp) {
    const FakeModel model = fake_model(1);
    FakeTrace trace("ranks");
    const std::vector<std::vector<std::string>> sites{
        {"0.q", "0.v", "0.k"}, {"0.o"}, {"0.gate", "0.up"}, {"0.down"}, {"head"}};
    for (int pass = 0; pass < 2; ++pass) {
        const int rows = pass == 0 ? 4 : 1;
        for (const auto& site : sites) {
            for (const std::string& name : site) {
                const FakeWeight& whole = model.weights.at(name);
                const std::size_t half = whole.rows.size() / 2;
                for (int rank = 0; rank < 2; ++rank) {
                    FakeWeight shard = whole;
                    shard.rows.assign(whole.rows.begin() + rank * static_cast<long>(half),
                                      whole.rows.begin() + (rank + 1) * static_cast<long>(half));
                    FakeProduct product;
                    product.weight = "w" + std::to_string(std::hash<std::string>{}(name) % 100000) +
                                     std::to_string(rank);
                    trace.weight(product.weight, shard);
                    product.x = std::to_string(pass) + site.front();
                    product.y = product.x + name + std::to_string(rank);
                    product.rows = rows;
                    product.winner = 5;
                    product.inputs = whole.inputs;
                    product.outputs = static_cast<std::int64_t>(half);
                    trace.product(product);
                }
            }
        }
    }
    FakeEngine reference = llama();
    reference.passes = {4, 1};
    reference.tokens = {7, 8, 9, 10, 5};  // it feeds what wins
    const Aligned result = aligned(run(model, reference).whole(), trace.whole());
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->products.size(), 16U) << result.text();
    EXPECT_EQ(result.weight("layer_0_attn_q")->b.size(), 2U);
    EXPECT_EQ(result->ledger_b.merged, 32U);
}

/// A layer with a router, w2, and the experts that each pass chose.
std::string mixture(const std::string& team, const std::vector<std::vector<int>>& passes) {
    FakeTrace trace(team);
    int pass = 0;
    for (const std::vector<int>& experts : passes) {
        std::vector<std::string> names{"w1", "w2"};
        for (const int expert : experts)
            names.push_back("w" + std::to_string(10 + expert));
        names.emplace_back("w3");
        for (const std::string& name : names) {
            const unsigned seed = static_cast<unsigned>(std::stoi(name.substr(1)));
            const FakeWeight weight = random_weight(name == "w3"   ? 80
                                                    : name == "w2" ? 24
                                                                   : 16,
                                                    16, seed);
            trace.weight(name, weight);
            FakeProduct product;
            product.weight = name;
            product.x = std::to_string(pass) + name;
            product.y = product.x + "y";
            product.rows = pass > 0 ? 1 : name.size() > 2 ? 2 : 4;
            product.outputs = static_cast<std::int64_t>(weight.rows.size());
            trace.product(product);
        }
        ++pass;
    }
    return trace.text();
}

TEST(Weights, ExpertsAreMatchedInWhateverOrderTheyRun) {
    const Aligned result =
        aligned(mixture("a", {{0, 1, 2}, {1}, {0, 3}}), mixture("b", {{2, 0, 1}, {1}, {0, 3}}));
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_EQ(result->products.size(), 15U);
    for (const ProductPair& pair : result->products)
        EXPECT_EQ(pair.wrong_match, -1);
}

TEST(Weights, AnExpertThatTheOtherEngineDidNotChooseIsDropped) {
    // In the second pass the routers disagree; in the third one takes an expert that the other
    // never does.
    const Aligned result = aligned(mixture("a", {{0, 1, 2}, {1}, {0}, {0, 3}, {3}}),
                                   mixture("b", {{0, 1, 2}, {2}, {0, 4}, {0, 3}, {3}}));
    EXPECT_EQ(result.why(), "") << result.text();
    for (const ProductPair& pair : result->products)
        EXPECT_EQ(pair.wrong_match, -1);
    const std::map<std::string, std::uint64_t> one{{other_expert, 1}};
    const std::map<std::string, std::uint64_t> two{{other_expert, 2}};
    EXPECT_EQ(result->ledger_a.dropped, one);
    EXPECT_EQ(result->ledger_b.dropped, two);
}

TEST(Weights, AnExpertThatNoOtherEngineHasIsNoWrongWeight) {
    const Aligned result = aligned(mixture("a", {{0, 1, 2}, {1}, {0, 3}, {2}}),
                                   mixture("b", {{0, 1, 2}, {1}, {0, 4}, {2}}));
    EXPECT_EQ(result.why(), "") << result.text();
    const std::map<std::string, std::uint64_t> one{{other_expert, 1}};
    EXPECT_EQ(result->ledger_a.dropped, one);
    EXPECT_EQ(result->ledger_b.dropped, one);
}

TEST(Weights, AnIndexNamesWhatNoEngineNames) {
    const FakeModel model = fake_model();
    ModelIndex index;
    const EngineFile named(run(model, llama()).text());
    for (const Weight& weight : named.engine().weights) {
        WeightRecord record = weight.record;
        record.name = weight.name;
        index.weights.push_back({std::move(record), weight.role});
    }
    FakeEngine fused = torch();
    fused.fused_qkv = true;
    const Aligned result = aligned(run(model, torch()).whole(), run(model, fused).whole(), &index);
    EXPECT_EQ(result.why(), "") << result.text();
    EXPECT_NE(result.weight("layer_1_qkv"), nullptr);
    EXPECT_NE(result.weight("layer_2_ffn_down"), nullptr);
    EXPECT_EQ(result.alignment.notes.size(), 0U);
    const EngineFile own(run(model, fused).text(), &index);
    const auto with_name = [&](const std::string& name) {
        return std::count_if(own.engine().weights.begin(), own.engine().weights.end(),
                             [&](const Weight& weight) { return weight.name == name; });
    };
    EXPECT_EQ(with_name("blk.0.attn_q.weight + blk.0.attn_k.weight + blk.0.attn_v.weight"), 1);
    EXPECT_EQ(with_name("blk.1.attn_output.weight"), 1);
    EXPECT_EQ(with_name("output.weight"), 1);
}

}  // namespace
}  // namespace orch
