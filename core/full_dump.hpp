// Whole tensors beside the trace (ORCH_TRACE_FULL): one safetensors file for each, in the directory
// NAME.full of a trace NAME, written under another name first, so that a file is whole or not
// there. A mode for debugging: results on the CPU are written on the engine's own thread.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/config.hpp"
#include "core/fixed_string.hpp"
#include "core/unnoticed.hpp"

namespace orch {

class Trace;
struct CallRecord;

/// Of a file in that directory.
using FullName = FixedString<191>;

/// What a process has written, of all threads.
struct FullState {
    std::atomic<std::uint64_t> bytes{0};  ///< of elements
    std::atomic<std::uint32_t> begun{0};  ///< files
    std::atomic<bool> told{false};        ///< why one of them is not there
};

/// Elements of the type that safetensors calls `dtype`, row after row.
struct FullShape {
    std::string_view dtype;
    std::size_t element_size = 0;  ///< 0: a type that has no elements to be written
    std::int64_t rows = 0;
    std::int64_t cols = 0;

    std::uint64_t bytes() const noexcept {
        return static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(cols) * element_size;
    }
};

/// Any of the three names may decide.
inline bool wants_full(const Config& config, CheckpointGroup group, std::string_view checkpoint,
                       std::string_view engine_name, std::string_view op) noexcept {
    return !config.full.is_none() && (config.full.selects(group, checkpoint, engine_name) ||
                                      config.full.selects(group, checkpoint, op));
}

/// A file on its way: append() all elements, then finish(). Each is counted in the ledger.
class FullFile {
  public:
    /// `call` says what the tensor is; its digests are not asked for.
    FullFile(Trace& trace, const CallRecord& call, const FullShape& shape) noexcept;
    ~FullFile();
    FullFile(const FullFile&) = delete;
    FullFile& operator=(const FullFile&) = delete;

    void append(const void* data, std::size_t size) noexcept;
    /// The name that the file got; empty: there is none.
    FullName finish() noexcept;

  private:
    void open(const FullShape& shape) noexcept;
    void write_header(const FullShape& shape) noexcept;
    void give_up(const char* why) noexcept;
    void write(const char* from, std::size_t size) noexcept;

    KeepErrno errno_;
    QuietSignals signals_;
    Trace& trace_;
    const CallRecord& call_;
    int fd_ = -1;
    std::uint64_t missing_ = 0;  ///< bytes of elements still to be appended
    FixedString<4095> path_;     ///< while it is written
};

/// The result of a call on the CPU.
FullName write_full(Trace& trace, const CallRecord& call) noexcept;

}  // namespace orch
