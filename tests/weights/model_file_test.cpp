#include "analyzer/weights/model_file.hpp"

#include "analyzer/read/read_counts.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/weights/checkpoint_builder.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

std::string gguf_with(const std::vector<std::string>& names, std::uint32_t splits = 0) {
    GgufBuilder gguf;
    gguf.text("general.architecture", "llama");
    gguf.u32("llama.embedding_length", 8);
    if (splits != 0) gguf.value("split.count", 2, raw(static_cast<std::uint16_t>(splits)));
    for (const std::string& name : names)
        gguf.f32_tensor(name, 2, 8);
    return gguf.file();
}

std::string safetensors_with(const std::vector<std::string>& names) {
    std::string header;
    std::string data;
    for (const std::string& name : names) {
        header += (header.empty() ? "{\"" : ",\"") + name +
                  R"(":{"dtype":"F32","shape":[2,8],"data_offsets":[)" +
                  std::to_string(data.size()) + "," + std::to_string(data.size() + 64) + "]}";
        data += raw_floats(some_floats(16));
    }
    return safetensors(header + "}", data);
}

class ModelFiles : public InDirectory {
  protected:
    std::vector<std::string> names(const std::string& name) const {
        std::vector<std::string> result;
        for (const ModelTensor& tensor : open_model(path(name)).tensors)
            result.push_back(tensor.name);
        return result;
    }
    std::string error(const std::string& name) const {
        try {
            open_model(path(name));
        } catch (const UnreadableFile& why) {
            std::string text = why.what();
            for (std::size_t at = text.find(path("")); at != std::string::npos;
                 at = text.find(path("")))
                text.erase(at, path("").size());
            return text;
        }
        return "";
    }
};

using Names = std::vector<std::string>;

TEST_F(ModelFiles, OneFileOfEitherFormat) {
    file("m.gguf", gguf_with({"output.weight"}));
    file("m.safetensors", safetensors_with({"lm_head.weight"}));
    file("blob", gguf_with({"output.weight"}));  // as caches name them
    EXPECT_EQ(names("m.gguf"), Names{"output.weight"});
    EXPECT_EQ(names("blob"), Names{"output.weight"});
    EXPECT_EQ(names("m.safetensors"), Names{"lm_head.weight"});
    const ModelFile model = open_model(path("m.gguf"));
    EXPECT_EQ(model.name, "m.gguf");
    EXPECT_EQ(model.format, "gguf");
    EXPECT_EQ(model.facts.file_type, "f32");
}

TEST_F(ModelFiles, ASplitGgufByAnyOfItsFiles) {
    for (int i = 1; i <= 3; ++i)
        file("m-0000" + std::to_string(i) + "-of-00003.gguf",
             gguf_with({"t" + std::to_string(i)}, 3));
    EXPECT_EQ(names("m-00001-of-00003.gguf"), (Names{"t1", "t2", "t3"}));
    EXPECT_EQ(names("m-00003-of-00003.gguf"), (Names{"t1", "t2", "t3"}));
    EXPECT_EQ(names(""), (Names{"t1", "t2", "t3"}));
    fs::copy_file(path("m-00002-of-00003.gguf"), path("part.gguf"));
    EXPECT_EQ(error("part.gguf"),
              "part.gguf: one of 3 files; give them their names back: NAME-00001-of-00003.gguf");
    fs::remove(path("m-00002-of-00003.gguf"));
    EXPECT_EQ(error("m-00001-of-00003.gguf"),
              "m-00001-of-00003.gguf: 1 of its 3 files missing beside it: m-00002-of-00003.gguf");
    file("x-00001-of-00009.gguf", gguf_with({"t"}));
    EXPECT_EQ(error("x-00001-of-00009.gguf"),
              "x-00001-of-00009.gguf: 8 of its 9 files missing beside it: x-00002-of-00009.gguf, "
              "x-00003-of-00009.gguf, x-00004-of-00009.gguf, ...");
    file("y-00001-of-00002.gguf", gguf_with({"t"}));
    file("y-00002-of-00002.gguf", gguf_with({"t"}));
    EXPECT_EQ(error("y-00001-of-00002.gguf"),
              "y-00001-of-00002.gguf: two of its files have a tensor t");
}

TEST_F(ModelFiles, ShardedSafetensorsByTheirIndex) {
    fs::create_directory(path("d"));
    file("d/model-00001-of-00002.safetensors", safetensors_with({"a"}));
    file("d/model-00002-of-00002.safetensors", safetensors_with({"b", "c"}));
    file("d/consolidated.safetensors", safetensors_with({"z"}));
    file("d/config.json", R"({"model_type":"qwen2","hidden_size":8})");
    const std::string index =
        file("d/model.safetensors.index.json",
             R"({"weight_map":{"a":"model-00001-of-00002.safetensors",)"
             R"("b":"model-00002-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}})");
    EXPECT_EQ(names("d"), (Names{"a", "b", "c"}));
    EXPECT_EQ(names("d/model.safetensors.index.json"), (Names{"a", "b", "c"}));
    EXPECT_EQ(names("d/model-00002-of-00002.safetensors"), (Names{"a", "b", "c"}));
    EXPECT_EQ(open_model(path("d/")).name, "d");
    EXPECT_EQ(open_model(path("d")).facts.architecture, "qwen2");

    write_file(index, R"({"weight_map":{"q":"model-00001-of-00002.safetensors"}})");
    EXPECT_EQ(error("d"),
              "d/model.safetensors.index.json: tensor q is not in "
              "model-00001-of-00002.safetensors, nor in another file");
    write_file(index, R"({"weight_map":{"a":"nowhere.safetensors"}})");
    EXPECT_EQ(error("d"),
              "d/model.safetensors.index.json: nowhere.safetensors, which it names, is missing "
              "beside it");
    write_file(index, R"({"weight_map":{"a":"../m.safetensors"}})");
    EXPECT_EQ(error("d"),
              "d/model.safetensors.index.json: tensor a: the name of its file is no plain name");
    fs::remove(index);
    EXPECT_EQ(names("d"), (Names{"a", "b", "c"}));  // the usual name
    fs::remove(path("d/model-00001-of-00002.safetensors"));
    EXPECT_EQ(error("d"),
              "d/model-00002-of-00002.safetensors: 1 of its 2 files missing beside it: "
              "model-00001-of-00002.safetensors");
    fs::rename(path("d/model-00002-of-00002.safetensors"), path("d/draft.safetensors"));
    EXPECT_EQ(error("d"),
              "d: 2 models in it, as consolidated.safetensors and draft.safetensors; name one");
}

