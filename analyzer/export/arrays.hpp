// The logged values of a trace as arrays: one per checkpoint, a row per record.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analyzer/read/records.hpp"
#include "analyzer/read/trace.hpp"
#include "analyzer/weights/given_names.hpp"

namespace orch {

/// What is exported, and under which names.
struct Selection {
    std::vector<std::string> globs;  ///< of names; empty: all
    GivenNames names;
};

struct ValueArray {
    std::string name;   ///< of the checkpoint
    std::string shape;  ///< as recorded: the values may be the first few of it
    bool f64 = false;
    std::size_t cols = 0;      ///< values of the longest record; shorter ones end in NaN
    std::vector<double> data;  ///< rows() x cols
    std::vector<std::int64_t> token_idx;
    std::vector<std::int64_t> line;
    std::vector<std::int64_t> count;  ///< values of each record
    std::size_t rows() const { return token_idx.size(); }
};

/// The records that may have values and are wanted, run by run in the order of the file.
void for_each_selected(const Trace& trace, const Selection& selection,
                       const std::function<void(const Entry&, std::string_view name)>& use);

/// The values of a record: from the line, or whole from the sidecar file that it names.
std::vector<double> whole_values(const Trace& trace, const Entry& entry, RecordParser& parser);

/// One checkpoint after the other, in the order of their first record, so that one at a time is in
/// memory. Returns how many.
std::size_t for_each_array(const Trace& trace, const Selection& selection,
                           const std::function<void(ValueArray&&)>& use);

}  // namespace orch
