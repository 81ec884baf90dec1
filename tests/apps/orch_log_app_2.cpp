// The second translation unit of orch_log_app: it shares one logger with the first.
#ifndef ORCH_LOGGING
#define ORCH_LOGGING
#endif
#include "orch_log.hpp"

void log_from_second_unit(int token) {
    const float values[] = {2, 4};
    ORCH_LOG_JSON_TOKEN("second_unit", values, 2, "f32", "[2]", token);
}

#ifdef ORCH_APP_IS_LIBRARY
// Stands for an injected liborchtrace.so: strong definitions, seen through the weak declarations.
extern "C" {
int orch_trace_enabled(void) {
    return std::getenv("FAKE_OFF") == nullptr;
}
void orch_trace_log(const char* checkpoint, const void* data, size_t count, const char* dtype,
                    const char* shape, int64_t token_idx) {
    float first = 0;
    if (count > 0) std::memcpy(&first, data, sizeof first);
    std::printf("%s %g %zu %s %s %lld\n", checkpoint, static_cast<double>(first), count, dtype,
                shape, static_cast<long long>(token_idx));
    errno = EIO;
}
void orch_trace_flush(void) {
    std::puts("flush");
}
}
#endif
