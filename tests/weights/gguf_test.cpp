#include "analyzer/weights/gguf.hpp"

#include <gtest/gtest.h>

#include "tests/weights/checkpoint_builder.hpp"

namespace orch {
namespace {

GgufFile parse(const std::string& bytes) {
    // On the heap to the byte, so that a sanitizer sees what reads past the end.
    const std::vector<char> exact{bytes.begin(), bytes.end()};
    GgufFile file = parse_gguf(std::as_bytes(std::span{exact}));
    for (ModelTensor& tensor : file.tensors)
        tensor.data = {};
    return file;
}

std::string error_of(const std::string& bytes) {
    try {
        parse(bytes);
    } catch (const MalformedFile& error) {
        return error.what();
    }
    return "";
}

/// A file with everything that a real one has.
GgufBuilder llama() {
    GgufBuilder gguf;
    gguf.text("general.architecture", "llama");
    gguf.text("general.name", "little");
    gguf.u32("llama.block_count", 2);
    gguf.u32("llama.embedding_length", 64);
    gguf.u32("llama.attention.head_count", 4);
    gguf.f32("llama.rope.freq_base", 500000);
    gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    gguf.array("tokenizer.ggml.tokens", 8, 3,
               GgufBuilder::string("a") + GgufBuilder::string("") + GgufBuilder::string("ccc"));
    gguf.f32_tensor("token_embd.weight", 3, 64);
    gguf.tensor("blk.0.attn_q.weight", {64, 2}, 8, std::string(4 * 34, 'q'));
    gguf.tensor("blk.0.attn_norm.weight", {64}, 0, raw_floats(some_floats(64)));
    return gguf;
}

TEST(Gguf, TensorsAndFacts) {
    const std::string bytes = llama().file();
    const GgufFile file = parse_gguf(bytes_of_text(bytes));
    ASSERT_EQ(file.tensors.size(), 3U);
    const ModelTensor& embedding = file.tensors[0];
    EXPECT_EQ(embedding.name, "token_embd.weight");
    EXPECT_EQ(embedding.rows, 3);
    EXPECT_EQ(embedding.cols, 64);
    EXPECT_EQ(embedding.type.name, "f32");
    const auto expected = raw_floats(some_floats(3 * 64));
    ASSERT_EQ(embedding.data.size(), expected.size());
    EXPECT_EQ(std::memcmp(embedding.data.data(), expected.data(), expected.size()), 0);
    EXPECT_EQ(file.tensors[1].type.name, "q8_0");
    EXPECT_EQ(file.tensors[1].data.size(), 4U * 34);
    EXPECT_EQ(static_cast<char>(file.tensors[1].data.back()), 'q');
    EXPECT_EQ(file.tensors[2].rows, 1);
    EXPECT_EQ(file.tensors[2].cols, 64);
    for (const ModelTensor& tensor : file.tensors)
        EXPECT_EQ(tensor.left_out, "");

    EXPECT_EQ(file.facts.architecture, "llama");
    EXPECT_EQ(file.facts.name, "little");
    EXPECT_EQ(file.facts.block_count, 2);
    EXPECT_EQ(file.facts.embedding_length, 64);
    EXPECT_EQ(file.facts.head_count, 4);
    EXPECT_EQ(file.facts.vocab_size, 3);
    EXPECT_EQ(file.facts.rope_freq_base, 500000);
    EXPECT_EQ(static_cast<float>(file.facts.norm_epsilon), 1e-5F);
    EXPECT_EQ(file.split_count, 1U);
}

TEST(Gguf, VersionTwoIsReadAsThree) {
    GgufBuilder gguf = llama();
    gguf.version = 2;
    EXPECT_EQ(parse(gguf.file()).tensors.size(), 3U);
}

TEST(Gguf, ValuesOfEveryTypeAreSkipped) {
    GgufBuilder gguf;
    const std::size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (std::uint32_t type = 0; type < std::size(sizes); ++type) {
        if (sizes[type] == 0) continue;
        gguf.value("v" + std::to_string(type), type, std::string(sizes[type], '\x01'));
        gguf.array("a" + std::to_string(type), type, 3, std::string(3 * sizes[type], '\x01'));
    }
    gguf.text("s", "text");
    gguf.array("empty", 4, 0, "");
    gguf.array("nested", 9, 2,
               raw(4U) + raw(std::uint64_t{2}) + std::string(8, '\0') + raw(8U) +
                   raw(std::uint64_t{1}) + GgufBuilder::string("x"));
    gguf.text("general.architecture", "last");
    gguf.f32_tensor("x", 1, 1);
    const GgufFile file = parse(gguf.file());
    EXPECT_EQ(file.facts.architecture, "last");
    EXPECT_EQ(file.tensors.size(), 1U);
}

TEST(Gguf, AValuePerLayerIsAFactIfAllAreTheSame) {
    GgufBuilder gguf;
    gguf.text("general.architecture", "x");
    gguf.array("x.attention.head_count", 4, 2, raw(8U) + raw(8U));
    gguf.array("x.attention.head_count_kv", 4, 2, raw(4U) + raw(8U));
    const GgufFile file = parse(gguf.file());
    EXPECT_EQ(file.facts.head_count, 8);
    EXPECT_EQ(file.facts.head_count_kv, 0);
}

TEST(Gguf, AlignmentOfTheFileIsUsed) {
    for (const std::uint64_t alignment : {1U, 8U, 64U, 4096U}) {
        GgufBuilder gguf;
        gguf.alignment = alignment;
        gguf.u32("general.alignment", static_cast<std::uint32_t>(alignment));
        gguf.tensor("first", {3}, 24, "abc");
        gguf.tensor("second", {3}, 24, "xyz");
        const std::string bytes = gguf.file();
        const GgufFile file = parse_gguf(bytes_of_text(bytes));
        EXPECT_EQ(static_cast<char>(file.tensors[1].data[0]), 'x') << alignment;
    }
}

TEST(Gguf, ExpertsInOneTensorAreTakenApart) {
    GgufBuilder gguf;
    const std::vector<float> values = some_floats(3 * 4 * 5);
    gguf.tensor("blk.1.ffn_up_exps.weight", {5, 4, 3}, 0, raw_floats(values));
    gguf.tensor("blk.1.something.weight", {5, 4, 3}, 0, raw_floats(values));
    const std::string bytes = gguf.file();
    const GgufFile file = parse_gguf(bytes_of_text(bytes));
    ASSERT_EQ(file.tensors.size(), 4U);
    for (std::size_t expert = 0; expert < 3; ++expert) {
        const ModelTensor& tensor = file.tensors[expert];
        EXPECT_EQ(tensor.name, "blk.1.ffn_up_exps.weight[" + std::to_string(expert) + "]");
        EXPECT_EQ(tensor.rows, 4);
        EXPECT_EQ(tensor.cols, 5);
        float first = 0;
        std::memcpy(&first, tensor.data.data(), sizeof first);
        EXPECT_EQ(first, values[expert * 20]);
    }
    EXPECT_EQ(file.tensors[3].rows, 12);
}

TEST(Gguf, WhatIsNoWeightIsLeftOutWithAReason) {
    GgufBuilder gguf;
    gguf.tensor("integers", {2}, 26, std::string(8, '\0'));
    gguf.tensor("empty", {8, 0}, 0, "");
    gguf.info("of the future", {1ULL << 60}, 4711, 0);
    const GgufFile file = parse(gguf.file());
    EXPECT_EQ(file.tensors[0].left_out, "it holds integers");
    EXPECT_EQ(file.tensors[1].left_out, "it is empty");
    EXPECT_EQ(file.tensors[2].left_out, "its type 4711 is newer than this orchtrace");
}

TEST(Gguf, EveryPrefixOfAFileIsRefused) {
    const std::string bytes = llama().file();
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_NE(error_of(bytes.substr(0, size)), "") << size;
    EXPECT_EQ(error_of(bytes), "");
}

TEST(Gguf, NoChangedByteOfTheHeaderDoesHarm) {
    const std::string bytes = llama().file();
    const std::size_t header = llama().header().size();
    for (std::size_t at = 0; at < header; ++at) {
        for (const char value : {'\x00', '\x01', '\x09', '\x7f', '\x80', '\xff'}) {
            std::string changed = bytes;
            changed[at] = value;
            error_of(changed);  // whether it is refused depends on the byte
        }
    }
}

TEST(Gguf, OtherFilesAreTold) {
    EXPECT_EQ(error_of(""), "not a GGUF file");
    EXPECT_EQ(error_of("GGU"), "not a GGUF file");
    GgufBuilder gguf;
    gguf.version = 1;
    EXPECT_EQ(error_of(gguf.file()), "GGUF version 1; versions 2 and 3 are known");
    gguf.version = 0x03000000;
    EXPECT_EQ(error_of(gguf.file()),
              "a big-endian GGUF file; convert it on a little-endian machine");
}

TEST(Gguf, AbsurdCountsAreRefusedBeforeAnythingIsDone) {
    constexpr std::uint64_t huge = ~std::uint64_t{0};
    GgufBuilder tensors = llama();
    tensors.tensor_count = huge;
    EXPECT_EQ(error_of(tensors.file()).substr(0, 43),
              "it claims to have 18446744073709551615 tens");
    GgufBuilder values = llama();
    values.value_count = huge;
    EXPECT_NE(error_of(values.file()), "");
    GgufBuilder strings;
    strings.array("tokens", 8, huge, "");
    EXPECT_EQ(error_of(strings.file()), "it ends in the middle of its header");
    GgufBuilder numbers;
    numbers.array("scores", 12, huge / 8 + 1, std::string(64, 'x'));
    EXPECT_EQ(error_of(numbers.file()), "it ends in the middle of its header");
    GgufBuilder text;
    text.value("text", 8, raw(huge));
    EXPECT_EQ(error_of(text.file()), "it ends in the middle of its header");
    GgufBuilder key;
    key.values = raw(huge);
    key.value_count = 1;
    EXPECT_EQ(error_of(key.file()), "a name in its metadata is absurdly long");
    GgufBuilder nested;
    std::string arrays;
    for (int i = 0; i < 1000; ++i)
        arrays += raw(9U) + raw(std::uint64_t{1});
    nested.value("deep", 9, arrays);
    EXPECT_EQ(error_of(nested.file()), "its metadata are nested too deeply");
    GgufBuilder alignment;
    alignment.u32("general.alignment", 0x80000000U);
    EXPECT_EQ(error_of(alignment.file()), "it claims an alignment of 2147483648 bytes");
    GgufBuilder type;
    type.value("x", 13, "");
    EXPECT_EQ(error_of(type.file()), "its metadata hold a value of unknown type 13");
}

TEST(Gguf, TensorsThatCannotBeAreRefused) {
    const auto error = [](const std::vector<std::uint64_t>& extents, std::uint32_t type,
                          std::uint64_t offset) {
        GgufBuilder gguf;
        gguf.info("w", extents, type, offset);
        gguf.data = std::string(256, '\0');
        return error_of(gguf.file());
    };
    const std::string beyond =
        "tensor w lies beyond the end of the file; is the download complete?";
    EXPECT_EQ(error({64}, 0, 0), "");
    EXPECT_EQ(error({65}, 0, 0), beyond);
    EXPECT_EQ(error({64}, 0, 1), beyond);
    EXPECT_EQ(error({1}, 0, ~std::uint64_t{0}), beyond);
    EXPECT_EQ(error({1}, 0, ~std::uint64_t{0} - 3), beyond);
    EXPECT_EQ(error({33}, 8, 0), "tensor w has a shape that q8_0 cannot have");
    EXPECT_EQ(error({1ULL << 62}, 0, 0), "tensor w has a shape that f32 cannot have");
    EXPECT_EQ(error({1ULL << 32, 1ULL << 32, 4}, 0, 0),
              "tensor w has a shape that f32 cannot have");
    EXPECT_EQ(error({0, 1ULL << 33, 1ULL << 33}, 0, 0),
              "tensor w has a shape that f32 cannot have");
    EXPECT_EQ(error({1ULL << 33, 1ULL << 33}, 4711, 0), "");
    EXPECT_EQ(error({1, 1ULL << 33, 1ULL << 33}, 4711, 0), "tensor w has an impossible shape");
    EXPECT_EQ(error({}, 0, 0), "tensor w has 0 extents");
    EXPECT_EQ(error({1, 1, 1, 1, 1}, 0, 0), "tensor w has 5 extents");

    GgufBuilder experts;
    for (int i = 0; i < 300; ++i)
        experts.info("blk." + std::to_string(i) + ".ffn_up_exps.weight", {0, 0, 4096}, 0, 0);
    EXPECT_EQ(error_of(experts.file()), "it has more than a million tensors");

    GgufBuilder twice;
    twice.f32_tensor("w", 1, 1);
    twice.f32_tensor("w", 1, 1);
    EXPECT_EQ(error_of(twice.file()), "it has two tensors w");
    GgufBuilder name;
    name.f32_tensor(std::string(513, 'n'), 1, 1);
    EXPECT_EQ(error_of(name.file()), "the name of a tensor has 513 bytes");
}

}  // namespace
}  // namespace orch
