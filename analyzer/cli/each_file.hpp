// Commands that tell of several files, each for itself.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "analyzer/cli/commands.hpp"

namespace orch {

/// One file after the other; UnreadableFile is told, and does not hide the files behind it. Returns
/// the exit code.
int show_each_file(const std::vector<std::string>& paths, Context& context,
                   const std::function<void(const std::string& path)>& show);

/// The same as one document of what `describe` says of each file.
int show_each_file_as_json(
    const std::vector<std::string>& paths, int schema_version, Context& context,
    const std::function<nlohmann::ordered_json(const std::string& path)>& describe);

}  // namespace orch
