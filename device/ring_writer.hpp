// The device's end of the ring: a ticket, a slot, or a count of what found none. It never waits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "device/decoders.hpp"
#include "device/partial.hpp"

namespace orch::device {

/// Blocks of several launches may get here at once, in any order: the largest count is left.
ORCH_DEVICE void count_dropped(RingState* state, RingHeader* header) {
    target::fetch_add(&state->dropped, 1U);
    std::uint32_t told = 0;
    do {
        told = target::load_fresh(&state->dropped);
        target::store_now(&header->dropped, told);
        target::fence_system();
    } while (target::load_fresh(&state->dropped) != told);
}

ORCH_DEVICE std::uint32_t ring_slots(RingState* state, const RingHeader* header) {
    std::uint32_t slots = target::load_fresh(&state->slots);
    if (slots == 0) {
        slots = target::load_fresh(&header->slots);
        target::store_now(&state->slot_bytes, target::load_fresh(&header->slot_bytes));
        target::fence();
        target::store_now(&state->slots, slots);
    }
    return slots;
}

/// By one thread: so many tickets in a row, at most `slots`. `seen_tail` may be old, which is safe:
/// a slot that is free looks taken, and then the host's memory is asked.
ORCH_DEVICE bool take_ticket(RingState* state, RingHeader* header, std::uint32_t slots,
                             std::uint32_t& ticket, std::uint32_t count = 1) {
    const auto has_room = [&](std::uint32_t head, std::uint32_t tail) {
        return static_cast<std::int32_t>(head - tail) <= static_cast<std::int32_t>(slots - count);
    };
    std::uint32_t tail = target::load_fresh(&state->seen_tail);
    ticket = target::load_fresh(&state->head);
    do {
        if (!has_room(ticket, tail)) {
            tail = target::load_fresh(&header->tail);
            if (!has_room(ticket, tail)) return false;
            target::store_now(&state->seen_tail, tail);
        }
    } while (!target::compare_exchange(&state->head, ticket, ticket + count));
    return true;
}

ORCH_DEVICE void take_slot(const Job& job, Shared& shared) {
    shared.slot = 0;
    shared.run = 0;
    if (job.runs != 0)
        shared.run = target::fetch_add(reinterpret_cast<std::uint64_t*>(job.runs), 1);
    if (job.ring == 0) return;
    auto* header = reinterpret_cast<RingHeader*>(job.ring);
    auto* state = reinterpret_cast<RingState*>(job.state);
    const std::uint32_t slots = ring_slots(state, header);
    if (!take_ticket(state, header, slots, shared.ticket)) {
        count_dropped(state, header);
        return;
    }
    const std::uint64_t bytes = target::load_fresh(&state->slot_bytes);
    shared.slot = job.ring + sizeof(RingHeader) + (shared.ticket & (slots - 1)) * bytes;
}

/// By all threads; `sequence` is left for later.
ORCH_DEVICE void write_payload(const Job& job, const Shared& shared, int thread, Slot* slot) {
    for (int side = 0; side < 2; ++side) {
        const SideResult& result = shared.result[side];
        const std::size_t bytes = offsetof(SideResult, row) +
                                  static_cast<std::size_t>(result.selected) * sizeof(RowResult);
        const auto* from = reinterpret_cast<const std::uint64_t*>(&result);
        auto* to = reinterpret_cast<std::uint64_t*>(&slot->side[side]);
        static_assert(offsetof(SideResult, row) % 8 == 0 && sizeof(RowResult) % 8 == 0);
        for (std::size_t i = static_cast<std::size_t>(thread); i < bytes / 8; i += block_threads)
            to[i] = from[i];
    }
    const Operand& o = job.side[0];
    const auto room = static_cast<std::int64_t>(
        (target::load_fresh(&reinterpret_cast<RingState*>(job.state)->slot_bytes) - sizeof(Slot)) /
        sizeof(float));
    std::int64_t values = job.values < room ? job.values : room;
    if (values > o.cols) values = o.cols;
    if (shared.result[0].selected == 0 || values < 0) values = 0;
    auto* first = reinterpret_cast<float*>(slot + 1);
    if (thread < values) {
        const std::uint64_t base = base_of(o);
        const std::int64_t size = size_of(o.type);
        for (std::int64_t c = thread; c < values; c += block_threads) {
            const std::int64_t at = (o.rows - 1) * o.row_stride + c * o.col_stride;
            first[c] = element_value(o.type, reinterpret_cast<const char*>(
                                                 base + static_cast<std::uint64_t>(at * size)));
        }
    }
    if (thread != 0) return;
    slot->op = job.op;
    slot->run = shared.run;
    slot->sample = shared.sample;
    slot->values = static_cast<std::int32_t>(values);
}

}  // namespace orch::device
