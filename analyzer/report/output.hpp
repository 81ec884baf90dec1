#pragma once
#include <string>
#include <string_view>

namespace orch {

/// Into a file that is complete or unchanged; pipes and devices are written as they are. Throws.
void write_document(const std::string& path, std::string_view text);

}  // namespace orch
