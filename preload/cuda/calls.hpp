// What the host knows of a launch that is under way: the device sends back a number and its sums,
// and this says which call they belong to.
#pragma once
#include <atomic>
#include <cstdint>

#include "core/selector.hpp"
#include "preload/cuda/cublas_call.hpp"
#include "preload/cuda/weights.hpp"
#include "preload/hook.hpp"

namespace orch::cuda {

enum class CallKind : std::uint8_t { product, weight, copy };

struct Capture;

struct CallInfo {
    CallKind kind = CallKind::product;
    bool with_probes = false;
    CheckpointGroup group = CheckpointGroup::gemm;
    std::string_view op;  ///< a literal
    CallSite caller;
    cublas::DeviceProduct product;
    WeightEntry* weight = nullptr;
    std::uint32_t life = 0;      ///< of the weight, as WeightEntry counts
    Capture* capture = nullptr;  ///< null: ran once, when it was called
    void* stream = nullptr;
    int device = 0;
    std::int64_t batch_index = -1;
    std::int64_t pass = -1;
    std::uint64_t call = 0;        ///< its number; in a graph, the number within each launch
    std::uint64_t first_run = 0;   ///< in a graph: what the counter of runs had before the first
    std::uint64_t bytes = 0;       ///< of a copy
    bool between_devices = false;  ///< the copy
    int from = -1;                 ///< GPUs of such a copy
    int to = -1;
};

/// What a number stands for. The drain thread may be reading it while a later call is written.
class CallEntry {
  public:
    void set(std::uint32_t number, const CallInfo& info) noexcept;
    void clear() noexcept { number_.store(0, std::memory_order_relaxed); }
    /// False: it stands for another call by now.
    bool get(std::uint32_t number, CallInfo& out) const noexcept;
    void fetch_for_writing() const noexcept;

  private:
    static constexpr std::size_t info_words = sizeof(CallInfo) / sizeof(std::uint64_t);

    std::atomic<std::uint32_t> number_{0};
    /// Words, not a CallInfo: all zeros, so that a table costs nothing until it is used; and read
    /// and written atomically, because who overwrites them does not wait for who reads them.
    std::uint64_t info_[info_words] = {};
};

/// Calls that run once, when they are called. Their numbers go round.
class CallTable {
  public:
    /// The number that the device is to send back.
    std::uint32_t add(const CallInfo& info) noexcept;
    /// False: it was overwritten, the device is too far behind.
    bool find(std::uint32_t number, CallInfo& out) const noexcept;

  private:
    static constexpr std::uint32_t count = 1U << 14;

    CallEntry entries_[count];
    std::atomic<std::uint32_t> used_{0};
};

}  // namespace orch::cuda
