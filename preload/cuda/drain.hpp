// The thread that turns what the device wrote into records. It reads host memory and makes no CUDA
// call: whatever state the engine's contexts are in, it cannot disturb them, nor hang in the
// driver.
#pragma once
#include <cstdint>

namespace orch {
class Trace;
}

namespace orch::cuda {

struct CallInfo;

/// Starts it, once per trace. False: no thread to be had.
bool start_drain(Trace& trace) noexcept;

/// So many more records are to be expected.
void launched(std::uint64_t records = 1) noexcept;

/// They are not, after all.
void not_launched(std::uint64_t records) noexcept;
/// There is none under way.
bool all_arrived() noexcept;

// For the drain thread itself.

/// What the number stands for that came back. False: nothing any more.
bool find_call(std::uint32_t number, CallInfo& info) noexcept;

struct RunOfCall {
    std::uint64_t call;
    std::int64_t pass;
};
/// The numbers of a call that ran; in a graph, of its run that the device counts as `run`.
RunOfCall run_of(Trace& trace, const CallInfo& info, std::uint64_t run) noexcept;

/// Waits for what the device still writes, but not for a device that writes nothing.
void finish(Trace& trace) noexcept;

}  // namespace orch::cuda
