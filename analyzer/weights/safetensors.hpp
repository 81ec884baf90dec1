// safetensors, from memory, and the JSON files that lie beside it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "analyzer/weights/byte_reader.hpp"
#include "analyzer/weights/model_facts.hpp"
#include "analyzer/weights/model_tensor.hpp"

namespace orch {

// All throw MalformedFile, and read nothing outside of what they are given.

/// In the order of their data, which are parts of `file`.
std::vector<ModelTensor> parse_safetensors(ByteSpan file);

/// model.safetensors.index.json: the tensors of each file. The files' names are plain: no path.
std::map<std::string, std::vector<std::string>> parse_shard_index(ByteSpan json);

/// config.json of Hugging Face, params.json of the original Llama and Mistral.
ModelFacts parse_config(ByteSpan json);

}  // namespace orch
