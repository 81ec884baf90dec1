// Any bytes as the entries of a saved index: what can be decoded is encoded to the same entries.
#include "analyzer/read/entry_codec.hpp"

#include <vector>

#include "tests/fuzz/target.hpp"

namespace {

bool is_same(const orch::Entry& a, const orch::Entry& b) {
    return a.offset == b.offset && a.line == b.line && a.x_key == b.x_key && a.y_key == b.y_key &&
           a.call == b.call && a.token_idx == b.token_idx && a.first_position == b.first_position &&
           a.length == b.length && a.values == b.values && a.pass == b.pass && a.team == b.team &&
           a.checkpoint == b.checkpoint && a.weight == b.weight && a.dtype == b.dtype &&
           a.shape == b.shape && a.rows == b.rows && a.x_cols == b.x_cols && a.y_cols == b.y_cols &&
           a.kind == b.kind && a.token_positions == b.token_positions && a.nonfinite == b.nonfinite;
}

}  // namespace

/// The first byte is the number of entries.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using orch::fuzz::require;
    if (size == 0) return 0;
    std::vector<orch::Entry> entries(data[0]);
    if (!orch::decode(orch::fuzz::as_text(data, size).substr(1), entries)) return 0;
    std::string bytes;
    orch::encode(entries, bytes);
    std::vector<orch::Entry> again(entries.size());
    require(orch::decode(bytes, again), "what was encoded can be decoded");
    for (std::size_t i = 0; i < entries.size(); ++i)
        require(is_same(entries[i], again[i]), "the same entries, encoded and decoded");
    return 0;
}
