// A trace as an index: where each line is and what it is about, without its numbers, so that a
// trace of gigabytes fits into memory. Numbers are parsed when a comparison asks: records.hpp.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/read/read_counts.hpp"

// The writer's own Trace, in core, is another class: one program may hold both.
namespace orch {
inline namespace reading {

enum class RecordKind : std::uint8_t {
    log,  ///< a plain seven-key line, of whatever logger
    header,
    pass,
    checkpoint,
    gemm,
    row,
    weight,
    blind_spot,
    ledger,
    copy,     ///< what left a GPU
    setting,  ///< what the engine set in a library
    other,
};

/// As the lines have it; "log" and "other" are ours.
std::string_view kind_name(RecordKind kind);

/// A text that many lines share, kept once; Trace::string. 0 is the empty text.
using StringId = std::uint32_t;

struct Entry {
    std::uint64_t offset = 0;
    std::uint64_t line = 0;  ///< counted from 1
    /// Equal keys: the digests of x (of y) are the same text, so the same matrix. 0: no digest.
    std::uint64_t x_key = 0;
    std::uint64_t y_key = 0;
    std::int64_t call = -1;
    std::int64_t token_idx = 0;
    std::int64_t first_position = 0;  ///< of row 0
    std::uint32_t length = 0;
    std::uint32_t values = 0;  ///< where in the line the list of values starts; 0: it has none
    std::int32_t pass = -1;
    StringId team = 0;
    StringId checkpoint = 0;
    StringId weight = 0;  ///< gemm, weight: the id
    StringId dtype = 0;
    StringId shape = 0;
    std::uint32_t rows = 0;    ///< of y
    std::uint32_t x_cols = 0;  ///< gemm
    std::uint32_t y_cols = 0;
    RecordKind kind = RecordKind::other;
    bool token_positions = false;  ///< "positions":"token"
    bool nonfinite = false;        ///< the line says that NaN or Inf is in its values or in y
};

/// The lines of one run: entries[begin, end). A file without a header is one run.
struct RunRange {
    std::size_t begin = 0;
    std::size_t end = 0;
};

struct ReadOptions {
    unsigned threads = 0;       ///< 0: one per core
    bool sidecar_index = true;  ///< keep and reuse PATH.orchidx for a big file
    std::uint64_t big_file = std::uint64_t{64} << 20;  ///< bytes
};

class Trace {
  public:
    /// Plain, gzip or zstd; a pipe; "-" is standard input. Throws UnreadableFile.
    explicit Trace(const std::filesystem::path& path, const ReadOptions& options = {});
    ~Trace();
    Trace(Trace&&) noexcept;
    Trace& operator=(Trace&&) noexcept;

    const std::string& path() const;
    std::span<const Entry> entries() const;
    std::span<const RunRange> runs() const;
    std::string_view string(StringId id) const;
    std::optional<StringId> find(std::string_view text) const;
    /// The line, without its line feed and the spaces before it. Valid as long as the trace lives;
    /// at least 64 bytes behind it may be read.
    std::string_view text(const Entry& entry) const;
    /// The text from offset `begin` to `end` no longer counts as memory of this process, until it
    /// is looked at again. For passes over large traces; RecordParser does it by itself.
    void forget_text(std::uint64_t begin, std::uint64_t end) const;
    /// The `row` lines of a call of a run, in the order of the file.
    std::vector<const Entry*> rows_of(const RunRange& run, std::int64_t call) const;
    const ReadCounts& counts() const;
    /// The first few; counts() has their number.
    const std::vector<BadLine>& bad_lines() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace reading
}  // namespace orch
