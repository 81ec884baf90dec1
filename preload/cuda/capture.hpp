// From a call of the engine to a digest on the engine's own stream: after the real call, one launch
// that reads what it wrote. In a capture the launch becomes a node of the graph, and replays.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/ledger.hpp"
#include "preload/cuda/calls.hpp"
#include "preload/cuda/context.hpp"
#include "preload/cuda/pointers.hpp"
#include "preload/hook.hpp"

namespace orch::cuda {

/// `stream` as the engine named it; batch_index -1: not of a batch.
void record_product(const Hook& hook, std::string_view op, Stream stream,
                    const cublas::DeviceProduct& product, std::int64_t batch_index) noexcept;

/// What left a GPU, as f32. An end of it that cannot be read has no data.
struct SeenCopy {
    device::Operand source;
    device::Operand target;  ///< only between devices
    int from = the_only_device;
    int to = the_only_device;
    bool between_devices = false;
    bool wanted = false;
    std::uint64_t bytes = 0;
};

/// True, and counted, if the selection has no copies of this function.
bool is_unselected_copy(std::string_view op) noexcept;

void record_copy(const Hook& hook, std::string_view op, Stream stream,
                 const SeenCopy& copy) noexcept;

/// A product, or a copy, that was seen and cannot be digested.
void count_undigested(RecordClass record_class = RecordClass::gemm) noexcept;

CallTable& calls() noexcept;
DeviceWeights& device_weights() noexcept;

}  // namespace orch::cuda
