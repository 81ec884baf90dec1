// Any bytes as one line: what the quick scanner takes, it must take as the JSON parser does.
#include "analyzer/read/line.hpp"

#include <algorithm>
#include <string>

#include "tests/fuzz/same_facts.hpp"

namespace {

std::string_view trimmed(std::string_view line) {
    constexpr std::string_view white = " \t\r";
    line = line.substr(0, line.find('\n'));
    line.remove_prefix(std::min(line.find_first_not_of(white), line.size()));
    return line.substr(0, line.find_last_not_of(white) + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using orch::fuzz::require;
    std::string padded{trimmed(orch::fuzz::as_text(data, size))};
    const std::size_t length = padded.size();
    if (length == 0) return 0;
    // Both may look at what stands behind the line, of which nothing may come.
    padded += '\n';
    padded.append(64, '7');
    const std::string_view line{padded.data(), length};

    orch::LineFacts quick;
    const bool is_taken = orch::scan_line(line.data(), quick) == line.data() + length;
    static orch::LineParser parser;
    orch::LineFacts thorough;
    if (!parser.parse(line, thorough).empty()) return 0;
    require(thorough.entry.values < length, "the values are in the line");
    if (!is_taken) return 0;
    require(quick.team == thorough.team, "same team");
    require(quick.checkpoint == thorough.checkpoint, "same checkpoint");
    require(quick.weight == thorough.weight, "same weight");
    require(quick.dtype == thorough.dtype, "same dtype");
    require(quick.shape == thorough.shape, "same shape");
    orch::fuzz::require_same_facts(quick.entry, thorough.entry);
    return 0;
}
