#include <nlohmann/json.hpp>

#include "analyzer/cli/exit_codes.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/weights/checkpoint_builder.hpp"
#include "tests/weights/ggml_blocks.hpp"

namespace orch {
namespace {

using Json = nlohmann::json;

std::string little_llama() {
    GgufBuilder gguf;
    gguf.text("general.architecture", "llama");
    gguf.u32("llama.block_count", 2);
    gguf.u32("llama.attention.head_count", 4);
    gguf.f32("llama.rope.freq_base", 10000);
    gguf.f32_tensor("token_embd.weight", 3000, 16);
    gguf.f32_tensor("blk.0.attn_q.weight", 40, 16);
    gguf.tensor("blk.0.attn_norm.weight", {16}, 0, raw_floats(some_floats(16)));
    gguf.tensor("blk.0.ffn_up_exps.weight", {16, 2, 2}, 0, raw_floats(some_floats(64)));
    const auto blocks = some_blocks(ggml_element_type(12), 4);
    gguf.tensor("output.weight", {256, 4}, 12, std::string{blocks.begin(), blocks.end()});
    gguf.tensor("integers", {4}, 26, std::string(16, '\0'));
    return gguf.file();
}

class IndexCommand : public InDirectory {
  protected:
    std::vector<Json> lines(const std::string& name) const {
        std::vector<Json> result;
        std::istringstream text{read_file(path(name))};
        for (std::string line; std::getline(text, line);)
            result.push_back(Json::parse(line));
        return result;
    }
    Outcome index(const std::string& model, const std::string& output,
                  const std::vector<std::string>& more = {}) const {
        std::vector<std::string> arguments = {"index", path(model), "-o", path(output)};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return orchtrace(arguments);
    }
};

TEST_F(IndexCommand, WritesHeaderWeightsAndLedger) {
    file("m.gguf", little_llama());
    const Outcome outcome = index("m.gguf", "m.idx");
    EXPECT_EQ(outcome.code, exit_ok) << outcome.err;
    EXPECT_TRUE(contains(outcome.out, "m.idx: 6 weights of m.gguf (5 f32, 1 q4_K), "));
    EXPECT_EQ(outcome.err, "orchtrace: left out 1 tensor of integers, or empty\n");
    const auto all = lines("m.idx");
    ASSERT_EQ(all.size(), 8U);
    const Json& header = all.front();
    EXPECT_EQ(header["kind"], "header");
    EXPECT_EQ(header["backend"], "index");
    EXPECT_EQ(header["team"], "m.gguf");
    EXPECT_EQ(header["model"]["architecture"], "llama");
    EXPECT_EQ(header["model"]["block_count"], 2);
    EXPECT_EQ(header["model"]["rope_freq_base"], 10000);
    EXPECT_FALSE(header["model"].contains("embedding_length"));
    std::vector<std::string> names;
    for (std::size_t i = 1; i < 7; ++i) {
        EXPECT_EQ(all[i]["kind"], "weight");
        EXPECT_EQ(all[i]["weight"], all[i]["name"]);
        names.push_back(all[i]["name"]);
    }
    EXPECT_EQ(names,
              (std::vector<std::string>{"token_embd.weight", "blk.0.attn_q.weight",
                                        "blk.0.attn_norm.weight", "blk.0.ffn_up_exps.weight[0]",
                                        "blk.0.ffn_up_exps.weight[1]", "output.weight"}));
    EXPECT_EQ(all[1]["shape"], "[3000,16]");
    EXPECT_EQ(all[1]["role"], (Json{{"part", "embedding"}}));
    EXPECT_EQ(all[2]["role"], (Json{{"layer", 0}, {"part", "q"}}));
    EXPECT_EQ(all[3]["shape"], "[1,16]");
    EXPECT_EQ(all[5]["role"], (Json{{"layer", 0}, {"part", "expert_up"}, {"expert", 1}}));
    EXPECT_EQ(all[6]["dtype"], "q4_K");
    EXPECT_EQ(all[6]["values"].size(), 10U);
    const Json& ledger = all.back();
    EXPECT_EQ(ledger["kind"], "ledger");
    EXPECT_EQ(ledger["final"], true);
    EXPECT_EQ(ledger["lines"], 7);
    EXPECT_EQ(ledger["classes"]["weight"],
              (Json{{"seen", 7}, {"recorded", 6}, {"filtered", 1}, {"dropped", 0}}));
}

TEST_F(IndexCommand, IsACompleteTraceToInfo) {
    file("m.gguf", little_llama());
    ASSERT_EQ(index("m.gguf", "m.idx").code, exit_ok);
    const Outcome info = orchtrace({"info", path("m.idx")});
    EXPECT_EQ(info.code, exit_ok);
    EXPECT_TRUE(contains(info.out, "complete")) << info.out;
    EXPECT_FALSE(contains(info.out, "INCOMPLETE")) << info.out;
    EXPECT_TRUE(contains(info.out, "6 (6 named, 0 nameless)")) << info.out;
}

TEST_F(IndexCommand, TheExampleInTheDocumentIsReal) {
    GgufBuilder gguf;
    gguf.tensor("blk.0.ffn_norm.weight", {4}, 0, raw_floats({1, 1, 1, 1}));
    file("model.gguf", gguf.file());
    ASSERT_EQ(index("model.gguf", "model.idx").code, exit_ok);
    Json made = lines("model.idx").at(1);
    const std::string document = read_file(INDEX_DOCUMENT);
    const std::size_t begin = document.find("```json\n") + 8;
    Json shown = Json::parse(document.substr(begin, document.find("\n```", begin) - begin));
    made.erase("ts");
    shown.erase("ts");
    EXPECT_EQ(made, shown);
}

TEST_F(IndexCommand, NumbersDoNotDependOnTheNumberOfThreads) {
    file("m.gguf", little_llama());
    std::vector<Json> first;
    for (const char* threads : {"1", "2", "7"}) {
        ASSERT_EQ(index("m.gguf", "m.idx", {"--threads", threads}).code, exit_ok);
        auto all = lines("m.idx");
        for (Json& line : all)
            line.erase("ts");
        if (first.empty()) first = all;
        EXPECT_EQ(all, first) << threads;
    }
}

TEST_F(IndexCommand, OverwritesAnIndexAndNothingElse) {
    file("m.gguf", little_llama());
    ASSERT_EQ(index("m.gguf", "m.idx").code, exit_ok);
    EXPECT_EQ(index("m.gguf", "m.idx").code, exit_ok);
    file("trace.jsonl", R"({"kind":"header","backend":"preload"})");
    const Outcome refused = index("m.gguf", "trace.jsonl");
    EXPECT_EQ(refused.code, exit_unusable);
    EXPECT_TRUE(contains(refused.err, "the file exists and is no index; remove it or choose"));
    EXPECT_EQ(index("m.gguf", "m.gguf").code, exit_unusable);
    EXPECT_EQ(read_file(path("m.gguf")), little_llama());
    EXPECT_EQ(index("m.gguf", "").code, exit_unusable);
    EXPECT_EQ(index("m.gguf", "no/such/directory.idx").code, exit_unusable);
}

TEST_F(IndexCommand, ANewTypeIsABlindSpot) {
    GgufBuilder gguf;
    gguf.f32_tensor("output.weight", 2, 4);
    gguf.info("blk.0.ffn_up.weight", {64, 2}, 4711, 0);
    file("m.gguf", gguf.file());
    const Outcome outcome = index("m.gguf", "m.idx");
    EXPECT_EQ(outcome.code, exit_ok);
    EXPECT_EQ(outcome.err,
              "orchtrace: left out 1 tensor: blk.0.ffn_up.weight: its type 4711 is newer than "
              "this orchtrace\n");
    const auto all = lines("m.idx");
    EXPECT_EQ(all[1]["kind"], "blind_spot");
    EXPECT_EQ(all.back()["classes"]["weight"]["dropped"], 1);
    EXPECT_TRUE(contains(orchtrace({"info", path("m.idx")}).out, "INCOMPLETE"));
}

TEST_F(IndexCommand, WithoutAWeightThereIsNoIndex) {
    GgufBuilder gguf;
    gguf.info("w", {64, 2}, 4711, 0);
    file("m.gguf", gguf.file());
    const Outcome outcome = index("m.gguf", "m.idx");
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_TRUE(contains(outcome.err, "no weight in it can be read: its type 4711 is newer"));
    EXPECT_FALSE(std::filesystem::exists(path("m.idx")));
}

TEST_F(IndexCommand, ALibraryThatIsMissingIsAskedFor) {
    GgufBuilder gguf;
    gguf.tensor("blk.0.ffn_up.weight", {256, 1}, 23, std::string(136, '\0'));
    gguf.tensor("blk.0.ffn_down.weight", {32, 1}, 20, std::string(18, '\0'));
    file("m.gguf", gguf.file());
    const Outcome outcome = index("m.gguf", "m.idx", {"--ggml", "/nonexistent.so"});
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_TRUE(contains(outcome.err, "/nonexistent.so"));
    EXPECT_FALSE(std::filesystem::exists(path("m.idx")));
}

TEST_F(IndexCommand, BadModelsEndInTheirMessage) {
    EXPECT_EQ(index("none.gguf", "m.idx").code, exit_unusable);
    file("m.gguf", little_llama().substr(0, 1000));
    const Outcome outcome = index("m.gguf", "m.idx");
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_TRUE(contains(outcome.err, "is the download complete?")) << outcome.err;
    EXPECT_EQ(orchtrace({"index"}).code, exit_unusable);
    EXPECT_EQ(index("m.gguf", "m.idx", {"--threads", "many"}).code, exit_unusable);
}

}  // namespace
}  // namespace orch
