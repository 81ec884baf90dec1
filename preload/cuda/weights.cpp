#include "preload/cuda/weights.hpp"

#include <algorithm>

#include "core/hash.hpp"
#include "core/slot_table.hpp"
#include "preload/cuda/pointers.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

// What lists of activations may cost. A content is digested once two calls showed it; of each shape
// so many, and more for each that stayed; of all shapes so many.
constexpr std::uint32_t asked_of_a_shape = 64;
constexpr std::uint32_t asked_for_a_proven_one = 8;
constexpr std::uint32_t most_listed_weights = 4096;
/// Calls that show a weight, and hardly ever an activation, whose sample may outlive some steps.
constexpr std::uint32_t calls_of_a_proven_one = 16;
/// So many contents in a row that nobody knew: activations.
constexpr std::uint32_t most_strangers = 128;

/// Numbers that are small, each by a factor of its own: one mixing for all of them. One for each
/// would take longer than the rest of a look-up.
std::uint64_t shape_key(const device::Operand& o, int device) noexcept {
    const std::uint64_t h = mix64(static_cast<std::uint64_t>(o.rows) * 0xd1342543de82ef95ULL +
                                  static_cast<std::uint64_t>(o.cols) * 0xaf251af3b0f025b5ULL +
                                  static_cast<std::uint64_t>(device) * 0x9e3779b97f4a7c15ULL +
                                  static_cast<std::uint64_t>(o.type));
    return h == 0 ? 1 : h;
}

std::uint64_t operand_key(const device::Operand& o, int device) noexcept {
    const std::uint64_t place =
        mix64(o.data + static_cast<std::uint64_t>(o.row_stride) * 0xf1357aea2e62a9c5ULL +
              static_cast<std::uint64_t>(o.col_stride) * 0x9e6c63d0876a9a47ULL);
    const std::uint64_t h = combine64(place, shape_key(o, device));
    return h == 0 ? 1 : h;
}

/// Where the allocation begins that the address lies in; the address itself where nobody knows.
std::uint64_t allocation_of(std::uint64_t address) noexcept {
    const Driver* known = driver();
    MemoryRange range;
    return known != nullptr && memory_range(*known, address, range) ? range.first : address;
}

void raise_to(std::atomic<std::uint64_t>& bound, std::uint64_t value) noexcept {
    std::uint64_t known = bound.load(std::memory_order_relaxed);
    while (value > known && !bound.compare_exchange_weak(known, value, std::memory_order_relaxed)) {
    }
}

}  // namespace

void WeightEntry::end_life() noexcept {
    const std::uint32_t used_up = uses.exchange(0, std::memory_order_relaxed);
    if (used_up >= uses_of_a_weight) {
        short_lives.store(0, std::memory_order_relaxed);
    } else if (used_up != 0) {
        short_lives.fetch_add(1, std::memory_order_relaxed);
    }
    probes_stream.store(nullptr, std::memory_order_relaxed);
    changes.store(0, std::memory_order_relaxed);
    ended.fetch_add(1, std::memory_order_release);
}

WeightContents::Content* WeightContents::find(const Sight& sight) noexcept {
    std::uint64_t key = combine64(shape_key(sight.operand, sight.device), sight.sample);
    if (key == 0) key = 1;
    auto& places = contents_[key % std::size(contents_)];
    Content* free = nullptr;
    for (Content& place : places) {
        if (place.key == key) {
            place.age = ++now_;
            return &place;
        }
        // What has no number is forgotten, and what has one and is not there any more.
        const bool left = place.owner != nullptr && place.owner->sample != place.sample;
        if (place.number != 0 && !left) continue;
        if (free == nullptr || place.age < free->age) free = &place;
    }
    if (free == nullptr) return nullptr;
    *free = {};
    free->key = key;
    free->sample = sight.sample;
    free->age = ++now_;
    return free;
}

WeightEntry* DeviceWeights::find(const device::Operand& operand, int device,
                                 const void* context) noexcept {
    if (operand.data == 0) return nullptr;
    const std::uint64_t key = operand_key(operand, device);
    WeightEntry* entry = operand.indirect ? claim_slot(listed_, key) : claim_slot(entries_, key);
    if (entry == nullptr) return nullptr;
    const void* known = entry->context.load(std::memory_order_acquire);
    if (known == context) return entry;
    if (known == nullptr && entry->context.compare_exchange_strong(known, context)) {
        if (!operand.indirect) remember(*entry, operand);
        return entry;
    }
    if (known == context) return entry;
    // A context that ended took the probes with it. Until they are forgotten nobody else looks.
    if (known == this || !entry->context.compare_exchange_strong(known, this)) return nullptr;
    entry->end_life();
    entry->probes.store(0, std::memory_order_relaxed);
    entry->context.store(context, std::memory_order_release);
    return entry;
}

