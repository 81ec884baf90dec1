// Entries in few bytes, for the sidecar index: what is as it was foretold from the entry before is
// not written. A log line takes some seven bytes instead of a hundred.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "analyzer/read/trace.hpp"

namespace orch {
inline namespace reading {

void encode(std::span<const Entry> entries, std::string& out);
/// False: the bytes are not those of exactly this many entries.
bool decode(std::string_view bytes, std::span<Entry> entries);

}  // namespace reading
}  // namespace orch
