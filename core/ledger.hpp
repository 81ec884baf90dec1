// What was seen, what was recorded and what was not, per class of record. A reader that cannot make
// the ledger add up must not trust the trace.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace orch {

enum class RecordClass : std::uint8_t { gemm, checkpoint, weight, pass, log, copy, count };

constexpr std::string_view class_name(RecordClass c) {
    switch (c) {
        case RecordClass::gemm:
            return "gemm";
        case RecordClass::checkpoint:
            return "checkpoint";
        case RecordClass::weight:
            return "weight";
        case RecordClass::pass:
            return "pass";
        case RecordClass::log:
            return "log";
        case RecordClass::copy:
            return "copy";
        case RecordClass::count:
            break;
    }
    return "?";
}

/// seen = recorded + filtered + dropped, once no call is under way.
struct ClassCounts {
    std::atomic<std::uint64_t> seen{0};
    std::atomic<std::uint64_t> recorded{0};
    std::atomic<std::uint64_t> filtered{0};  ///< not selected
    std::atomic<std::uint64_t> dropped{0};   ///< selected, but lost
    /// Seen and filtered at once: one addition, where a call that nobody wants must cost little.
    std::atomic<std::uint64_t> unselected{0};
};

struct Ledger {
    std::array<ClassCounts, static_cast<std::size_t>(RecordClass::count)> classes;
    ClassCounts full;                            ///< whole tensors, ORCH_TRACE_FULL
    std::atomic<std::uint64_t> row_lines{0};     ///< that belong to recorded calls
    std::atomic<std::uint64_t> dropped_rows{0};  ///< row lines that did not fit
    std::atomic<std::uint64_t> lines{0};         ///< all lines handed to the file
    std::atomic<std::uint64_t> lost_lines{0};    ///< of these, lost to write errors

    ClassCounts& operator[](RecordClass c) { return classes[static_cast<std::size_t>(c)]; }
};

inline void bump(std::atomic<std::uint64_t>& counter) {
    counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace orch
