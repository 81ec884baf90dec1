// What only a device can show: replays, full rings, streams that overlap, large operands. The
// digests themselves are tested by tests/device's cases, which this program runs too.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <vector>

#include "core/digest.hpp"
#include "device/decode.hpp"
#include "tests/device/run_job.hpp"
#include "tests/gpu/cuda.hpp"

namespace orch::gpu {
namespace {

using device::Job;
using device::Slot;

/// A result in device memory, and its digest by core.
class Digested {
  public:
    explicit Digested(Shape shape, unsigned seed = 1)
        : host_(f32_buffer(shape, normal_values(shape, seed))), memory_(host_.memory.size()) {
        memory_.write(host_.memory.data(), host_.memory.size());
        wanted_ = digest_of(host_);
    }

    Job job() const {
        Job job;
        job.side[0] = device::operand_of(host_.view);
        job.side[0].data = memory_.address();
        job.values = 4;
        return job;
    }

    void expect_in(const Slot& slot) const {
        const device::SideResult& found = slot.side[0];
        EXPECT_EQ(found.hash, wanted_.hash);
        EXPECT_EQ(found.min, wanted_.min);
        EXPECT_EQ(found.max, wanted_.max);
        EXPECT_EQ(found.argmax, wanted_.argmax);
        EXPECT_NEAR(found.energy, wanted_.energy, wanted_.energy * 1e-6);
        EXPECT_EQ(device::RingReader::values_of(&slot)[3], host_.at(host_.view.rows - 1, 3));
    }

