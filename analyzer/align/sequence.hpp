// Pairs what stands in the same place of two sequences, by shapes and order alone.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace orch {

/// A product that nothing else identifies.
struct Place {
    std::int64_t outputs = 0;
    std::int64_t inputs = 0;
    std::int64_t tokens = 0;
    bool transient = false;  ///< its weight was seen in one pass only
};

struct PlacePair {
    std::vector<std::size_t> a;
    std::vector<std::size_t> b;
};

/// The cheapest alignment: up to four neighbours on each side make a group if they have the same
/// inputs and as many outputs together; what has no counterpart is left out. Works in a band
/// around the diagonal.
std::vector<PlacePair> pair_places(std::span<const Place> a, std::span<const Place> b);

}  // namespace orch
