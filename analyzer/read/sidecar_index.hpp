// The index of a large trace, kept beside it as PATH.orchidx and used again as long as the trace
// has not changed. It holds nothing that the trace does not: it may be deleted at any time, and one
// that is damaged, of another version or of another trace is as good as none.
#pragma once
#include <filesystem>
#include <optional>

#include "analyzer/read/content.hpp"
#include "analyzer/read/trace_index.hpp"

namespace orch {
inline namespace reading {

std::filesystem::path sidecar_path(const std::filesystem::path& trace);

/// Nothing where there is none for these very bytes.
std::optional<TraceIndex> load_sidecar(const std::filesystem::path& trace, const Content& content,
                                       unsigned threads);

/// Where the directory cannot be written, or the disk is nearly full, nothing happens.
void save_sidecar(const std::filesystem::path& trace, const Content& content,
                  const TraceIndex& index, unsigned threads);

}  // namespace reading
}  // namespace orch
