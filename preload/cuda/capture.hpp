// From a call of the engine to a digest on the engine's own stream: after the real call, one launch
// that reads what it wrote. In a capture the launch becomes a node of the graph, and replays.
#pragma once
#include <cstdint>
#include <string_view>

#include "preload/cuda/calls.hpp"
#include "preload/cuda/context.hpp"
#include "preload/hook.hpp"

namespace orch::cuda {

/// `stream` as the engine named it; batch_index -1: not of a batch.
void record_product(const Hook& hook, std::string_view op, Stream stream,
                    const cublas::DeviceProduct& product, std::int64_t batch_index) noexcept;

/// A copy of `bytes` from device memory at `source`, digested there as f32.
void record_copy(const Hook& hook, std::string_view op, Stream stream, std::uint64_t source,
                 std::uint64_t bytes) noexcept;

/// A product that was seen and cannot be digested.
void count_undigested() noexcept;

/// What was captured from a stream; lives as long as the process.
struct Capture {
    std::atomic<std::uint64_t> id{0};        ///< the driver's, of the capture; 0: free
    std::atomic<std::uint32_t> products{0};  ///< digests of products in it
    std::atomic<std::uint32_t> copies{0};    ///< and of copies
    std::atomic<void*> graph{nullptr};       ///< what the capture became
    std::atomic<std::uint64_t> launches{0};
    /// What the n-th launch was given; the last of them are kept, by n.
    struct Launch {
        std::atomic<std::uint64_t> run{0};  ///< n + 1
        std::atomic<std::int64_t> pass{0};
        std::atomic<std::uint64_t> first_call{0};
    };
    static constexpr std::uint64_t kept = 64;
    Launch launch[kept];
    std::uint32_t number = 0;  ///< as records show it
};

/// The capture that the stream is in; null: in none. `captured` is true even if there is no room.
Capture* current_capture(const Driver& driver, Stream stream, bool& captured) noexcept;

void capture_ended(std::uint64_t id, void* graph) noexcept;
void graph_instantiated(void* exec, void* graph) noexcept;
void graph_launched(void* exec) noexcept;
void graph_exec_gone(void* exec) noexcept;

CallTable& calls() noexcept;

}  // namespace orch::cuda
