// What we own on a CUDA context: the digest kernel, the ring that it writes to, and memory for its
// partial results. Made at the first product of the context, before anything is captured where
// possible; never freed, because graphs of the engine may hold the addresses as long as they live.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "device/launch_plan.hpp"
#include "device/protocol.hpp"
#include "device/ring_reader.hpp"
#include "preload/cuda/driver.hpp"
#include "preload/cuda/dump.hpp"

namespace orch {
class Trace;
struct Config;
}  // namespace orch

namespace orch::cuda {

struct Capture;

/// A slot of the ring has room for so many values, whatever ORCH_LOG_VALUES asks for.
inline constexpr std::int64_t most_device_values = 1024;

/// Zeroed device memory, handed out and never given back.
class DeviceMemory {
  public:
    /// 0 without memory, or beyond the limit.
    std::uint64_t take(const Driver& driver, Stream own_stream, std::size_t size) noexcept;

  private:
    static constexpr std::size_t chunk_size = 4U << 20;
    static constexpr std::size_t limit = 512U << 20;

    std::atomic<bool> busy_{false};
    std::uint64_t next_ = 0;
    std::size_t left_ = 0;
    std::size_t used_ = 0;
};

class DeviceContext {
  public:
    /// Digests as `job` says, on `stream`. False: the driver refused.
    bool launch(const Driver& driver, device::Job& job, Stream stream,
                const Capture* capture) noexcept;

    std::uint64_t take_memory(const Driver& driver, std::size_t size) noexcept {
        return memory_.take(driver, own_stream_, size);
    }
    /// A counter of runs for a node of a graph; 0: there is no memory.
    std::uint64_t take_counter(const Driver& driver) noexcept { return take_memory(driver, 8); }

    Stream own_stream() const noexcept { return own_stream_; }
    int device() const noexcept { return device_; }
    /// The drain thread's end of the ring, once has_ring() says that there is one.
    device::RingReader& ring() noexcept { return *ring_; }
    /// Records that found no slot, since it was asked last. The drain thread asks.
    std::uint32_t newly_dropped() noexcept {
        const std::uint32_t before = dropped_;
        dropped_ = ring_->dropped();
        return dropped_ - before;
    }
    DumpRing& dumps() noexcept { return dumps_; }
    /// It was ready once: what the device wrote there is still to be read.
    bool has_ring() const noexcept { return had_ring_.load(std::memory_order_acquire); }
    bool is_ready() const noexcept { return state_.load(std::memory_order_acquire) == ready; }

  private:
    friend class Contexts;
    enum State : int { unused, ready, unusable };
    static constexpr std::size_t most_scratches = 2048;  ///< of 1,024 captures, and to spare

    bool set_up(const Driver& driver, const Config& config) noexcept;
    std::uint64_t scratch_for(const Driver& driver, Stream stream, const Capture* capture) noexcept;

    /// Launches of one stream do not overlap, nor do replays of what one capture recorded there.
    struct Scratch {
        std::atomic<std::uint64_t> key{0};
        std::atomic<std::uint64_t> address{0};
    };

    std::atomic<int> state_{unused};
    std::atomic<bool> had_ring_{false};
    std::atomic<Context> handle_{nullptr};
    int device_ = 0;
    int multiprocessors_ = 0;
    void* function_ = nullptr;
    Stream own_stream_ = nullptr;
    std::optional<device::RingReader> ring_;
    std::uint64_t ring_address_ = 0;
    std::uint64_t state_address_ = 0;
    std::uint32_t dropped_ = 0;
    DumpRing dumps_;
    DeviceMemory memory_;
    Scratch scratch_[most_scratches];
};

class Contexts {
  public:
    static constexpr std::size_t max = 64;

    /// What is ours on a context, which is current on this thread; null where it cannot be had.
    DeviceContext* of(Context handle, const Driver& driver, Trace& trace) noexcept;
    /// All that were ever ready, for the drain thread.
    DeviceContext* at(std::size_t i) noexcept { return i < max ? &contexts_[i] : nullptr; }
    /// The engine destroys it, or the driver has lost it: nothing more is launched there.
    void forget(Context handle) noexcept;
    void forget_device(int device) noexcept;

  private:
    void set_up(DeviceContext& context, const Driver& driver, Trace& trace) noexcept;

    DeviceContext contexts_[max];
};

Contexts& contexts() noexcept;

}  // namespace orch::cuda
