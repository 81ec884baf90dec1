#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/device/host_launch.hpp"

namespace orch::device {
namespace {

class DeviceRing : public ::testing::Test {
  protected:
    DeviceRing() : data_(whole_numbers(Kind::f32, {3, 20})) {}

    Job job_for(TestRing& ring) {
        Job job;
        job.side[0] = operand_of(data_.view);
        job.values = 20;
        ring.attach(job);
        scratch_.attach(job);
        plan_launch(job, multiprocessors);
        return job;
    }

    void launch(Job& job) {
        ++job.op;
        run_blocks(job, 1);
    }

    Buffer data_;
    TestScratch scratch_;
};

TEST_F(DeviceRing, KeepsTheOrderOfLaunchesOverManyLaps) {
    TestRing ring(4);
    Job job = job_for(ring);
    RingReader reader(ring.header());
    const Slot* slot = nullptr;
    std::uint32_t read = 0;
    for (int burst : {1, 2, 3, 4, 4, 1, 3, 2, 4}) {
        for (int i = 0; i < burst; ++i)
            launch(job);
        for (int i = 0; i < burst; ++i) {
            ASSERT_TRUE(reader.next(slot));
            EXPECT_EQ(slot->op, ++read);
            EXPECT_EQ(slot->side[0].hash, digest_of(data_).hash);
            reader.release();
        }
        EXPECT_FALSE(reader.next(slot));
    }
    EXPECT_EQ(reader.dropped(), 0U);
}

TEST_F(DeviceRing, ThatIsFullDropsAndCounts) {
    TestRing ring(4);
    Job job = job_for(ring);
    std::uint64_t runs = 0;
    job.runs = reinterpret_cast<std::uint64_t>(&runs);
    for (int i = 0; i < 7; ++i)
        launch(job);
    RingReader reader(ring.header());
    EXPECT_EQ(reader.dropped(), 3U);
    EXPECT_EQ(ring.state().dropped, 3U);
    EXPECT_EQ(runs, 7U);
    const Slot* slot = nullptr;
    for (std::uint32_t i = 1; i <= 4; ++i) {
        ASSERT_TRUE(reader.next(slot));
        EXPECT_EQ(slot->op, i);
        reader.release();
    }
    EXPECT_FALSE(reader.next(slot));
    launch(job);
    ASSERT_TRUE(reader.next(slot));
    EXPECT_EQ(slot->op, 8U);
    EXPECT_EQ(slot->run, 7U) << "dropped launches are runs, too";
    EXPECT_EQ(reader.dropped(), 3U);
}

TEST_F(DeviceRing, GoesOnWhereTicketsWrap) {
    TestRing ring(4);
    Job job = job_for(ring);
    constexpr std::uint32_t before_the_end = 0xfffffffeU;
    ring.state().head = ring.state().seen_tail = ring.header()->tail = before_the_end;
    for (int i = 0; i < 6; ++i)
        launch(job);
    EXPECT_EQ(ring.header()->dropped, 2U);
    EXPECT_EQ(ring.state().head, 2U);
    ring.header()->tail = 0;
    launch(job);
    EXPECT_EQ(ring.header()->dropped, 2U);
    EXPECT_EQ(ring.state().head, 3U);
}

TEST_F(DeviceRing, NeverWritesMoreValuesThanASlotHolds) {
    for (int room : {0, 1, 16, 32}) {
        TestRing ring(2, room);
        Job job = job_for(ring);
        launch(job);
        launch(job);
        RingReader reader(ring.header());
        const Slot* slot = nullptr;
        ASSERT_TRUE(reader.next(slot));
        const auto held = (slot_bytes_for(room) - sizeof(Slot)) / sizeof(float);
        EXPECT_EQ(static_cast<std::size_t>(slot->values), std::min<std::size_t>(held, 20));
        for (int c = 0; c < slot->values; ++c)
            EXPECT_EQ(RingReader::values_of(slot)[c], data_.at(2, c));
        reader.release();
        ASSERT_TRUE(reader.next(slot));
        EXPECT_EQ(slot->op, 2U);
    }
}

TEST_F(DeviceRing, WritesOnlyTheRowsThatAreSelected) {
    TestRing ring(2);
    Job job = job_for(ring);
    job.selected_rows = 2;
    plan_launch(job, multiprocessors);
    std::memset(static_cast<void*>(ring.header() + 1), 0x77, slot_bytes_for(16));
    launch(job);
    const auto* slot = reinterpret_cast<const Slot*>(ring.header() + 1);
    EXPECT_EQ(slot->side[0].selected, 2);
    EXPECT_EQ(slot->side[0].row[2].row, 0x7777777777777777);
    EXPECT_EQ(slot->side[1].selected, 0);
    EXPECT_EQ(slot->side[1].row[0].row, 0x7777777777777777);
}

/// Launches of several streams at once; each has its own scratch, all have one ring.
TEST_F(DeviceRing, IsReadWhileSeveralStreamsWrite) {
    constexpr int streams = 3;
    constexpr int launches = 200;
    TestRing ring(8);
    std::uint64_t runs[streams] = {};
    std::vector<Job> jobs;
    for (std::uint64_t& counter : runs) {
        jobs.push_back(job_for(ring));
        jobs.back().runs = reinterpret_cast<std::uint64_t>(&counter);
        jobs.back().op = static_cast<std::uint32_t>(jobs.size() - 1);
    }
    std::atomic<int> running{streams};
    std::vector<std::thread> threads;
    for (const Job& job : jobs) {
        threads.emplace_back([&running, &job] {
            for (int i = 0; i < launches; ++i)
                run_blocks(job, 1);
            running.fetch_sub(1);
        });
    }
    RingReader reader(ring.header());
    std::uint64_t read = 0;
    std::uint64_t next_run[streams] = {};
    const std::uint64_t hash = digest_of(data_).hash;
    for (bool last = false;;) {
        const Slot* slot = nullptr;
        if (!reader.next(slot)) {
            if (last) break;
            last = running.load() == 0;
            continue;
        }
        ASSERT_LT(slot->op, streams);
        EXPECT_GE(slot->run, next_run[slot->op]) << "each stream's records are in order";
        next_run[slot->op] = slot->run + 1;
        EXPECT_EQ(slot->side[0].hash, hash);
        EXPECT_EQ(RingReader::values_of(slot)[3], data_.at(2, 3));
        reader.release();
        ++read;
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(read + reader.dropped(), std::uint64_t{streams} * launches);
    for (std::uint64_t counter : runs)
        EXPECT_EQ(counter, static_cast<std::uint64_t>(launches));
}

}  // namespace
}  // namespace orch::device
