// Launches of the tests that tests/device runs on the host, on a device: what a Job points at is
// copied there first, and what it makes is copied back.
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/proof.hpp"
#include "tests/device/run_job.hpp"
#include "tests/gpu/cuda.hpp"

namespace orch::device {
namespace {

using gpu::Address;
using gpu::DeviceMemory;

struct Extent {
    std::int64_t first = 0;
    std::int64_t last = 0;
};

/// Strides may be negative.
Extent extent_of(const Operand& o) {
    Extent extent;
    for (const std::int64_t step : {(o.rows - 1) * o.row_stride, (o.cols - 1) * o.col_stride})
        (step < 0 ? extent.first : extent.last) += step;
    return extent;
}

/// What one launch needs on the device.
class Copies {
  public:
    void place(Operand& o) {
        if (o.data == 0 || o.rows <= 0 || o.cols <= 0) return;
        const std::uint64_t pointer =
            o.indirect ? *reinterpret_cast<const std::uint64_t*>(o.data) : o.data;
        const Address at = pointer == 0 ? 0 : place_elements(o, pointer);
        o.data = o.indirect ? place_bytes(&at, sizeof at, 0) : at;
    }

    Address place_bytes(const void* from, std::size_t size, std::size_t past) {
        memory_.emplace_back(size + past, 0xff);
        memory_.back().write(from, size, past);
        return memory_.back().address() + past;
    }

    const DeviceMemory& last() const { return memory_.back(); }

  private:
    Address place_elements(const Operand& o, std::uint64_t pointer) {
        const Extent extent = extent_of(o);
        const auto size = static_cast<std::uint64_t>(size_of(o.type));
        const std::uint64_t below = static_cast<std::uint64_t>(-extent.first) * size;
        const std::uint64_t first = pointer - below;
        const auto count = static_cast<std::uint64_t>(extent.last - extent.first + 1);
        // How it is aligned decides how it is read: as on the host.
        constexpr std::uint64_t alignment = 16;
        return place_bytes(reinterpret_cast<const void*>(first), count * size, first % alignment) +
               below;
    }

    std::vector<DeviceMemory> memory_;
};

/// One for all launches: so each also finds what the one before it left.
struct Bench {
    gpu::Stream stream = gpu::make_stream();
    gpu::DeviceRing ring{4};
    gpu::DeviceScratch scratch;
};

Bench& bench() {
    static Bench the_one;
    return the_one;
}

}  // namespace

Record run_job(Job job, unsigned) {
    Copies copies;
    for (Operand& side : job.side)
        copies.place(side);
    copies.place(job.weight);
    if (job.probes != 0) {
        job.probes = copies.place_bytes(reinterpret_cast<const void*>(job.probes),
                                        probe_bytes(job.side[1].cols), 0);
    }
    const std::uint64_t probes_on_host = job.probes_out;
    if (probes_on_host != 0) {
        job.probes_out = copies.place_bytes(reinterpret_cast<const void*>(probes_on_host),
                                            probe_bytes(job.side[0].cols), 0);
    }
    bench().ring.attach(job);
    bench().scratch.attach(job);
    gpu::launch(job, bench().stream);
    gpu::wait(bench().stream);
    EXPECT_TRUE(bench().scratch.is_clean()) << "the next launch needs zeros";
    if (probes_on_host != 0) {
        copies.last().read(reinterpret_cast<void*>(probes_on_host), probe_bytes(job.side[0].cols));
    }
    Record record{};
    const int count = bench().ring.drain([&](const Slot& slot) {
        std::memcpy(&record.slot, &slot, sizeof record.slot);
        record.values.assign(RingReader::values_of(&slot),
                             RingReader::values_of(&slot) + slot.values);
    });
    EXPECT_EQ(count, 1) << "records of one launch";
    return record;
}

}  // namespace orch::device
