// Whole results on their way to the host: a second ring, of units of 4 KiB. A result takes as many
// units in a row as it needs, or none at all.
//
//   RingHeader | sequence of each unit | units
//
// As in protocol.hpp the device takes tickets, here one for each unit, and the host moves the tail.
// A sequence lies apart from its unit: what stood in a unit before may look like any number.
#pragma once
#include <cstddef>
#include <cstdint>

#include "device/protocol.hpp"
#include "device/target.hpp"

namespace orch::device {

inline constexpr std::uint64_t dump_unit = 4096;

/// In front of the elements, in the first unit of a result.
struct DumpHeader {
    std::uint32_t op;     ///< DumpJob::op
    std::uint32_t units;  ///< of all of it
    std::uint64_t run;    ///< as the digest behind it will have it
    std::uint64_t bytes;  ///< of elements; 0: there was no such operand
    std::uint32_t taken;  ///< the host's: it has been read
    std::uint32_t unused[9];
};
static_assert(sizeof(DumpHeader) == 64);

struct DumpJob {
    Operand tensor;
    std::uint64_t ring = 0;   ///< RingHeader*, as the device sees it
    std::uint64_t state = 0;  ///< RingState*
    std::uint64_t runs = 0;   ///< the counter of the digest behind it, not bumped yet; 0: none
    std::uint32_t op = 0;
};

ORCH_BOTH std::uint64_t dump_bytes(const Operand& o) {
    return static_cast<std::uint64_t>(o.rows) * static_cast<std::uint64_t>(o.cols) *
           static_cast<std::uint64_t>(size_of(o.type));
}

ORCH_BOTH std::uint64_t dump_units(std::uint64_t bytes) {
    return (sizeof(DumpHeader) + bytes + dump_unit - 1) / dump_unit;
}

/// Where the units begin, behind RingHeader and the sequences.
ORCH_BOTH std::uint64_t first_dump_unit(std::uint32_t units) {
    const std::uint64_t before = sizeof(RingHeader) + std::uint64_t{units} * sizeof(std::uint32_t);
    return (before + dump_unit - 1) / dump_unit * dump_unit;
}

ORCH_BOTH std::uint64_t dump_ring_bytes(std::uint32_t units) {
    return first_dump_unit(units) + units * dump_unit;
}

}  // namespace orch::device