TEST_F(ModelFiles, ErrorsNameTheFileAndWhatToDo) {
    EXPECT_EQ(error("none.gguf"), "none.gguf: No such file or directory");
    EXPECT_EQ(error(""), ": no .safetensors and no .gguf file in it");
    file("pytorch_model.bin", "PK");
    EXPECT_EQ(error("pytorch_model.bin"),
              "pytorch_model.bin: PyTorch's pickles are programs and are not read; save it as "
              "safetensors");
    file("trace.jsonl", "{\"kind\":\"header\"}\n");
    EXPECT_EQ(error("trace.jsonl"), "trace.jsonl: neither GGUF nor safetensors");
    file("blob", "");
    EXPECT_EQ(error("blob"), "blob: neither GGUF nor safetensors");
    file("m.gguf", "");
    EXPECT_EQ(error("m.gguf"), "m.gguf: not a GGUF file");
    file("m.gguf", gguf_with({}));
    EXPECT_EQ(error("m.gguf"), "m.gguf: it holds no tensor");
    file("m.safetensors", "");
    EXPECT_EQ(error("m.safetensors"), "m.safetensors: it ends in the middle of its header");
    file("m.safetensors", safetensors_with({"a"}));
    file("config.json", "{");
    EXPECT_EQ(error("m.safetensors"), "config.json: it is no JSON object");
    const std::string whole = gguf_with({"a"});
    file("m.gguf", whole.substr(0, whole.size() - 1));
    EXPECT_EQ(error("m.gguf"),
              "m.gguf: tensor a lies beyond the end of the file; is the download complete?");
    EXPECT_EQ(error("/dev/null"), "/dev/null: not a regular file");
}

