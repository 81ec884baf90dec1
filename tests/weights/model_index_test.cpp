#include "analyzer/weights/model_index.hpp"

#include "analyzer/cli/exit_codes.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/weights/checkpoint_builder.hpp"

namespace orch {
namespace {

class ModelIndexes : public InDirectory {
  protected:
    void SetUp() override {
        GgufBuilder gguf;
        gguf.text("general.architecture", "llama");
        gguf.u32("llama.attention.head_count", 4);
        gguf.u32("llama.embedding_length", 32);
        gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
        gguf.f32("llama.rope.freq_base", 10000);
        gguf.f32_tensor("token_embd.weight", 3, 16);
        gguf.f32_tensor("blk.0.attn_q.weight", 40, 16);
        file("m.gguf", gguf.file());
        ASSERT_EQ(orchtrace({"index", path("m.gguf"), "-o", path("m.idx")}).code, exit_ok);
        text_ = read_file(path("m.idx"));
    }
    std::string error(const std::string& text) const {
        file("other.idx", text);
        try {
            read_index(path("other.idx"));
        } catch (const UnreadableFile& why) {
            return why.what();
        }
        return "";
    }
    std::string without_line(int number) const {
        std::istringstream in{text_};
        std::string result;
        int at = 0;
        for (std::string line; std::getline(in, line);) {
            if (at++ != number) result += line + "\n";
        }
        return result;
    }

    std::string text_;
};

TEST_F(ModelIndexes, ComeBackAsTheyWereWritten) {
    const ModelIndex index = read_index(path("m.idx"));
    EXPECT_EQ(index.path, path("m.idx"));
    EXPECT_EQ(index.model, "m.gguf");
    EXPECT_EQ(index.facts.architecture, "llama");
    EXPECT_EQ(index.facts.file_type, "f32");
    EXPECT_EQ(index.facts.head_count, 4);
    EXPECT_EQ(index.facts.head_count_kv, 4);
    EXPECT_EQ(index.facts.head_dim, 8);
    EXPECT_EQ(index.facts.rope_freq_base, 10000);
    EXPECT_EQ(index.facts.norm_epsilon, 1e-5);
    ASSERT_EQ(index.weights.size(), 2U);
    const IndexedWeight& q = index.weights[1];
    EXPECT_EQ(q.record.name, "blk.0.attn_q.weight");
    EXPECT_EQ(q.role, (Role{0, Part::q, -1}));
    EXPECT_EQ(q.record.rows, 40);
    EXPECT_EQ(q.record.cols, 16);
    EXPECT_EQ(q.record.dtype, "f32");
    double energy = 0;
    double sum = 0;
    for (const float value : some_floats(40 * 16)) {
        energy += static_cast<double>(value) * value;
        sum += value;
    }
    EXPECT_NEAR(q.record.energy, energy, energy * 1e-6);
    EXPECT_NEAR(q.record.sum, sum, 1e-2);
    EXPECT_TRUE(q.record.sketch.has_value());
    EXPECT_TRUE(q.record.hash.has_value());
    EXPECT_FALSE(q.record.is_activation());
    ASSERT_EQ(q.record.row_digests.size(), 8U);
    EXPECT_EQ(q.record.row_digests[6].first, 32);
    EXPECT_EQ(q.record.row_digests[7].first, 39);
}

TEST_F(ModelIndexes, WhatIsNoIndexIsTold) {
    EXPECT_THROW(read_index(path("none.idx")), UnreadableFile);
    EXPECT_TRUE(contains(error(""), "not an index of a model; make one with 'orchtrace index"));
    EXPECT_TRUE(contains(error("text\n"), "not an index of a model"));
    EXPECT_TRUE(contains(error(without_line(0)), "not an index of a model"));
    std::string trace = text_;
    trace.replace(trace.find("\"backend\":\"index\""), 17, "\"backend\":\"other\"");
    EXPECT_TRUE(contains(error(trace), "not an index of a model"));
}

TEST_F(ModelIndexes, APartOfOneIsRefused) {
    EXPECT_EQ(error(text_), "");
    for (int line = 1; line <= 3; ++line)
        EXPECT_TRUE(contains(error(without_line(line)), "damaged: ")) << line;
    for (const std::size_t size : {text_.size() / 3, text_.size() / 2, text_.size() - 20})
        EXPECT_NE(error(text_.substr(0, size)), "") << size;
    EXPECT_NE(error(text_ + text_), "");
    std::string no_number = text_;
    no_number.replace(no_number.find("\"energy\":") + 9, 1, "x");
    EXPECT_NE(error(no_number), "");
}

}  // namespace
}  // namespace orch
