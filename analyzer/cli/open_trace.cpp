#include "analyzer/cli/open_trace.hpp"

#include <fmt/format.h>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

std::string why_no_trace(const Trace& trace) {
    const ReadCounts& counts = trace.counts();
    if (counts.bytes == 0) return "the file is empty";
    if (trace.bad_lines().empty()) return "no line in it but blank ones";
    const BadLine& first = trace.bad_lines().front();
    return fmt::format("no record in it ({}, {} of them bad; line {}: {}); is it a trace?",
                       counted(counts.lines, "line"), grouped(counts.bad_lines), first.line,
                       first.why);
}

}  // namespace

Trace open_trace(const std::string& path, const ReadOptions& options) {
    Trace trace{path, options};
    if (trace.entries().empty())
        throw UnreadableFile(fmt::format("{}: {}", path, why_no_trace(trace)));
    return trace;
}

std::string no_values(const std::string& path, const std::vector<std::string>& globs) {
    if (globs.empty()) {
        return fmt::format("{}: no record in it has values; 'orchtrace info' tells what it holds",
                           path);
    }
    return fmt::format("{}: no values of a checkpoint {}; 'orchtrace info' lists the names", path,
                       joined(globs, " or "));
}

}  // namespace orch
