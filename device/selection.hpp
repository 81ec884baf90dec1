// Which rows of an operand get results of their own: those in the spread of positions (core's
// in_spread), and the last. In closed form, as the host plans with it and every thread asks.
#pragma once
#include <cstdint>

#include "device/protocol.hpp"
#include "device/target.hpp"

namespace orch::device {

/// Positions 0, 1, 2, 4, 8, ... are numbers 0, 1, 2, 3, 4, ... of the spread.
ORCH_BOTH std::int64_t spread_position(int number) {
    return number == 0 ? 0 : std::int64_t{1} << (number - 1);
}

/// How many positions of the spread lie below this one.
ORCH_BOTH int spread_below(std::int64_t position) {
    if (position <= 0) return 0;
    int bits = 0;
    for (std::uint64_t rest = static_cast<std::uint64_t>(position - 1); rest != 0; rest >>= 1)
        ++bits;
    return 1 + bits;
}

struct Selection {
    std::int64_t rows;
    std::int64_t first_position;
    int first_number;
    int count;

    ORCH_BOTH std::int64_t row(int slot) const {
        return slot + 1 == count ? rows - 1 : spread_position(first_number + slot) - first_position;
    }
};

/// `rows` > 0.
ORCH_BOTH Selection select_rows(std::int64_t rows, std::int64_t first_position, int at_most) {
    Selection selection{rows, first_position, spread_below(first_position), 0};
    const int before_last = spread_below(first_position + rows - 1) - selection.first_number;
    const int limit = (at_most > max_rows ? max_rows : at_most < 1 ? 1 : at_most) - 1;
    selection.count = (before_last < limit ? before_last : limit) + 1;
    return selection;
}

}  // namespace orch::device
