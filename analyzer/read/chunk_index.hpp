// The index of one piece of a trace, made by one thread.
#pragma once
#include <string_view>
#include <vector>

#include "analyzer/read/line.hpp"
#include "analyzer/read/line_pattern.hpp"
#include "analyzer/read/text_table.hpp"

namespace orch {
inline namespace reading {

/// Ids and line numbers count from the start of the chunk.
struct ChunkIndex {
    std::vector<Entry> entries;
    TextTable texts;
    ReadCounts counts;
    std::vector<BadLine> bad_lines;  ///< the first few
    /// Entries at which a run may start: headers, and plain lines of another team than the plain
    /// line before.
    std::vector<std::size_t> marks;
    void clear();
};

/// One per thread.
class ChunkReader {
  public:
    /// All lines that start in [begin, end) of the mapped file; the last may end behind `end`.
    void read(std::string_view file, std::size_t begin, std::size_t end, ChunkIndex& chunk);

  private:
    // Each adds one line and returns the start of the next; null: it does not know such lines.
    const char* like_before(const char* line);
    const char* usual_line(const char* line);
    const char* odd_line(const char* line);  ///< never null

    const char* behind_line(const char* line_end) const;
    void add(std::string_view line, const LineFacts& facts);
    /// Notes where a run may start; `entry` is the last.
    void mark(const Entry& entry);
    StringId id_of(std::string_view text, int column);

    /// The text that stood in this place of the line before, as it often does again.
    struct Recent {
        std::string_view text;
        StringId id = 0;
    };

    std::string_view file_;
    ChunkIndex* chunk_ = nullptr;
    LineParser parser_;
    LineFacts facts_;
    Recent recent_[5];
    LinePattern pattern_;
    Entry before_;  ///< of the line that the pattern was learned from
    bool has_log_ = false;
    StringId last_log_team_ = 0;
};

}  // namespace reading
}  // namespace orch
