// The one trace of this process: read from the environment at the first intercepted call, started
// at the first record. A process that computes nothing (every /bin/sh between launcher and engine)
// opens no file and starts no thread.
#pragma once
#include "core/trace.hpp"
#include "core/weights.hpp"
#include "preload/hook.hpp"

namespace orch::session {

/// The environment asks for a trace.
bool enabled() noexcept;
bool probe_active(ProbeId probe) noexcept;
const Config& config() noexcept;

/// The running trace, started if need be; in a forked child, a new one. Null if it cannot be had.
Trace* trace() noexcept;
/// The same, but never starts one.
Trace* running_trace() noexcept;

WeightTable& weights() noexcept;

/// Writes a blind_spot record; each `what` once.
void blind_spot(std::string_view what, std::string_view why) noexcept;

/// Number of the current forward pass on this thread; -1 where nothing tells passes apart.
std::int64_t current_pass() noexcept;
std::int64_t begin_pass() noexcept;
void end_pass() noexcept;

/// At the end of the process: last lines, final ledger, and what the user must be told.
void finish() noexcept;

}  // namespace orch::session