  private:
    Buffer host_;
    DeviceMemory memory_;
    Digest wanted_;
};

class OnDevice : public ::testing::Test {
  protected:
    Stream stream_ = make_stream();
    DeviceScratch scratch_;
};

constexpr Shape one_block{1, 2000};
constexpr Shape many_blocks{700, 900};

TEST_F(OnDevice, ReplaysOfAGraphAreRecordsEach) {
    constexpr int replays = 20;
    for (const Shape shape : {one_block, many_blocks}) {
        const Digested data(shape);
        DeviceRing ring(256);
        DeviceMemory runs(3 * sizeof(std::uint64_t));
        const GraphExec exec = captured(stream_, [&] {
            for (std::uint32_t node = 0; node < 3; ++node) {
                Job job = data.job();
                job.op = node;
                job.runs = runs.address() + node * sizeof(std::uint64_t);
                ring.attach(job);
                scratch_.attach(job);
                launch(job, stream_);
            }
        });
        EXPECT_EQ(ring.drain(), 0) << "a capture runs nothing";
        for (int i = 0; i < replays; ++i)
            check(cuda().graph_launch(exec.get(), stream_.get()), "cuGraphLaunch");
        wait(stream_);
        std::uint32_t number = 0;
        ring.drain([&](const Slot& slot) {
            EXPECT_EQ(slot.op, number % 3);
            EXPECT_EQ(slot.run, number / 3);
            data.expect_in(slot);
            ++number;
        });
        EXPECT_EQ(number, 3U * replays);
        EXPECT_EQ(ring.reader().dropped(), 0U);
    }
}

TEST_F(OnDevice, AFullRingDropsAndCounts) {
    const Digested data(one_block);
    DeviceRing ring(8);
    Job job = data.job();
    ring.attach(job);
    scratch_.attach(job);
    for (std::uint32_t i = 0; i < 50; ++i) {
        job.op = i;
        launch(job, stream_);
    }
    wait(stream_);
    EXPECT_EQ(ring.reader().dropped(), 42U);
    std::uint32_t next = 0;
    EXPECT_EQ(ring.drain([&](const Slot& slot) { EXPECT_EQ(slot.op, next++); }), 8);
    job.op = 77;
    launch(job, stream_);
    wait(stream_);
    EXPECT_EQ(ring.drain([&](const Slot& slot) { EXPECT_EQ(slot.op, 77U); }), 1);
    EXPECT_EQ(ring.reader().dropped(), 42U);
}

/// The host reads and gives slots back while several streams write: each launch is a record or a
/// count of what was dropped, and no record is torn.
TEST_F(OnDevice, StreamsThatOverlapShareARing) {
    constexpr std::uint32_t streams = 4;
    const std::uint64_t launches = Machine::get().is_stand_in() ? 32 : 500;
    const Digested small(one_block, 2);
    const Digested large(many_blocks, 3);
    DeviceRing ring(32);
    std::vector<Stream> own;
    std::vector<DeviceScratch> scratch(streams);
    std::vector<Job> jobs;
    for (std::uint32_t i = 0; i < streams; ++i) {
        own.push_back(make_stream());
        Job job = (i % 2 == 0 ? small : large).job();
        job.op = i;
        ring.attach(job);
        scratch[i].attach(job);
        jobs.push_back(job);
    }
    std::map<std::uint32_t, std::uint64_t> records;
    const auto read = [&] {
        ring.drain([&](const Slot& slot) {
            ASSERT_LT(slot.op, streams);
            (slot.op % 2 == 0 ? small : large).expect_in(slot);
            ++records[slot.op];
        });
    };
    for (std::uint64_t n = 0; n < launches; ++n) {
        for (std::uint32_t i = 0; i < streams; ++i)
            launch(jobs[i], own[i]);
        if (n % 4 != 0) continue;
        wait(own[n / 4 % streams]);  // and the others go on
        read();
    }
    for (const Stream& stream : own)
        wait(stream);
    read();
    std::uint64_t all = ring.reader().dropped();
    for (const auto& [op, count] : records)
        all += count;
    EXPECT_EQ(all, streams * launches);
    EXPECT_EQ(records.size(), streams);
    std::printf("%llu of %llu records found no slot\n",
                static_cast<unsigned long long>(ring.reader().dropped()),
                static_cast<unsigned long long>(streams * launches));
}

TEST_F(OnDevice, StartsAtAnyAddress) {
    const Shape shape{3, 333};
    for (const std::size_t skipped : {1U, 2U, 3U, 5U, 7U}) {
        for (const Kind kind : {Kind::f32, Kind::f16, Kind::bf16, Kind::f64}) {
            Buffer b = whole_numbers(kind, {shape.rows, shape.cols + 16});
            const std::size_t size = element_size(b.view.dtype);
            b.view.data = b.memory.data() + skipped * size;
            b.view.cols = shape.cols;
            Job job;
            job.side[0] = device::operand_of(b.view);
            const device::Record record = device::run_job(job);
            const Digest wanted = digest_of(b.view);
            EXPECT_EQ(record.slot.side[0].hash, wanted.hash) << skipped << " of " << size;
            EXPECT_EQ(record.slot.side[0].energy, wanted.energy);
            EXPECT_EQ(record.slot.side[0].argmax, wanted.argmax);
        }
    }
}

/// As large as a prompt's logits; on the stand-ins, which are slow, as large as is bearable.
TEST_F(OnDevice, LargeOperandsAreAsCore) {
    const bool bearable = Machine::get().is_stand_in();
    const Shape shapes_here[] = {bearable ? Shape{300, 4096} : Shape{8192, 8192},
                                 bearable ? Shape{20, 32000} : Shape{512, 128256},
                                 bearable ? Shape{40000, 16} : Shape{3000000, 16},
                                 bearable ? Shape{1, 150001} : Shape{1, 50000001}};
    for (const Shape shape : shapes_here) {
        const Digested data(shape, 7);
        DeviceRing ring(2);
        Job job = data.job();
        ring.attach(job);
        scratch_.attach(job);
        launch(job, stream_);
        wait(stream_);
        EXPECT_EQ(ring.drain([&](const Slot& slot) { data.expect_in(slot); }), 1);
        EXPECT_TRUE(scratch_.is_clean());
    }
}

TEST_F(OnDevice, TheSameBitsEveryTime) {
    const Digested data(many_blocks, 9);
    DeviceRing ring(64);
    Job job = data.job();
    ring.attach(job);
    scratch_.attach(job);
    for (int i = 0; i < 50; ++i)
        launch(job, stream_);
    wait(stream_);
    std::vector<float> first;
    double energy = 0;
    ring.drain([&](const Slot& slot) {
        const device::SideResult& side = slot.side[0];
        const std::vector<float> mixed(std::begin(side.mixed), std::end(side.mixed));
        if (first.empty()) {
            first = mixed;
            energy = side.energy;
        }
        EXPECT_EQ(mixed, first);
        EXPECT_EQ(side.energy, energy);
    });
}

}  // namespace
}  // namespace orch::gpu

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    if (::testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
    constexpr int skipped = 77;
    try {
        const orch::gpu::Machine& machine = orch::gpu::Machine::get();
        std::printf("%s%s, %d multiprocessors\n", machine.name().c_str(),
                    machine.is_stand_in() ? " (stand-in)" : "", machine.multiprocessors());
        return RUN_ALL_TESTS();
    } catch (const orch::gpu::NoDriver& why) {
        std::printf("skipped: %s\n", why.what());
        return skipped;
    } catch (const orch::gpu::CudaError& why) {
        std::printf("FAIL: %s\n", why.what());
        return 1;
    }
}
