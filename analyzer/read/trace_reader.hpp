// Reads a trace line by line: docs/FORMAT.md. A line that is no record is reported and skipped; no
// content of a file makes this throw or crash.
#pragma once
#include <simdjson.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/read/read_counts.hpp"

namespace orch {

/// One line that is a JSON object with a "checkpoint". Lives as long as the callback runs.
class Record {
  public:
    Record(std::uint64_t line, std::string_view text, simdjson::dom::object json)
        : line_(line), text_(text), json_(json) {}

    std::uint64_t line() const { return line_; }  ///< counted from 1
    std::string_view text() const { return text_; }
    simdjson::dom::object json() const { return json_; }

    std::string_view checkpoint() const { return string("checkpoint"); }
    /// Empty: a plain seven-key line.
    std::string_view kind() const { return string("kind"); }
    /// Empty where the key is missing or no string.
    std::string_view string(std::string_view key) const;
    std::optional<std::int64_t> integer(std::string_view key) const;
    bool has(std::string_view key) const;
    /// Decoded on demand; what JSON cannot hold (null) comes back as NaN.
    std::vector<double> values() const;

  private:
    std::uint64_t line_;
    std::string_view text_;
    simdjson::dom::object json_;
};

using OnRecord = std::function<void(const Record&)>;
using OnBadLine = std::function<void(const BadLine&)>;

ReadCounts for_each_record(const std::filesystem::path& path, const OnRecord& on_record,
                           const OnBadLine& on_bad_line);

}  // namespace orch
