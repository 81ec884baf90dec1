// --index: a checkpoint's names for the weights of an engine that has none (docs/INDEX.md).
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "analyzer/weights/given_names.hpp"
#include "analyzer/weights/model_index.hpp"

namespace orch {

void add_index_option(CLI::App& app, std::string& path);

/// None where the option was not given. Throws UnreadableFile: it is no index.
std::optional<ModelIndex> index_of_option(const std::string& path);

/// The names that `compare` joins by, for a trace that is shown by itself.
GivenNames names_from_index(const Trace& trace, const std::optional<ModelIndex>& index);

}  // namespace orch
