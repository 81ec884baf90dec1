#include "preload/cuda/weights.hpp"

#include "core/hash.hpp"
#include "core/slot_table.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

std::uint64_t key_of(const device::Operand& o, int device) noexcept {
    std::uint64_t h = combine64(static_cast<std::uint64_t>(device), o.data);
    for (const std::int64_t part : {o.rows, o.cols, o.row_stride, o.col_stride})
        h = combine64(h, static_cast<std::uint64_t>(part));
    h = combine64(h, static_cast<std::uint64_t>(o.type));
    return h == 0 ? 1 : h;
}

}  // namespace

WeightEntry* DeviceWeights::find(const device::Operand& operand, int device) noexcept {
    // Behind a list of pointers stands another operand each time the list is filled again.
    if (operand.indirect || operand.data == 0) return nullptr;
    return claim_slot(entries_, key_of(operand, device));
}

std::uint32_t WeightEntry::number_of(std::uint64_t content) noexcept {
    if (number != 0 && sample == content) return number;
    if (number != 0) {
        changes.fetch_add(1, std::memory_order_relaxed);
        probes_ready.store(false, std::memory_order_relaxed);
        probes_stream.store(nullptr, std::memory_order_relaxed);
        // Digested again, unless it keeps changing.
        if (!is_activation()) asked.store(false, std::memory_order_relaxed);
    }
    sample = content;
    number = session::weights().take_number();
    return number;
}

}  // namespace orch::cuda
