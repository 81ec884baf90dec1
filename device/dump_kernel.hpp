// Copies a result into the ring of dump_protocol.hpp, row after row. One block does it: tickets are
// then a matter of one thread, nothing waits for another block, and a block has more in flight than
// a PCIe bus takes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "device/block.hpp"
#include "device/dump_protocol.hpp"
#include "device/ring_writer.hpp"

namespace orch::device {

struct DumpState {};

struct DumpShared {
    std::uint64_t units;  ///< address of the first unit of the ring; 0: there was no room
    std::uint64_t ring_bytes;
    std::uint64_t bytes;  ///< to be copied
    std::uint32_t ticket;
};

template <class Block>
class DumpKernel {
  public:
    ORCH_DEVICE DumpKernel(Block& block, const DumpJob& job) : block_(block), job_(job) {}

    ORCH_DEVICE void run() {
        block_.each([&](int thread, DumpState&) {
            if (thread == 0) begin();
        });
        if (block_.shared().units == 0) return;
        block_.each([&](int thread, DumpState&) {
            copy(thread);
            target::fence_system();
        });
        block_.each([&](int thread, DumpState&) {
            if (thread == 0) target::store_now(sequence(), block_.shared().ticket + 1);
        });
    }

  private:
    static constexpr std::uint64_t piece = 16;

    ORCH_DEVICE RingHeader* ring() const { return reinterpret_cast<RingHeader*>(job_.ring); }

    ORCH_DEVICE std::uint32_t slots() const {
        return ring_slots(reinterpret_cast<RingState*>(job_.state), ring());
    }

    ORCH_DEVICE std::uint32_t* sequence() const {
        return reinterpret_cast<std::uint32_t*>(ring() + 1) +
               (block_.shared().ticket & (slots() - 1));
    }

    ORCH_DEVICE void begin() {
        DumpShared& shared = block_.shared();
        auto* state = reinterpret_cast<RingState*>(job_.state);
        const std::uint32_t all = slots();
        shared.units = 0;
        shared.bytes = base_of(job_.tensor) != 0 ? dump_bytes(job_.tensor) : 0;
        const std::uint64_t units = dump_units(shared.bytes);
        if (units > all ||
            !take_ticket(state, ring(), all, shared.ticket, static_cast<std::uint32_t>(units))) {
            count_dropped(state, ring());
            return;
        }
        shared.units = job_.ring + first_dump_unit(all);
        shared.ring_bytes = all * dump_unit;
        auto* header = reinterpret_cast<DumpHeader*>(address_of(0));
        header->op = job_.op;
        header->units = static_cast<std::uint32_t>(units);
        header->run = job_.runs != 0
                          ? target::load_fresh(reinterpret_cast<const std::uint64_t*>(job_.runs))
                          : 0;
        header->bytes = shared.bytes;
        header->taken = 0;
        target::fence_system();
    }

    /// Of a byte of what was taken; units go round, pieces do not.
    ORCH_DEVICE std::uint64_t address_of(std::uint64_t byte) const {
        const DumpShared& shared = block_.shared();
        const std::uint64_t unit = shared.ticket & (shared.ring_bytes / dump_unit - 1);
        const std::uint64_t at = unit * dump_unit + byte;
        return shared.units + (at < shared.ring_bytes ? at : at - shared.ring_bytes);
    }

    ORCH_DEVICE void copy(int thread) const {
        constexpr int in_flight = 4;  // loads of a thread before it stores any of them
        constexpr std::uint64_t together = block_threads * piece;
        const Operand& o = job_.tensor;
        const std::uint64_t bytes = block_.shared().bytes;
        const std::uint64_t base = base_of(o);
        const bool plain =
            o.col_stride == 1 && (o.rows == 1 || o.row_stride == o.cols) && base % piece == 0;
        for (std::uint64_t first = static_cast<std::uint64_t>(thread) * piece; first < bytes;
             first += in_flight * together) {
            std::uint32_t words[in_flight][piece / 4] = {};
            repeat<in_flight>([&](int i) {
                const std::uint64_t at = first + static_cast<std::uint64_t>(i) * together;
                if (plain && at + piece <= bytes) {
                    target::load_16(words[i], reinterpret_cast<const void*>(base + at));
                } else if (at < bytes) {
                    gather(o, base, at, bytes, words[i]);
                }
            });
            repeat<in_flight>([&](int i) {
                const std::uint64_t at = first + static_cast<std::uint64_t>(i) * together;
                if (at < bytes)
                    target::store_16(reinterpret_cast<void*>(address_of(sizeof(DumpHeader) + at)),
                                     words[i]);
            });
        }
    }

    ORCH_DEVICE static void gather(const Operand& o, std::uint64_t base, std::uint64_t at,
                                   std::uint64_t bytes, std::uint32_t* words) {
        switch (size_of(o.type)) {
            case 8:
                return gather_as<std::uint64_t>(o, base, at, bytes, words);
            case 4:
                return gather_as<std::uint32_t>(o, base, at, bytes, words);
            case 2:
                return gather_as<std::uint16_t>(o, base, at, bytes, words);
            default:
                return gather_as<std::uint8_t>(o, base, at, bytes, words);
        }
    }

    /// A piece, element by element; zeros behind the last one.
    template <class Element>
    ORCH_DEVICE static void gather_as(const Operand& o, std::uint64_t base, std::uint64_t at,
                                      std::uint64_t bytes, std::uint32_t* words) {
        constexpr int count = piece / sizeof(Element);
        const auto cols = static_cast<std::uint64_t>(o.cols);
        const std::uint64_t first = at / sizeof(Element);
        std::uint64_t row = first / cols;
        std::uint64_t col = first % cols;
        Element elements[count] = {};
        repeat<count>([&](int i) {
            if (at + static_cast<std::uint64_t>(i) * sizeof(Element) >= bytes) return;
            const std::int64_t place = static_cast<std::int64_t>(row) * o.row_stride +
                                       static_cast<std::int64_t>(col) * o.col_stride;
            elements[i] = *(reinterpret_cast<const Element*>(base) + place);
            if (++col == cols) {
                col = 0;
                ++row;
            }
        });
        memcpy(words, elements, piece);
    }

    Block& block_;
    const DumpJob& job_;
};

}  // namespace orch::device
