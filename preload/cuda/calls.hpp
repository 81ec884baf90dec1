// What the host knows of a launch that is under way: the device sends back a number and its sums,
// and this says which call they belong to.
#pragma once
#include <atomic>
#include <cstdint>

#include "preload/cuda/cublas_call.hpp"
#include "preload/cuda/weights.hpp"
#include "preload/hook.hpp"

namespace orch::cuda {

enum class CallKind : std::uint8_t { product, weight, copy };

/// A capture of a stream, and the graphs made of it.
struct Capture;

struct CallInfo {
    CallKind kind = CallKind::product;
    bool with_probes = false;
    std::string_view op;  ///< a literal
    CallerName caller;
    cublas::DeviceProduct product;
    WeightEntry* weight = nullptr;
    Capture* capture = nullptr;  ///< null: ran once, when it was called
    void* stream = nullptr;
    int device = 0;
    std::int64_t batch_index = -1;
    std::int64_t pass = -1;
    std::uint64_t call = 0;   ///< its number; in a graph, the number within each launch
    std::uint64_t bytes = 0;  ///< of a copy
};

/// Numbers of eager calls go round; those in graphs stay, because graphs replay as long as they
/// live.
class CallTable {
  public:
    /// The number that the device is to send back; 0: the table of graph nodes is full.
    std::uint32_t add(const CallInfo& info) noexcept;
    /// False: it was overwritten, the device is too far behind.
    bool find(std::uint32_t number, CallInfo& out) noexcept;

  private:
    static constexpr std::uint32_t captured_bit = 1U << 31;
    static constexpr std::uint32_t eager_count = 1U << 14;
    static constexpr std::uint32_t captured_count = 1U << 15;

    struct Entry {
        std::atomic<std::uint32_t> number{0};
        /// Bytes, not a CallInfo: all zeros, so that the table costs nothing until it is used.
        alignas(CallInfo) unsigned char info[sizeof(CallInfo)] = {};
    };

    Entry eager_[eager_count];
    Entry captured_[captured_count];
    std::atomic<std::uint32_t> eager_used_{0};
    std::atomic<std::uint32_t> captured_used_{0};
};

}  // namespace orch::cuda
