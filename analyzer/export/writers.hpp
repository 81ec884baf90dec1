// Writes a trace's values in formats that other tools load.
#pragma once
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/export/arrays.hpp"

namespace orch {

/// What was written, for one line of text.
struct Exported {
    std::size_t arrays = 0;
    std::size_t records = 0;
};

/// The disk is full, the file cannot be opened: what() says which and why.
struct WriteError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A line per value: team, checkpoint, token_idx, line, dtype, shape, index, value. Nothing at all
/// where there is no value.
Exported export_csv(const Trace& trace, const Selection& selection,
                    const std::function<void(std::string_view)>& write);

/// For numpy.load: each checkpoint as [records, values], with NAME.token_idx, NAME.line and
/// NAME.count beside it.
Exported export_npz(const Trace& trace, const Selection& selection,
                    const std::filesystem::path& path);

/// The same arrays; `__metadata__` has the recorded shape of each checkpoint.
Exported export_safetensors(const Trace& trace, const Selection& selection,
                            const std::filesystem::path& path);

}  // namespace orch
