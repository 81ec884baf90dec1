#include "analyzer/read/text_table.hpp"

#include <algorithm>
#include <bit>

#include "analyzer/read/text_hash.hpp"

namespace orch {
namespace {

constexpr std::size_t first_slots = 256;

}  // namespace

void TextTable::clear() {
    chars_.clear();
    ends_.assign({0, 0});
    if (slots_.size() > 64 * first_slots) slots_ = {};
    slots_.assign(std::max(slots_.size(), first_slots), {});
}

std::size_t TextTable::slot_of(std::string_view text, std::uint64_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    const auto upper = static_cast<std::uint32_t>(hash >> 32);
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
        const Slot& slot = slots_[at];
        if (slot.id == 0 || (slot.hash == upper && (*this)[slot.id] == text)) return at;
    }
}

StringId TextTable::id_of(std::string_view text) {
    if (text.empty()) return 0;
    const std::uint64_t hash = text_hash(text);
    const std::size_t at = slot_of(text, hash);
    if (slots_[at].id != 0) return slots_[at].id;
    const auto id = static_cast<StringId>(size());
    chars_.insert(chars_.end(), text.begin(), text.end());
    ends_.push_back(chars_.size());
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), id};
    if (2 * size() > slots_.size()) rehash(2 * slots_.size());
    return id;
}

std::optional<StringId> TextTable::find(std::string_view text) const {
    if (text.empty()) return 0;
    const Slot& slot = slots_[slot_of(text, text_hash(text))];
    if (slot.id == 0) return std::nullopt;
    return slot.id;
}

void TextTable::rehash(std::size_t slots) {
    slots_.assign(slots, {});
    const std::size_t mask = slots - 1;
    for (std::size_t id = 1; id < size(); ++id) {
        const std::uint64_t hash = text_hash((*this)[static_cast<StringId>(id)]);
        std::size_t at = hash & mask;
        while (slots_[at].id != 0)
            at = (at + 1) & mask;
        slots_[at] = {static_cast<std::uint32_t>(hash >> 32), static_cast<StringId>(id)};
    }
}

bool TextTable::assign(std::span<const char> chars, std::span<const std::uint64_t> ends) {
    clear();
    if (ends.size() < 2 || ends[0] != 0 || ends[1] != 0 || ends.back() != chars.size() ||
        !std::is_sorted(ends.begin(), ends.end())) {
        return false;
    }
    chars_.assign(chars.begin(), chars.end());
    ends_.assign(ends.begin(), ends.end());
    rehash(std::bit_ceil(std::max(first_slots, 2 * size())));
    return true;
}

}  // namespace orch
