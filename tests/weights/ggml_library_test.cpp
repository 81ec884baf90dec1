#include "analyzer/weights/ggml_library.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "analyzer/weights/block_decoders.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/weights/ggml_blocks.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

/// ENGINE_MODULES/linux-x64/bins/linux-x64/libggml-base.so; empty: llama.cpp is not installed.
std::string installed_ggml() {
    std::error_code error;
    for (const fs::directory_entry& package : fs::directory_iterator{ENGINE_MODULES, error}) {
        for (const fs::directory_entry& bin :
             fs::directory_iterator{package.path() / "bins", error}) {
            if (fs::exists(bin.path() / "libggml-base.so")) return bin.path() / "libggml-base.so";
        }
    }
    return {};
}

class WithGgml : public testing::Test {
  protected:
    void SetUp() override {
        if (path_.empty()) GTEST_SKIP() << "no libggml-base.so under " << ENGINE_MODULES;
    }
    std::string path_ = installed_ggml();
};

ModelTensor tensor_of_type(std::uint32_t id) {
    ModelTensor tensor;
    tensor.name = "blk.0.ffn_up.weight";
    tensor.type = ggml_element_type(id);
    return tensor;
}

std::string error_of(std::vector<ModelTensor> tensors, const std::string& named) {
    try {
        attach_decoders(tensors, named, "/nonexistent");
    } catch (const GgmlLibraryError& error) {
        return error.what();
    }
    return "";
}

TEST_F(WithGgml, KnowsTheTypesAsTheyAreKnownHere) {
    const GgmlLibrary library{path_};
    EXPECT_EQ(fs::path{library.path()}.filename(), "libggml-base.so");
    for (const std::uint32_t id : known_ggml_types()) {
        const ElementType type = ggml_element_type(id);
        if (type.kind != ElementType::Kind::block) continue;
        const bool one_way = type.name == "q8_1" || type.name == "q8_K";  // for products alone
        EXPECT_EQ(library.decoder(type) == nullptr, one_way) << type.name;
    }
}

TEST_F(WithGgml, ATypeThatItDoesNotHaveIsNotAsked) {
    const GgmlLibrary library{path_};
    ElementType type = ggml_element_type(12);
    for (const std::uint32_t id : {43U, 44U, 60U, 1000U, 1U << 20, 0x7fffffffU}) {
        type.ggml_id = id;
        EXPECT_EQ(library.decoder(type), nullptr) << id;
    }
    type = ggml_element_type(12);
    type.block_bytes += 1;
    EXPECT_EQ(library.decoder(type), nullptr);
    type = ggml_element_type(12);
    type.name = "q4_k";
    EXPECT_EQ(library.decoder(type), nullptr);
}

TEST_F(WithGgml, DecodesAsWeDoWhereBothCan) {
    const GgmlLibrary library{path_};
    for (const std::uint32_t id : known_ggml_types()) {
        const ElementType type = ggml_element_type(id);
        if (type.decode == nullptr) continue;
        constexpr std::size_t count = 4096;
        const auto blocks = some_blocks(type, count);
        std::vector<float> ours(count * static_cast<std::size_t>(type.block_values));
        std::vector<float> theirs(ours.size());
        const auto values = static_cast<std::int64_t>(ours.size());
        type.decode(blocks.data(), ours.data(), values);
        library.decoder(type)(blocks.data(), theirs.data(), values);
        EXPECT_EQ(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)), 0)
            << type.name;
    }
}

TEST_F(WithGgml, DecodesAsWeDoWhatItQuantised) {
    void* handle = ::dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(handle, nullptr);
    using Quantize = std::size_t (*)(int type, const float* from, void* to, std::int64_t start,
                                     std::int64_t rows, std::int64_t cols, const float* imatrix);
    auto quantize = std::bit_cast<Quantize>(::dlsym(handle, "ggml_quantize_chunk"));
    ASSERT_NE(quantize, nullptr);
    const GgmlLibrary library{path_};
    constexpr std::int64_t rows = 8;
    constexpr std::int64_t cols = 2048;
    std::vector<float> weights(rows * cols);
    for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] = std::sin(static_cast<float>(i) * 0.37F) * static_cast<float>(i % 13) * 0.01F;
    for (const std::uint32_t id : known_ggml_types()) {
        const ElementType type = ggml_element_type(id);
        if (type.decode == nullptr) continue;
        std::vector<std::uint8_t> blocks(
            static_cast<std::size_t>(rows * cols / type.block_values * type.block_bytes));
        ASSERT_EQ(
            quantize(static_cast<int>(id), weights.data(), blocks.data(), 0, rows, cols, nullptr),
            blocks.size());
        std::vector<float> ours(weights.size());
        std::vector<float> theirs(weights.size());
        type.decode(blocks.data(), ours.data(), rows * cols);
        library.decoder(type)(blocks.data(), theirs.data(), rows * cols);
        EXPECT_EQ(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)), 0)
            << type.name;
        for (std::size_t i = 0; i < ours.size(); ++i)
            ASSERT_NEAR(ours[i], weights[i], 0.02) << type.name << " " << i;
    }
    ::dlclose(handle);
}

TEST_F(WithGgml, IsAttachedWhereItIsWantedAlone) {
    std::vector<ModelTensor> tensors = {tensor_of_type(23), tensor_of_type(12), tensor_of_type(0)};
    const BlockDecoder own = tensors[1].type.decode;
    EXPECT_EQ(attach_decoders(tensors, path_, "/nonexistent"), GgmlLibrary{path_}.path());
    EXPECT_NE(tensors[0].type.decode, nullptr);
    EXPECT_EQ(tensors[1].type.decode, own);
    EXPECT_EQ(tensors[2].type.decode, nullptr);
}

TEST_F(WithGgml, IsFoundNearTheProgram) {
    // …/.cache/engines/llama.cpp/node_modules/@node-llama-cpp
    const fs::path root = fs::path{ENGINE_MODULES}
                              .parent_path()
                              .parent_path()
                              .parent_path()
                              .parent_path()
                              .parent_path();
    std::vector<ModelTensor> tensors = {tensor_of_type(23)};
    EXPECT_NE(attach_decoders(tensors, "", root / "build/bin"), "");
    EXPECT_NE(tensors[0].type.decode, nullptr);
}

TEST_F(WithGgml, ATypeThatCannotBeDecodedIsNamed) {
    EXPECT_TRUE(contains(error_of({tensor_of_type(9)}, path_),
                         "1 tensor of type q8_1 (blk.0.ffn_up.weight): "));
}

TEST(GgmlLibrary, IsNotLookedForWithoutNeed) {
    std::vector<ModelTensor> tensors = {tensor_of_type(12), tensor_of_type(0), tensor_of_type(26)};
    tensors[2].left_out = "it holds integers";
    EXPECT_EQ(attach_decoders(tensors, "/nonexistent.so", "/nonexistent"), "");
}

TEST(GgmlLibrary, WhatIsNoLibraryIsSaidSo) {
    EXPECT_TRUE(contains(error_of({tensor_of_type(23)}, "/nonexistent.so"), "/nonexistent.so"));
    EXPECT_TRUE(contains(error_of({tensor_of_type(23)}, "libm.so.6"),
                         "does not export ggml_get_type_traits; is it libggml-base.so?"));
}

}  // namespace
}  // namespace orch
