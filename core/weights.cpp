#include "core/weights.hpp"

#include <cstring>

#include "core/digest.hpp"
#include "core/hash.hpp"
#include "core/records.hpp"
#include "core/slot_table.hpp"
#include "core/trace.hpp"

namespace orch {
namespace {

constexpr int sample_size = 32;
std::uint64_t operand_key(const MatrixView& m) noexcept {
    std::uint64_t h = combine64(0, reinterpret_cast<std::uintptr_t>(m.data));
    h = combine64(h, static_cast<std::uint64_t>(m.rows));
    h = combine64(h, static_cast<std::uint64_t>(m.cols));
    h = combine64(h, static_cast<std::uint64_t>(m.row_stride));
    h = combine64(h, static_cast<std::uint64_t>(m.col_stride));
    h = combine64(h, static_cast<std::uint64_t>(m.dtype));
    return h == 0 ? 1 : h;
}

/// 0 is kept for "not known yet".
std::uint64_t content_hash(const Digest& digest) noexcept {
    return digest.hash == 0 ? 1 : digest.hash;
}

/// Probes for the calls of this thread that follow at once. The digest is the weight record's.
Probes probes_of_thread(Trace& trace, const MatrixView& operand, std::uint32_t number, int rows,
                        Digest& result) noexcept {
    ThreadBuffer* thread = worth_probing(operand) ? trace.this_thread() : nullptr;
    void* memory = thread != nullptr ? thread->probes.at_least(probe_bytes(operand.cols)) : nullptr;
    auto* probes = static_cast<float*>(memory);
    const bool usable = digest_weight(trace, operand, rows, probes, result);
    if (probes == nullptr) return {};
    thread->probes_of = number;
    thread->probes_usable = usable;
    return usable ? Probes{probes, operand.rows, operand.cols} : Probes{};
}

/// Bits of values spread over the operand; never decodes more than these.
std::uint64_t sample_content(const MatrixView& m) noexcept {
    std::uint64_t h = 1;
    for (std::uint32_t i = 0; i < sample_size; ++i) {
        const auto row =
            static_cast<std::int64_t>(mix32(2 * i) % static_cast<std::uint64_t>(m.rows));
        const auto col =
            static_cast<std::int64_t>(mix32(2 * i + 1) % static_cast<std::uint64_t>(m.cols));
        const char* data = static_cast<const char*>(m.data);
        std::uint64_t bits = 0;
        if (m.dtype == DType::block) {
            const char* block = data + row * m.row_stride + col / m.block_values * m.block_bytes;
            std::memcpy(&bits, block,
                        m.block_bytes < 8 ? static_cast<std::size_t>(m.block_bytes) : 8);
        } else {
            const std::size_t size = element_size(m.dtype);
            std::memcpy(
                &bits,
                data + (row * m.row_stride + col * m.col_stride) * static_cast<std::int64_t>(size),
                size);
        }
        h = combine64(h, bits);
    }
    return h == 0 ? 1 : h;
}

}  // namespace

WeightTable::Slot* WeightTable::find(std::uint64_t key) noexcept {
    return claim_slot(slots_, key);
}

WeightTable::KeptProbes* WeightTable::kept_probes(Trace& trace, Slot& slot,
                                                  std::int64_t inputs) noexcept {
    KeptProbes* kept = slot.probes.load(std::memory_order_acquire);
    if (kept != nullptr || slot.no_memory.load(std::memory_order_relaxed)) return kept;
    const std::size_t size = sizeof(KeptProbes) + probe_bytes(inputs);
    auto* fresh = static_cast<KeptProbes*>(probe_memory_.take(trace, size));  // zeros: its start
    if (fresh == nullptr) {
        slot.no_memory.store(true, std::memory_order_relaxed);
        return nullptr;
    }
    if (slot.probes.compare_exchange_strong(kept, fresh)) return fresh;
    probe_memory_.give_back(fresh, size);  // another thread was faster
    return kept;
}

/// Of a weight that was seen before. The first time this thread's own memory must do: most operands
/// that are seen once are activations, and are never seen again.
Probes WeightTable::known_probes(Trace& trace, Slot& slot, const MatrixView& operand,
                                 std::uint32_t number) noexcept {
    const auto usable = [&](bool good, const float* data) {
        return good ? Probes{data, operand.rows, operand.cols} : Probes{};
    };
    if (slot.changes.load(std::memory_order_relaxed) >= changes_of_a_weight ||
        !worth_probing(operand)) {
        return {};
    }
    KeptProbes* kept = slot.probes.load(std::memory_order_acquire);
    if (kept != nullptr && kept->number.load(std::memory_order_acquire) == number)
        return usable(kept->usable, kept->data());
    ThreadBuffer* thread = trace.this_thread();
    if (thread == nullptr) return {};
    if (thread->probes_of == number)
        return usable(thread->probes_usable, static_cast<float*>(thread->probes.at_least(0)));
    kept = kept_probes(trace, slot, operand.cols);
    if (kept == nullptr) return {};
    Digest ignored;
    std::uint32_t state = kept->number.load(std::memory_order_acquire);
    const bool mine = state != number && state != KeptProbes::being_made &&
                      kept->number.compare_exchange_strong(state, KeptProbes::being_made);
    if (!mine) return probes_of_thread(trace, operand, number, 1, ignored);
    kept->usable = digest_weight(trace, operand, 1, kept->data(), ignored);
    kept->number.store(number, std::memory_order_release);
    return usable(kept->usable, kept->data());
}

bool WeightTable::has_changed(Trace& trace, const MatrixView& operand, double error) noexcept {
    constexpr double as_before = 4;
    Slot* slot = find(operand_key(operand));
    if (slot == nullptr || error <= as_before * slot->settled.load(std::memory_order_relaxed))
        return false;
    Digest now;
    digest_weight(trace, operand, 1, nullptr, now);
    const std::uint64_t hash = slot->hash.load(std::memory_order_acquire);
    if (hash == 0) return false;  // another thread is just recording it
    if (content_hash(now) == hash) {
        slot->settled.store(error, std::memory_order_relaxed);
        return false;
    }
    constexpr std::uint64_t a_bit_of_the_sample = 1ULL << 63;
    slot->content.fetch_xor(a_bit_of_the_sample);
    return true;
}

WeightIdentity WeightTable::identify(Trace& trace, const MatrixView& operand,
                                     std::string_view dtype, std::string_view name) noexcept {
    WeightIdentity identity{WeightName{name}, false, {}};
    WeightName& id = identity.id;
    if (trace.config().weights == WeightMode::off || operand.data == nullptr || operand.rows <= 0 ||
        operand.cols <= 0) {
        return identity;
    }
    Slot* slot = find(operand_key(operand));
    if (slot == nullptr) {  // more operands than slots: the calls go without an id, and say so
        bump(trace.ledger()[RecordClass::weight].seen);
        bump(trace.ledger()[RecordClass::weight].dropped);
        return identity;
    }
    // The sample and the number change together: no thread sees one without the other.
    constexpr int number_bits = 24;
    constexpr std::uint64_t number_mask = (1ULL << number_bits) - 1;
    const std::uint64_t content = sample_content(operand) & ~number_mask;
    std::uint64_t known = slot->content.load(std::memory_order_acquire);
    bool is_new = known == 0 || (known & ~number_mask) != content;
    if (is_new) {
        const std::uint64_t fresh = content | ((numbers_.fetch_add(1) + 1) & number_mask);
        is_new = slot->content.compare_exchange_strong(known, fresh);
        if (is_new) {
            identity.changes = known != 0;
            if (identity.changes) slot->changes.fetch_add(1, std::memory_order_relaxed);
            known = fresh;
        }
    }
    if (name.empty()) {
        id.append("w");
        id.append_number(known & number_mask);
    }
    const WeightMode mode = trace.config().weights;
    const auto number = static_cast<std::uint32_t>(known & number_mask);
    if (!is_new) {
        if (mode == WeightMode::proof)
            identity.probes = known_probes(trace, *slot, operand, number);
        return identity;
    }
    ClassCounts& counts = trace.ledger()[RecordClass::weight];
    bump(counts.seen);
    if (mode == WeightMode::names) {
        bump(counts.filtered);
        return identity;
    }
    // An address whose content changed holds an activation (one head's keys), or an engine's buffer
    // for weights on their way: the sketch still identifies it, and the record stays short.
    const int rows = identity.changes ? 1 : weight_rows;
    const bool may_be_a_weight =
        slot->changes.load(std::memory_order_relaxed) < changes_of_a_weight;
    Digest result;
    if (mode == WeightMode::proof && may_be_a_weight) {
        identity.probes = probes_of_thread(trace, operand, number, rows, result);
    } else {
        digest_weight(trace, operand, rows, nullptr, result);
    }
    slot->settled.store(0, std::memory_order_relaxed);
    slot->hash.store(content_hash(result), std::memory_order_release);
    write_weight(trace, {name, id, {operand, &result, dtype}});
    return identity;
}

}  // namespace orch
