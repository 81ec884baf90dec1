// What a probe knows about the call it observes.
#pragma once
#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "core/fixed_string.hpp"

#define ORCH_HIDDEN __attribute__((visibility("hidden")))
#define ORCH_EXPORT __attribute__((visibility("default")))

namespace orch {

/// Each probe can be off as a whole; its functions then cost six instructions a call.
enum class ProbeId : std::uint8_t { blas, onednn, ggml, llama, cublas, cuda, count };

/// A calling module, and what it reaches under one name. Never freed.
struct Target;

/// The place in the engine that called.
struct CallSite {
    const void* address = nullptr;   ///< return address
    const Target* module = nullptr;  ///< null: not known
};

struct Hook {
    void* real;     ///< what the caller would have reached without us
    bool observed;  ///< false: call `real` and do nothing else
    bool internal;  ///< the caller is the library that holds `real`
    CallSite caller;
};

/// "libtorch_cpu.so+0x12ab"; empty: code of no module.
using CallerName = FixedString<127>;
CallerName caller_name(const CallSite& caller) noexcept;

/// llama_batch of llama.h, passed by value. llama_probe.cpp checks this layout against what the
/// library's own llama_batch_get_one returns before it believes it.
struct LlamaBatch {
    std::int32_t n_tokens;
    std::int32_t* token;
    float* embd;
    std::int32_t* pos;
    std::int32_t* n_seq_id;
    std::int32_t** seq_id;
    std::int8_t* logits;
    /// Older versions have more members; they lie behind these on the stack and must travel on.
    char rest[72];
};

}  // namespace orch
