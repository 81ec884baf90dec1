/*
 * orchtrace.h - an engine's own word in an orchtrace trace, from C (C99) and C++.
 *
 * When liborchtrace.so is not injected, nothing happens: there is nothing to link, no file is
 * opened, no output is printed, and every caller below is one load and one branch that is
 * predicted not taken. When it is (LD_PRELOAD=liborchtrace.so ORCH_LOG_FILE=trace.jsonl engine),
 * orch_log() adds one checkpoint record to the trace that the library writes anyway.
 *
 *     float* logits = ...;                       // on the host, after the device-to-host copy
 *     orch_log("logits", logits, n_vocab, "f32", "[1,32000]", position);
 *
 * checkpoint  what is logged: "embedding", "layer_0_output", "logits", ... UTF-8
 * data        HOST memory, never a device pointer. It is read before the call returns and not kept,
 *             so it may be freed or overwritten right after. Any alignment.
 * count       the total number of values behind data. Only the first ORCH_LOG_VALUES (10) are
 *             printed; all of them may be read, for a digest.
 * dtype       "f32", "f16", "bf16" or "f64"
 * shape       free text, kept as it is, such as "[1,32000]"
 * token_idx   position of the token that the values belong to, from 0
 *
 * Thread safety: all functions may be called by any thread at any time, also after fork() and while
 * the process exits; records of one thread stay in order. Not async-signal-safe: don't call them
 * from a signal handler. Records are flushed at exit by themselves; orch_log_flush() is for the
 * line before one that may crash.
 */
#ifndef ORCHTRACE_H
#define ORCHTRACE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && defined(__ELF__)
#define ORCHTRACE_ELF_ 1
#else
#define ORCHTRACE_ELF_ 0 /* LD_PRELOAD is an ELF affair; elsewhere the callers do nothing */
#endif

/* Whoever defines the functions sets ORCHTRACE_IMPLEMENTATION, so that they are not weak there. */
#if !ORCHTRACE_ELF_
#define ORCHTRACE_API_
#elif defined(ORCHTRACE_IMPLEMENTATION)
#define ORCHTRACE_API_ __attribute__((visibility("default")))
#else
#define ORCHTRACE_API_ __attribute__((weak, visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Not 0 when records are being written. */
ORCHTRACE_API_ int orch_trace_enabled(void);
ORCHTRACE_API_ void orch_trace_log(const char* checkpoint, const void* data, size_t count,
                                   const char* dtype, const char* shape, int64_t token_idx);
ORCHTRACE_API_ void orch_trace_flush(void);

/*
 * The address of a weak function: null when nobody defines it. Code for a fixed address (-no-pie)
 * would carry a constant 0 that the linker wrote, and miss the injected library in silence; the GOT
 * entry, asked for by name, is filled in by the loader in every kind of program.
 */
#if !ORCHTRACE_ELF_
#define ORCHTRACE_ADDRESS_(pointer, function) ((pointer) = 0)
#elif defined(__x86_64__) && defined(__LP64__) && !defined(__PIC__) && \
    !defined(ORCHTRACE_IMPLEMENTATION)
#define ORCHTRACE_ADDRESS_(pointer, function) \
    __asm__(".weak " #function "\n\tmovq " #function "@GOTPCREL(%%rip), %0" : "=r"(pointer))
#else
#define ORCHTRACE_ADDRESS_(pointer, function) ((pointer) = (function))
#endif

#if ORCHTRACE_ELF_
#define ORCHTRACE_UNLIKELY_(condition) __builtin_expect((condition) ? 1 : 0, 0)
#else
#define ORCHTRACE_UNLIKELY_(condition) (condition)
#endif

/* Adds one record; see the top of this file for the arguments. */
static inline void orch_log(const char* checkpoint, const void* data, size_t count,
                            const char* dtype, const char* shape, int64_t token_idx) {
    void (*log)(const char*, const void*, size_t, const char*, const char*, int64_t);
    ORCHTRACE_ADDRESS_(log, orch_trace_log);
    if (ORCHTRACE_UNLIKELY_(log != 0)) log(checkpoint, data, count, dtype, shape, token_idx);
}

/* 1 when a record would be written: ask before work that only serves a record. */
static inline int orch_log_enabled(void) {
    void (*log)(const char*, const void*, size_t, const char*, const char*, int64_t);
    int (*enabled)(void);
    ORCHTRACE_ADDRESS_(log, orch_trace_log);
    if (ORCHTRACE_UNLIKELY_(log != 0)) {
        ORCHTRACE_ADDRESS_(enabled, orch_trace_enabled);
        return enabled == 0 || enabled() != 0;
    }
    return 0;
}

/* Writes out what is buffered: the trace then survives a crash of this process. */
static inline void orch_log_flush(void) {
    void (*flush)(void);
    ORCHTRACE_ADDRESS_(flush, orch_trace_flush);
    if (ORCHTRACE_UNLIKELY_(flush != 0)) flush();
}

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ORCHTRACE_H */
