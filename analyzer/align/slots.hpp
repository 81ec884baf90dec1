// The products of one engine in one pass, or in the chunks that make up one, as a sequence of slots
// (a weight, or what stands in a weight's place) and of sites (slots that read one input).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "analyzer/align/engine_trace.hpp"

namespace orch {

struct Slot {
    int weight = -1;
    /// Slots of both engines with the same number multiply the same content; -1: not known.
    int content = -1;
    std::int64_t outputs = 0;
    std::int64_t inputs = 0;
    std::int64_t tokens = 0;            ///< rows of all chunks
    std::vector<std::size_t> products;  ///< into EngineTrace::products, a chunk each
    int site = -1;                      ///< into Slots::sites
    /// Not a weight: an operand that changes, of which no site is made.
    bool activation = false;
    bool transient = false;  ///< unidentified, and seen in one pass only
};

struct Slots {
    std::vector<Slot> slots;              ///< in the order of calls
    std::vector<std::vector<int>> sites;  ///< slots, in order
};

/// `content` by weight. Sites are made of slots that follow each other and share their x.
Slots slots_of(const EngineTrace& engine, std::span<const int> passes,
               std::span<const int> content);

/// Makes one site of neighbours; `first` of each run is kept.
void merge_sites(Slots& side, const std::vector<bool>& joins_the_one_before);

}  // namespace orch
