// The thread that turns what the device wrote into records. It reads host memory and makes no CUDA
// call: whatever state the engine's contexts are in, it cannot disturb them, nor hang in the
// driver.
#pragma once
#include <cstdint>

namespace orch {
class Trace;
}

namespace orch::cuda {

/// Starts it, once per trace. False: no thread to be had.
bool start_drain(Trace& trace) noexcept;

/// So many more records are to be expected.
void launched(std::uint64_t records = 1) noexcept;

/// Waits for what the device still writes, but not for a device that writes nothing.
void finish(Trace& trace) noexcept;

}  // namespace orch::cuda
