// A model on disk, in whatever files: GGUF (also split), safetensors (also sharded), a directory.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "analyzer/weights/mapped_file.hpp"
#include "analyzer/weights/model_facts.hpp"
#include "analyzer/weights/model_tensor.hpp"

namespace orch {

struct ModelFile {
    std::string name;    ///< "model.gguf", or the directory's name
    std::string format;  ///< "gguf", "safetensors"
    ModelFacts facts;
    std::vector<MappedFile> files;
    std::vector<ModelTensor> tensors;  ///< their data lie in `files`
};

/// Throws UnreadableFile: what is wrong with which file, and what to do.
ModelFile open_model(const std::filesystem::path& path);

/// "…/qwen-00001-of-00003.gguf" -> "qwen"; "…/model.safetensors" -> "model"
std::string model_stem(const std::filesystem::path& path);

/// Finds the tensors that the file holds as [inputs, outputs] (GPT-2's Conv1D; experts in one
/// tensor, as some families keep them) by their shapes.
void mark_transposed(std::vector<ModelTensor>& tensors, const ModelFacts& facts);

}  // namespace orch
