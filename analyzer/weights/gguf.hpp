// GGUF, versions 2 and 3, from memory: what llama.cpp reads.
#pragma once
#include <vector>

#include "analyzer/weights/byte_reader.hpp"
#include "analyzer/weights/model_facts.hpp"
#include "analyzer/weights/model_tensor.hpp"

namespace orch {

struct GgufFile {
    ModelFacts facts;
    std::uint64_t split_count = 1;  ///< files that the model is cut into
    std::vector<ModelTensor> tensors;
};

bool is_gguf(ByteSpan file);

/// The tensors' data are parts of `file`. Throws MalformedFile; reads nothing outside of `file`,
/// and needs memory in proportion to the number of tensors that the file really lists.
GgufFile parse_gguf(ByteSpan file);

}  // namespace orch
