// Whole results of a GPU (ORCH_TRACE_FULL): a launch in front of the digest's copies the result
// into a ring of its own, and the drain thread makes a file of it before it comes to the record.
// What finds no room in the ring is dropped whole, and counted.
#pragma once
#include <cstdint>
#include <optional>

#include "core/full_dump.hpp"
#include "device/dump_reader.hpp"
#include "preload/cuda/calls.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/cuda/driver.hpp"

namespace orch::cuda {

class DeviceContext;

/// Of one context; made when the context is, because what is captured later may need it.
class DumpRing {
  public:
    /// `state` is zeroed device memory for RingState. Where it fails nothing is dumped, which is
    /// said once.
    void set_up(const Driver& driver, void* module, std::uint64_t bytes,
                std::uint64_t state) noexcept;
    bool launch(const Driver& driver, device::DumpJob& job, Stream stream) const noexcept;

    /// The drain thread's end; null: there is no ring.
    device::DumpReader* reader() noexcept { return reader_ ? &*reader_ : nullptr; }
    /// Results that found no room, since it was asked last. The drain thread asks.
    std::uint32_t newly_dropped() noexcept;

  private:
    void* function_ = nullptr;
    std::uint64_t ring_ = 0;
    std::uint64_t state_ = 0;
    std::optional<device::DumpReader> reader_;
    std::uint32_t dropped_ = 0;
};

/// Right before the launch of the call's digest, whose job is complete.
void dump_result(DeviceContext& context, const Driver& driver, const CallInfo& info,
                 const device::Job& digest, Stream stream) noexcept;

// For the drain thread.

/// A file that was made of a call's result, and the numbers that it says the call has.
struct Dumped {
    RunOfCall run;
    FullName file;
};

/// Makes files of what has arrived. True if there was anything.
bool drain_dumps(Trace& trace, DeviceContext& context) noexcept;

/// What the record of that run of the call names. Its result has come before its digest.
std::optional<Dumped> take_dump(Trace& trace, DeviceContext& context, const CallInfo& info,
                                std::uint32_t op, std::uint64_t run) noexcept;

}  // namespace orch::cuda
