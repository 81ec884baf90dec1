// The engine's own word: the C ABI of include/orchtrace.h.
#define ORCHTRACE_IMPLEMENTATION
#include "include/orchtrace.h"

#include "core/records.hpp"
#include "preload/floating_point.hpp"
#include "preload/hook.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

extern "C" {

int orch_trace_enabled() {
    return orch::session::enabled() ? 1 : 0;
}

void orch_trace_log(const char* checkpoint, const void* data, std::size_t count, const char* dtype,
                    const char* shape, std::int64_t token_idx) {
    using namespace orch;
    if (!session::enabled() || checkpoint == nullptr || data == nullptr) return;
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    const Guard guard;
    const KeepFloatingPoint keep;
    bump(trace->ledger()[RecordClass::log].seen);
    LogRecord record;
    record.dtype = dtype != nullptr ? dtype : "f32";
    // A negative number of values, converted: the record stays, without values.
    record.count = count > SIZE_MAX / 2 ? 0 : static_cast<std::int64_t>(count);
    if (!parse_dtype(record.dtype, record.type)) {
        session::blind_spot("orch_trace_log", "a dtype that is none of f32, f64, f16, bf16");
        record.count = 0;  // the record stays, its values cannot be read
    }
    record.checkpoint = checkpoint;
    record.shape = shape != nullptr ? shape : "[]";
    record.token_idx = token_idx;
    record.data = data;
    write_log(*trace, record);
}

void orch_trace_flush() {
    if (orch::Trace* trace = orch::session::running_trace(); trace != nullptr) trace->flush();
}
}
