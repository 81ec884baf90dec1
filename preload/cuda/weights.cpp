#include "preload/cuda/weights.hpp"

#include "core/hash.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

std::uint64_t combine(std::uint64_t h, std::uint64_t value) noexcept {
    return mix64(h ^ (value + 0x9e3779b97f4a7c15ULL));
}

std::uint64_t key_of(const device::Operand& o, int device) noexcept {
    std::uint64_t h = combine(static_cast<std::uint64_t>(device), o.data);
    for (const std::int64_t part : {o.rows, o.cols, o.row_stride, o.col_stride})
        h = combine(h, static_cast<std::uint64_t>(part));
    h = combine(h, static_cast<std::uint64_t>(o.type));
    return h == 0 ? 1 : h;
}

}  // namespace

WeightEntry* DeviceWeights::find(const device::Operand& operand, int device) noexcept {
    // Behind a list of pointers stands another operand each time the list is filled again.
    if (operand.indirect || operand.data == 0) return nullptr;
    const std::uint64_t key = key_of(operand, device);
    for (std::size_t probe = 0; probe < 64; ++probe) {
        WeightEntry& entry = entries_[(key + probe) % size];
        std::uint64_t seen = entry.key.load(std::memory_order_acquire);
        if (seen == key) return &entry;
        if (seen == 0 && (entry.key.compare_exchange_strong(seen, key) || seen == key))
            return &entry;
    }
    return nullptr;
}

std::uint32_t DeviceWeights::number_of(WeightEntry& entry, std::uint64_t sample,
                                       bool& changed) noexcept {
    changed = false;
    if (entry.number != 0 && entry.sample == sample) return entry.number;
    if (entry.number != 0) {
        changed = true;
        entry.changes.fetch_add(1, std::memory_order_relaxed);
        entry.probes_ready.store(false, std::memory_order_relaxed);
        entry.probes_stream.store(nullptr, std::memory_order_relaxed);
        // Digested again, unless it keeps changing.
        if (!entry.is_activation()) entry.asked.store(false, std::memory_order_relaxed);
    }
    entry.sample = sample;
    entry.number = session::weights().take_number();
    return entry.number;
}

}  // namespace orch::cuda
