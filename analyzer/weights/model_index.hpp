// model.idx, read back: names and roles for the weights of an engine that has none (docs/INDEX.md).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "analyzer/read/records.hpp"
#include "analyzer/weights/model_facts.hpp"
#include "analyzer/weights/role.hpp"

namespace orch {

struct IndexedWeight {
    WeightRecord record;  ///< record.name is the checkpoint's name of it
    Role role;
};

struct ModelIndex {
    std::string path;
    std::string model;  ///< file or directory that it was made of
    ModelFacts facts;
    std::vector<IndexedWeight> weights;  ///< in the checkpoint's order
};

/// Throws UnreadableFile: no file, no index, or not all of one.
ModelIndex read_index(const std::filesystem::path& path);

}  // namespace orch
