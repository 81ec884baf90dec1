// A table without locks whose entries are claimed by a key and never given back.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace orch {

/// The entry with this key, claimed if it is new. `Entry::key` is an atomic 64-bit number; 0 means
/// free, so no key is 0. Null: the table is too full around it.
template <class Entry, std::size_t size>
Entry* claim_slot(Entry (&table)[size], std::uint64_t key) noexcept {
    constexpr std::size_t most_probes = 64;
    for (std::size_t probe = 0; probe < most_probes; ++probe) {
        Entry& entry = table[(key + probe) % size];
        std::uint64_t seen = entry.key.load(std::memory_order_acquire);
        if (seen == key) return &entry;
        if (seen == 0 && (entry.key.compare_exchange_strong(seen, key) || seen == key))
            return &entry;
    }
    return nullptr;
}

}  // namespace orch
