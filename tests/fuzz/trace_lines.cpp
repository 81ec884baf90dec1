// Any bytes as a trace, line by line: for_each_record.
#include "analyzer/read/trace_reader.hpp"
#include "tests/fuzz/file_in_memory.hpp"

namespace {

/// What the commands ask of a record, of whatever type its keys are.
void touch(const orch::Record& record) {
    using orch::fuzz::require;
    require(record.has("checkpoint"), "a record has a checkpoint");
    require(record.string("checkpoint") == record.checkpoint(), "one checkpoint");
    require(record.text().find('\n') == std::string_view::npos, "a record is one line");
    (void)record.kind();
    (void)record.integer("token_idx");
    for (const double value : record.values())
        require(value == value || value != value, "values can be read");
    for (const auto& [key, value] : record.json())
        (void)simdjson::minify(value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using orch::fuzz::require;
    const orch::fuzz::FileInMemory file{orch::fuzz::as_text(data, size)};
    std::uint64_t records = 0;
    std::uint64_t bad = 0;
    std::uint64_t last = 0;
    const auto next_line = [&](std::uint64_t line) {
        require(line > last, "lines come in order");
        last = line;
    };
    const orch::ReadCounts counts = orch::for_each_record(
        file.path(),
        [&](const orch::Record& record) {
            ++records;
            next_line(record.line());
            touch(record);
        },
        [&](const orch::BadLine& line) {
            ++bad;
            next_line(line.line);
            require(!line.why.empty(), "a bad line has a reason");
        });
    require(counts.bytes == size, "every byte is counted");
    require(counts.records == records && counts.bad_lines == bad, "what was reported is counted");
    require(counts.lines == records + bad + counts.blank_lines, "a line is a record, bad or blank");
    require(last <= counts.lines, "line numbers are within the file");
    return 0;
}
