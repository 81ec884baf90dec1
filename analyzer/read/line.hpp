// One line of a trace, and what the index keeps of it. Two ways lead there: a scanner that knows
// the shape of ordinary lines (line_scan.cpp), and a JSON parser for all others (line_parse.cpp).
// Where the scanner takes a line, both find the same. Both read up to 64 bytes past the
// line.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "analyzer/read/trace.hpp"

namespace orch {
inline namespace reading {

/// orchtrace writes at most 1 MiB a line; other loggers dump whole logits. Past this it is no
/// trace, and the parser's memory (some five times the line) is not worth spending.
inline constexpr std::size_t max_line = std::size_t{64} << 20;

/// The texts lie in the line or in the parser, until its next line.
struct LineFacts {
    Entry entry;  ///< without place and texts
    std::string_view team;
    std::string_view checkpoint;
    std::string_view weight;
    std::string_view dtype;
    std::string_view shape;
    // Of a line with the seven keys in their order and no others, for LinePattern.
    bool is_usual = false;
    std::string_view ts;
    const char* token = nullptr;
    const char* behind_token = nullptr;
};

RecordKind kind_of(std::string_view text);  ///< as the key "kind" has it; empty: log

/// Numbers that no trace has count as missing.
inline std::int32_t pass_of(std::int64_t number) {
    return number >= 0 && number <= std::numeric_limits<std::int32_t>::max()
               ? static_cast<std::int32_t>(number)
               : -1;
}
inline std::uint32_t extent_of(std::int64_t number) {
    return number >= 0 && number <= std::numeric_limits<std::uint32_t>::max()
               ? static_cast<std::uint32_t>(number)
               : 0;
}

/// Behind the line's last byte; null: it is for LineParser. `line` starts with the first byte that
/// is no white space, and `facts` as made.
const char* scan_line(const char* line, LineFacts& facts);

class LineParser {
  public:
    LineParser();
    ~LineParser();
    LineParser(const LineParser&) = delete;
    LineParser& operator=(const LineParser&) = delete;

    /// Why `line` (without white space around it) is no record; empty: it is one.
    std::string parse(std::string_view line, LineFacts& facts);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace reading
}  // namespace orch
