#include "analyzer/weights/safetensors.hpp"

#include <gtest/gtest.h>

#include "tests/weights/checkpoint_builder.hpp"

namespace orch {
namespace {

std::string error_of(const std::string& bytes) {
    const std::vector<char> exact{bytes.begin(), bytes.end()};
    try {
        parse_safetensors(std::as_bytes(std::span{exact}));
    } catch (const MalformedFile& error) {
        return error.what();
    }
    return "";
}

std::string error_of_tensor(const std::string& info, std::size_t data = 16) {
    return error_of(safetensors("{\"w\":" + info + "}", std::string(data, '\0')));
}

constexpr const char* good_header =
    R"({"__metadata__":{"format":"pt"},)"
    R"("model.norm.weight":{"dtype":"F32","shape":[4],"data_offsets":[12,28]},)"
    R"("model.layers.0.mlp.up_proj.weight":{"dtype":"BF16","shape":[3,2],"data_offsets":[0,12]}})";

TEST(Safetensors, TensorsInTheOrderOfTheirData) {
    const std::string bytes = safetensors(good_header, "aabbccddeeff" + std::string(16, 'n'));
    const auto tensors = parse_safetensors(bytes_of_text(bytes));
    ASSERT_EQ(tensors.size(), 2U);
    EXPECT_EQ(tensors[0].name, "model.layers.0.mlp.up_proj.weight");
    EXPECT_EQ(tensors[0].type.name, "bf16");
    EXPECT_EQ(tensors[0].rows, 3);
    EXPECT_EQ(tensors[0].cols, 2);
    EXPECT_EQ(static_cast<char>(tensors[0].data[11]), 'f');
    EXPECT_EQ(tensors[1].rows, 1);
    EXPECT_EQ(tensors[1].cols, 4);
    EXPECT_EQ(tensors[1].data.size(), 16U);
}

TEST(Safetensors, EveryPrefixOfAFileIsRefused) {
    const std::string bytes = safetensors(good_header, std::string(28, '\0'));
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_NE(error_of(bytes.substr(0, size)), "") << size;
    EXPECT_EQ(error_of(bytes), "");
}

TEST(Safetensors, NoChangedByteOfTheHeaderDoesHarm) {
    const std::string bytes = safetensors(good_header, std::string(28, '\0'));
    for (std::size_t at = 0; at + 28 < bytes.size(); ++at) {
        for (const char value : {'\x00', '"', '9', '-', '}', '\xff'}) {
            std::string changed = bytes;
            changed[at] = value;
            error_of(changed);
        }
    }
}

TEST(Safetensors, AbsurdHeadersAreRefused) {
    EXPECT_EQ(error_of("GGUF1234"),
              "not a safetensors file: its header would have 3761405300999276359 bytes");
    EXPECT_EQ(error_of(raw(~std::uint64_t{0}) + "{}"),
              "not a safetensors file: its header would have 18446744073709551615 bytes");
    EXPECT_EQ(error_of(raw(std::uint64_t{3}) + "{}"), "it ends in the middle of its header");
    EXPECT_EQ(error_of(safetensors("[]", "")), "its header is no JSON object");
    EXPECT_EQ(error_of(safetensors("{", "")), "its header is no JSON object");
    EXPECT_EQ(error_of(safetensors(std::string(100000, '['), "")), "its header is no JSON object");
    EXPECT_EQ(error_of(safetensors("{}", "")), "");
}

TEST(Safetensors, TensorsThatCannotBeAreRefused) {
    const auto f32 = [](const std::string& shape, const std::string& offsets) {
        return error_of_tensor(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" +
                               offsets + "}");
    };
    const std::string beyond =
        "tensor w lies beyond the end of the file; is the download complete?";
    const std::string disagree = "tensor w: its shape and the size of its data disagree";
    EXPECT_EQ(f32("[4]", "[0,16]"), "");
    EXPECT_EQ(f32("[]", "[0,4]"), "");
    EXPECT_EQ(f32("[5]", "[0,20]"), beyond);
    EXPECT_EQ(f32("[4]", "[4,20]"), beyond);
    EXPECT_EQ(f32("[1]", "[18446744073709551612,18446744073709551615]"), beyond);
    EXPECT_EQ(f32("[3]", "[0,16]"), disagree);
    EXPECT_EQ(f32("[4611686018427387904,4]", "[0,0]"), disagree);
    EXPECT_EQ(f32("[4294967296,4294967296,1]", "[0,0]"), disagree);
    EXPECT_EQ(f32("[4]", "[16,0]"), "tensor w: its data_offsets are no range");
    EXPECT_EQ(f32("[4]", "[0]"), "tensor w: its data_offsets are no range");
    EXPECT_EQ(f32("[4]", "[0,1,2]"), "tensor w: its data_offsets is no list of sizes");
    EXPECT_EQ(f32("[-4]", "[0,16]"), "tensor w: its shape is no list of sizes");
    EXPECT_EQ(f32("[4.0]", "[0,16]"), "tensor w: its shape is no list of sizes");
    EXPECT_EQ(f32("4", "[0,16]"), "tensor w: its shape is no list of sizes");
    EXPECT_EQ(error_of_tensor("7"), "tensor w: it has no type");
    EXPECT_EQ(error_of_tensor("{}"), "tensor w: it has no type");
    EXPECT_EQ(error_of(safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                   R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                   "1234")),
              "it has two tensors w");
}

TEST(Safetensors, WhatCannotBeReadIsLeftOutWithAReason) {
    const std::string bytes =
        safetensors(R"({"a.weight":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},)"
                    R"("a.weight_scale_inv":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
                    R"("b.weight":{"dtype":"F8_E5M2","shape":[2,2],"data_offsets":[8,12]},)"
                    R"("c.qweight":{"dtype":"I32","shape":[1],"data_offsets":[12,16]},)"
                    R"("d.weight":{"dtype":"F6_E2M3","shape":[8],"data_offsets":[16,22]}})",
                    std::string(22, '\0'));
    const auto tensors = parse_safetensors(bytes_of_text(bytes));
    ASSERT_EQ(tensors.size(), 5U);
    EXPECT_EQ(tensors[0].left_out,
              "it is FP8 with scales in another tensor, which are not applied");
    EXPECT_EQ(tensors[1].left_out, "");
    EXPECT_EQ(tensors[2].left_out, "");
    EXPECT_EQ(tensors[3].left_out, "it holds integers");
    EXPECT_EQ(tensors[4].left_out, "elements of type F6_E2M3 are not known");
}

TEST(Config, FactsOfTheCommonFamilies) {
    const ModelFacts llama = parse_config(bytes_of_text(
        R"({"model_type":"llama","num_hidden_layers":4,"hidden_size":128,"num_attention_heads":8,)"
        R"("num_key_value_heads":2,"intermediate_size":384,"vocab_size":320,"rope_theta":10000.0,)"
        R"("rms_norm_eps":1e-05,"max_position_embeddings":2048,"head_dim":null})"));
    EXPECT_EQ(llama.architecture, "llama");
    EXPECT_EQ(llama.block_count, 4);
    EXPECT_EQ(llama.head_count_kv, 2);
    EXPECT_EQ(llama.head_dim, 16);
    EXPECT_EQ(llama.rope_dimension_count, 16);
    EXPECT_EQ(llama.rope_freq_base, 10000);
    EXPECT_EQ(llama.norm_epsilon, 1e-5);
    const ModelFacts gpt2 = parse_config(
        bytes_of_text(R"({"model_type":"gpt2","n_layer":12,"n_embd":768,"n_head":12})"));
    EXPECT_EQ(gpt2.block_count, 12);
    EXPECT_EQ(gpt2.head_count_kv, 12);
    EXPECT_EQ(gpt2.rope_dimension_count, 0);
    const ModelFacts phi = parse_config(
        bytes_of_text(R"({"hidden_size":2560,"num_attention_heads":32,"partial_rotary_factor":0.4,)"
                      R"("rope_parameters":{"rope_theta":10000}})"));
    EXPECT_EQ(phi.rope_dimension_count, 32);
    const ModelFacts both = parse_config(bytes_of_text(
        R"({"model_type":"vlm","text_config":{"model_type":"qwen2","hidden_size":8}})"));
    EXPECT_EQ(both.architecture, "qwen2");
    EXPECT_EQ(both.embedding_length, 8);
}

TEST(Config, ValuesOfTheWrongTypeAreNotThere) {
    const ModelFacts facts = parse_config(bytes_of_text(
        R"({"model_type":7,"hidden_size":"big","num_hidden_layers":-3,"vocab_size":1e300,)"
        R"("num_attention_heads":[8],"rope_theta":{}})"));
    EXPECT_EQ(facts.architecture, "");
    EXPECT_EQ(facts.embedding_length, 0);
    EXPECT_EQ(facts.block_count, 0);
    EXPECT_EQ(facts.vocab_size, 0);
    EXPECT_EQ(facts.head_count, 0);
    EXPECT_EQ(facts.rope_freq_base, 0);
    EXPECT_THROW(parse_config(bytes_of_text("no json")), MalformedFile);
    EXPECT_THROW(parse_config({}), MalformedFile);
}

TEST(ShardIndex, FilesAreOfPlainNamesAlone) {
    const auto files = parse_shard_index(bytes_of_text(
        R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"1.safetensors"}})"));
    ASSERT_EQ(files.size(), 2U);
    EXPECT_EQ(files.at("1.safetensors"), (std::vector<std::string>{"a", "c"}));
    for (const char* bad : {"../x", "/etc/passwd", "a/b", "..", ".", "", "a\\u0000b"}) {
        const std::string json = std::string{R"({"weight_map":{"a":")"} + bad + "\"}}";
        EXPECT_THROW(parse_shard_index(bytes_of_text(json)), MalformedFile) << bad;
    }
    for (const char* bad : {"", "[]", "{}", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})"})
        EXPECT_THROW(parse_shard_index(bytes_of_text(bad)), MalformedFile) << bad;
}

}  // namespace
}  // namespace orch