// Where the allocation ends is not held against the operand: the engine's own product reads what
// the digest reads. One that reaches too far, with a huge leading dimension, is the engine's fault.
void DeviceWeights::remember(WeightEntry& entry, const device::Operand& o) noexcept {
    const std::int64_t rows = (o.rows - 1) * o.row_stride;
    const std::int64_t cols = (o.cols - 1) * o.col_stride;
    const std::int64_t before = std::min<std::int64_t>(rows, 0) + std::min<std::int64_t>(cols, 0);
    const std::int64_t behind =
        std::max<std::int64_t>(rows, 0) + std::max<std::int64_t>(cols, 0) + 1;
    const auto at = [&](std::int64_t element) {
        return o.data + static_cast<std::uint64_t>(element * device::size_of(o.type));
    };
    const std::size_t i = extents_used_.fetch_add(1, std::memory_order_relaxed);
    if (i >= most_operands) return;
    extents_[i].first = at(before);
    extents_[i].end = at(behind);
    extents_[i].entry.store(&entry, std::memory_order_release);
    raise_to(highest_complement_, ~allocation_of(extents_[i].first));
    raise_to(highest_, extents_[i].end - 1);
}

void DeviceWeights::forget(std::uint64_t address, std::uint64_t bytes) noexcept {
    const std::size_t used = std::min(extents_used_.load(std::memory_order_relaxed), most_operands);
    for (std::size_t i = 0; i < used; ++i) {
        WeightEntry* entry = extents_[i].entry.load(std::memory_order_acquire);
        if (entry != nullptr && extents_[i].first < address + bytes && address < extents_[i].end)
            entry->end_life();
    }
}

std::uint32_t DeviceWeights::number_of(WeightEntry& entry, const Sight& sight) noexcept {
    return sight.operand.indirect ? behind_list(entry, sight) : at_address(entry, sight);
}

std::uint32_t DeviceWeights::digested(WeightEntry& entry, const Sight& sight) noexcept {
    if (!sight.operand.indirect) {
        const std::uint32_t number = at_address(entry, sight);
        WeightContents::Content* content = contents_.find(sight);
        // Another address may have shown it first, under a number of its own.
        if (content == nullptr || content->number != number) return number;
        if (content->recorded) return 0;
        content->recorded = true;
        return number;
    }
    WeightContents::Content* content = contents_.find(sight);
    // The list may show something else by now.
    if (content == nullptr || content->calls == 0) return 0;
    if (content->number != 0) {
        ListedShape* shape = claim_slot(shapes_, shape_key(sight.operand, sight.device));
        if (shape != nullptr && shape->asked > 0) --shape->asked;
        return 0;
    }
    ++listed_weights_;
    content->number = session::weights().take_number();
    content->calls = 1;
    content->recorded = true;
    return content->number;
}

/// New content at an address has a new number; what another address holds too is another weight.
std::uint32_t DeviceWeights::at_address(WeightEntry& entry, const Sight& sight) noexcept {
    // A record of an earlier life, from a graph or a stream that is behind, begins no new one.
    const bool begins_a_life = sight.life > entry.known_life;
    entry.known_life = std::max(entry.known_life, sight.life);
    if (entry.number != 0 && entry.sample == sight.sample) return entry.number;
    if (entry.number != 0 && !begins_a_life) {
        entry.changes.fetch_add(1, std::memory_order_relaxed);
        entry.probes_ready.store(0, std::memory_order_relaxed);
        entry.probes_stream.store(nullptr, std::memory_order_relaxed);
        // Digested again, unless it keeps changing.
        if (!entry.is_activation()) entry.asked.store(0, std::memory_order_relaxed);
    }
    entry.sample = sight.sample;
    WeightContents::Content* content = contents_.find(sight);
    const bool is_others =
        content == nullptr || (content->owner != nullptr && content->owner != &entry);
    entry.number =
        is_others || content->number == 0 ? session::weights().take_number() : content->number;
    if (!is_others) {
        content->number = entry.number;
        content->owner = &entry;
    }
    return entry.number;
}

std::uint32_t DeviceWeights::behind_list(WeightEntry& entry, const Sight& sight) noexcept {
    WeightContents::Content* content = contents_.find(sight);
    const bool is_new = content == nullptr || content->calls == 0;
    const bool later = !is_new && content->last_call != sight.call;
    if (content != nullptr && (is_new || later)) {
        content->last_call = sight.call;
        ++content->calls;
    }
    if (content != nullptr && content->number != 0) {
        entry.strangers = 0;
        entry.holds_weights.store(true, std::memory_order_relaxed);
        if (later && content->calls == calls_of_a_proven_one) {
            ListedShape* shape = claim_slot(shapes_, shape_key(sight.operand, sight.device));
            if (shape != nullptr) ++shape->proven;
        }
        return content->number;
    }
    // Heads of one call may share what they read.
    if (!later) {
        if (++entry.strangers >= most_strangers) entry.give_up();
        return 0;
    }
    entry.strangers = 0;
    ask(entry, sight);
    return 0;
}

void DeviceWeights::ask(WeightEntry& entry, const Sight& sight) noexcept {
    ListedShape* shape = claim_slot(shapes_, shape_key(sight.operand, sight.device));
    if (shape == nullptr || listed_weights_ >= most_listed_weights ||
        shape->asked >= asked_of_a_shape + asked_for_a_proven_one * shape->proven ||
        entry.wanted.exchange(true, std::memory_order_relaxed)) {
        return;
    }
    ++shape->asked;
}

}  // namespace orch::cuda