TEST(ModelStem, IsTheNameWithoutNumbersAndExtension) {
    EXPECT_EQ(model_stem("a/qwen-00001-of-00003.gguf"), "qwen");
    EXPECT_EQ(model_stem("a/model.safetensors"), "model");
    EXPECT_EQ(model_stem("a/model.safetensors.index.json"), "model");
    EXPECT_EQ(model_stem("qwen-00004-of-00003.gguf"), "qwen-00004-of-00003");
    EXPECT_EQ(model_stem("qwen-0000x-of-00003.gguf"), "qwen-0000x-of-00003");
    EXPECT_EQ(model_stem("-00001-of-00003.gguf"), "-00001-of-00003");
}

ModelTensor shaped(const std::string& name, std::int64_t rows, std::int64_t cols,
                   std::string_view type = "F32") {
    ModelTensor tensor;
    tensor.name = name;
    tensor.rows = rows;
    tensor.cols = cols;
    tensor.type = safetensors_element_type(type);
    return tensor;
}

TEST(Transposed, Gpt2KeepsInputsInRows) {
    std::vector<ModelTensor> tensors = {shaped("h.0.attn.c_attn.weight", 8, 24),
                                        shaped("h.0.attn.c_proj.weight", 8, 8),
                                        shaped("h.0.mlp.c_fc.weight", 8, 32),
                                        shaped("h.0.mlp.c_proj.weight", 32, 8),
                                        shaped("wte.weight", 100, 8),
                                        shaped("h.0.ln_1.weight", 1, 8)};
    mark_transposed(tensors, {});
    for (std::size_t i = 0; i < 4; ++i)
        EXPECT_TRUE(tensors[i].transposed) << tensors[i].name;
    EXPECT_FALSE(tensors[4].transposed);
    EXPECT_EQ(tensors[0].outputs(), 24);
    EXPECT_EQ(tensors[2].outputs(), 32);
    // StarCoder has the same names on ordinary matrices.
    tensors = {shaped("h.0.attn.c_attn.weight", 24, 8), shaped("h.0.attn.c_proj.weight", 8, 8)};
    mark_transposed(tensors, {});
    EXPECT_FALSE(tensors[0].transposed);
    EXPECT_FALSE(tensors[1].transposed);
}

TEST(Transposed, ExpertsInOneTensorAreToldByTheModelsWidth) {
    ModelFacts facts;
    facts.embedding_length = 8;
    std::vector<ModelTensor> tensors = {
        shaped("model.layers.0.mlp.experts.gate_up_proj[0]", 8, 24),
        shaped("model.layers.0.mlp.experts.down_proj[0]", 12, 8),
        shaped("model.layers.1.mlp.experts.gate_up_proj[0]", 24, 8),
        shaped("model.layers.1.mlp.experts.down_proj[0]", 8, 12),
        shaped("model.layers.2.mlp.experts.down_proj[0]", 12, 8, "F8_E4M3")};
    mark_transposed(tensors, facts);
    EXPECT_TRUE(tensors[0].transposed);
    EXPECT_TRUE(tensors[1].transposed);
    EXPECT_FALSE(tensors[2].transposed);
    EXPECT_FALSE(tensors[3].transposed);
    EXPECT_EQ(tensors[4].left_out, "its rows are inputs, which f8_e4m3 cannot be read by");
}

}  // namespace
}  // namespace orch
