// The kinds of record, as data, and their one way to JSON. docs/FORMAT.md documents what this file
// writes; format_version changes with it.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "core/digest.hpp"
#include "core/format_version.hpp"
#include "core/json_line.hpp"
#include "core/ledger.hpp"
#include "core/matrix.hpp"
#include "core/selector.hpp"

namespace orch {

class Trace;
class TraceFile;
struct Proof;

/// One operand or result of a call, with what is to be said of it.
struct Side {
    MatrixView matrix;
    const Digest* digest = nullptr;
    std::string_view dtype;  ///< for block types, the engine's own name of it
};

/// Where a call ran. `result.matrix` then holds the values of the last row alone.
struct DevicePlace {
    int device = 0;
    std::uint64_t stream = 0;
    std::int64_t graph = -1;     ///< number of the captured graph; -1: not in one
    std::uint64_t replay = 0;    ///< how often the graph had run before
    std::uint64_t bytes = 0;     ///< of a copy; 0: this is none
    std::string_view direction;  ///< of a copy: to the "host", or to a "peer"
    int from = -1;               ///< GPUs of a copy from one to another; -1: this is none
    int to = -1;
};

/// A product, or a named tensor. `checkpoint` and the rest point into the caller's memory.
struct CallRecord {
    RecordClass record_class = RecordClass::gemm;
    std::string_view kind;  ///< "gemm" or "checkpoint"
    std::string_view checkpoint;
    std::string_view engine_name;  ///< what the engine calls it; empty: nothing
    std::string_view op;           ///< the function or operation that computed it
    std::string_view caller;       ///< "module+0xoffset"; empty: unknown
    std::string_view weight;       ///< name or id of the weight; empty: none
    std::string_view capture;      ///< "callback" where the fallback was used
    CheckpointGroup group = CheckpointGroup::gemm;
    std::uint64_t call = 0;
    std::int64_t pass = -1;
    bool positions_known = false;  ///< false: rows are counted from 0 in each call
    Positions positions;
    Side result;
    const Side* input = nullptr;
    std::int64_t batch_index = -1;
    double alpha = 1;
    double beta = 0;
    bool scalars_known = true;    ///< false: alpha and beta were in device memory
    std::string_view arithmetic;  ///< what the product may be computed in; empty: as types imply
    const Proof* proof = nullptr;
    const DevicePlace* device = nullptr;  ///< where on a GPU it ran; null: on the CPU
    std::string_view full;                ///< file of the whole result, of a GPU; empty: none
    std::span<const std::int64_t> shape;  ///< outermost first; empty: [rows, cols] of the result
};

/// Writes the call's line, then a "row" line for each selected row but the last (the call's own
/// line carries that one).
void write_call(Trace& trace, const CallRecord& record) noexcept;

struct WeightRecord {
    std::string_view name;  ///< the engine's own; empty: it has none
    std::string_view id;    ///< what calls refer to
    Side weight;            ///< digest of rows with all signs +
};
void write_weight(Trace& trace, const WeightRecord& record) noexcept;

struct PassRecord {
    std::int64_t pass = 0;
    std::string_view op;
    std::string_view kv_dtype;  ///< of the cache of keys and values; empty: unknown
    std::int64_t n_tokens = 0;  ///< of the pass; the lists may show fewer
    std::int64_t last_position = 0;
    std::span<const std::int32_t> tokens;
    std::span<const std::int32_t> positions;
    std::span<const std::int32_t> sequences;  ///< empty: all are sequence 0
};
void write_pass(Trace& trace, const PassRecord& record) noexcept;

/// Values that the engine itself logs through the C ABI.
struct LogRecord {
    std::string_view checkpoint;
    std::string_view dtype;
    std::string_view shape;
    std::int64_t token_idx = 0;
    DType type = DType::f32;
    const void* data = nullptr;
    std::int64_t count = 0;
};
void write_log(Trace& trace, const LogRecord& record) noexcept;

/// A size that the engine set, and that may decide the order of additions.
void write_setting(Trace& trace, std::string_view op, std::uint64_t bytes) noexcept;

/// Something that orchtrace cannot see here, and what to do about it.
void write_blind_spot(Trace& trace, std::string_view what, std::string_view why) noexcept;

/// The seven keys of a record that has no values of its own.
void write_bare_envelope(JsonLine& line, std::string_view checkpoint,
                         std::string_view kind) noexcept;

void write_ledger_members(JsonLine& line, Ledger& ledger, const TraceFile& file,
                          bool final) noexcept;

}  // namespace orch
