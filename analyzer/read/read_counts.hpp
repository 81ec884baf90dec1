// What is said of a file as a whole, and of the lines in it that are no records.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace orch {

struct BadLine {
    std::uint64_t line = 0;
    std::string why;
    bool truncated = false;  ///< the last line, cut off before its newline
};

/// lines = records + bad_lines + blank_lines
struct ReadCounts {
    std::uint64_t bytes = 0;
    std::uint64_t lines = 0;
    std::uint64_t records = 0;
    std::uint64_t bad_lines = 0;
    std::uint64_t blank_lines = 0;
    bool truncated = false;
};

inline constexpr std::size_t max_bad_lines_shown = 5;

/// The file cannot be opened or read; what() names it and the reason.
struct UnreadableFile : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace orch
