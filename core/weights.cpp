#include "core/weights.hpp"

#include <cstring>

#include "core/digest.hpp"
#include "core/hash.hpp"
#include "core/records.hpp"
#include "core/trace.hpp"

namespace orch {
namespace {

constexpr int sample_size = 32;
/// Rows of a weight that get a sketch of their own: enough to see a permutation, few enough to
/// read.
constexpr int weight_rows = 8;

std::uint64_t combine(std::uint64_t h, std::uint64_t value) noexcept {
    return mix64(h ^ (value + 0x9e3779b97f4a7c15ULL));
}

std::uint64_t operand_key(const MatrixView& m) noexcept {
    std::uint64_t h = combine(0, reinterpret_cast<std::uintptr_t>(m.data));
    h = combine(h, static_cast<std::uint64_t>(m.rows));
    h = combine(h, static_cast<std::uint64_t>(m.cols));
    h = combine(h, static_cast<std::uint64_t>(m.row_stride));
    h = combine(h, static_cast<std::uint64_t>(m.col_stride));
    h = combine(h, static_cast<std::uint64_t>(m.dtype));
    return h == 0 ? 1 : h;
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
        h = combine(h, bits);
    }
    return h == 0 ? 1 : h;
}

}  // namespace

WeightTable::Slot* WeightTable::find(std::uint64_t key) noexcept {
    for (std::size_t probe = 0; probe < 64; ++probe) {
        Slot& slot = slots_[(key + probe) % slot_count];
        std::uint64_t seen = slot.key.load(std::memory_order_acquire);
        if (seen == key) return &slot;
        if (seen == 0 && (slot.key.compare_exchange_strong(seen, key) || seen == key)) return &slot;
    }
    return nullptr;
}

WeightIdentity WeightTable::identify(Trace& trace, const MatrixView& operand,
                                     std::string_view dtype, std::string_view name) noexcept {
    WeightIdentity identity{WeightName{name}, false};
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
            known = fresh;
        }
    }
    if (name.empty()) {
        id.append("w");
        id.append_number(known & number_mask);
    }
    if (!is_new) return identity;
    ClassCounts& counts = trace.ledger()[RecordClass::weight];
    bump(counts.seen);
    if (trace.config().weights == WeightMode::names) {
        bump(counts.filtered);
        return identity;
    }
    DigestRequest request;
    // An address whose content changed holds an activation (one head's keys), or an engine's buffer
    // for weights on their way: the sketch still identifies it, and the record stays short.
    request.selected_rows = identity.changes ? 1 : weight_rows;
    request.sign_rows = false;
    Digest result;
    digest(operand, request, result);
    write_weight(trace, {name, id, {operand, &result, dtype}});
    return identity;
}

}  // namespace orch
