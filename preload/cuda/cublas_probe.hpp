// What the generated probes of cuBLAS hand their calls to.
#pragma once
#include <string_view>

#include "preload/cuda/cublas_call.hpp"
#include "preload/hook.hpp"
#include "preload/resolver.hpp"

namespace orch::cublas {

/// Runs the real call; what it calls itself (cuBLASLt, under cuBLAS) is part of it, and no record.
template <class Real, class... Arguments>
int call_real(Real real, Arguments... arguments) noexcept {
    const Guard guard;
    return real(arguments...);
}

/// By NVIDIA_TF32_OVERRIDE=0, which overrides whatever a program asks for.
bool is_tf32_forbidden() noexcept;
/// The engine gave a handle a workspace of its own.
void note_workspace(std::uint64_t bytes) noexcept;

/// True if ORCH_TRACE_CHECKPOINTS leaves these products out: then they are counted, and done with.
bool count_unselected(std::string_view op, std::int64_t products) noexcept;

/// Digests what the call is about to have computed, on its stream.
void record(const Hook& hook, std::string_view op, const Call& call) noexcept;
void record(const Hook& hook, std::string_view op, const GroupedCall<int>& call) noexcept;
void record(const Hook& hook, std::string_view op, const GroupedCall<std::int64_t>& call) noexcept;

}  // namespace orch::cublas
