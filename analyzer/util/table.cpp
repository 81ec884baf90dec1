#include "analyzer/util/table.hpp"

#include <algorithm>

#include "analyzer/util/text.hpp"

namespace orch {

std::string table(const std::vector<Column>& all,
                  const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < all.size(); ++i) {
        std::size_t width = all[i].title.size();
        for (const auto& row : rows)
            width = std::min(std::max(width, columns(row[i])), all[i].max_width);
        widths.push_back(width);
    }
    std::string out;
    const auto add = [&](const auto& cell_of) {
        std::string line = "  ";
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::string cell = clipped(cell_of(i), widths[i]);
            const std::string space(widths[i] - columns(cell), ' ');
            line += "  " + (all[i].right ? space + cell : cell + space);
        }
        out += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    };
    add([&](std::size_t i) { return all[i].title; });
    for (const auto& row : rows)
        add([&](std::size_t i) { return row[i]; });
    return out;
}

}  // namespace orch
