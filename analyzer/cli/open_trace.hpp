// A trace that a command is about to show: there is something in it, or the user is told why not.
#pragma once
#include <string>
#include <vector>

#include "analyzer/read/trace.hpp"

namespace orch {

/// Throws UnreadableFile, also where no line is a record.
Trace open_trace(const std::string& path, const ReadOptions& options = {});

/// "a.jsonl: no values of a checkpoint logitz; …", or of any where `globs` is empty.
std::string no_values(const std::string& path, const std::vector<std::string>& globs);

}  // namespace orch
