// A thread of ours in an engine's process.
#pragma once

namespace orch {

/// Starts it detached, on a small stack, with all signals blocked: a SIGPIPE or SIGXFSZ of ours, or
/// a signal that the engine waits for, must not arrive here. False: no thread to be had.
bool start_quiet_thread(void* (*main)(void*), void* argument) noexcept;

}  // namespace orch
