// What a trace knows about its lines without their numbers, made by several threads.
#pragma once
#include <vector>

#include "analyzer/read/content.hpp"
#include "analyzer/read/entry_store.hpp"
#include "analyzer/read/text_table.hpp"

namespace orch {
inline namespace reading {

struct TraceIndex {
    EntryStore entries;
    TextTable texts;
    std::vector<RunRange> runs;
    ReadCounts counts;
    std::vector<BadLine> bad_lines;
};

/// The same for any number of threads (0: one per core).
TraceIndex index_of(const Content& content, unsigned threads);

}  // namespace reading
}  // namespace orch
