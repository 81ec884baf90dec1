#include "tests/device/host_launch.hpp"

namespace orch::device {

Record run_job(Job job, unsigned seed) {
    TestRing ring;
    TestScratch scratch;
    ring.attach(job);
    scratch.attach(job);
    const Launch launch = plan_launch(job, multiprocessors);
    run_blocks(job, launch.grid, seed);
    EXPECT_EQ(scratch.memory[0].finished, 0U) << "the next launch needs zeros";
    RingReader reader(ring.header());
    const Slot* slot = nullptr;
    Record record{};
    if (!reader.next(slot)) {
        ADD_FAILURE() << "no record";
        return record;
    }
    std::memcpy(&record.slot, slot, sizeof record.slot);
    record.values.assign(RingReader::values_of(slot), RingReader::values_of(slot) + slot->values);
    return record;
}

}  // namespace orch::device
