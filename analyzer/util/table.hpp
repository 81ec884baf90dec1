// Rows of cells under a title each, for a terminal.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace orch {

struct Column {
    std::string title;
    std::size_t max_width;  ///< what is wider is clipped in its middle
    bool right = false;
};

/// As wide as needed, indented by four; no space at the end of a line.
std::string table(const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows);

}  // namespace orch
