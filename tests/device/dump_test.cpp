#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "device/digest_host.hpp"
#include "device/dump_reader.hpp"

namespace orch::device {
namespace {

class DumpRing {
  public:
    explicit DumpRing(std::uint32_t units)
        : memory_(dump_ring_bytes(units) / sizeof(std::uint64_t) + 2) {
        header()->slots = units;
        header()->slot_bytes = dump_unit;
    }
    /// Aligned to 16 bytes, as pinned pages are and more.
    RingHeader* header() {
        const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
        return reinterpret_cast<RingHeader*>((at + 15) / 16 * 16);
    }
    RingState& state() { return state_; }
    void attach(DumpJob& job) {
        job.ring = reinterpret_cast<std::uint64_t>(header());
        job.state = reinterpret_cast<std::uint64_t>(&state_);
    }

  private:
    std::vector<std::uint64_t> memory_;
    RingState state_{};
};

struct Copy {
    std::uint32_t op;
    std::uint64_t run;
    std::string bytes;
};

std::vector<Copy> read_all(DumpReader& reader) {
    std::vector<Copy> all;
    reader.take_all([&](const DumpReader::Result& r) {
        Copy copy{r.header.op, r.header.run, {}};
        for (const auto& part : r.parts)
            copy.bytes.append(part.data(), part.size());
        all.push_back(std::move(copy));
    });
    return all;
}

/// Memory of an engine, of random bytes, and operands in it.
class EngineMemory {
  public:
    explicit EngineMemory(std::size_t size) : bytes_(size) {
        std::mt19937 random(7);
        for (char& byte : bytes_)
            byte = static_cast<char>(random());
    }
    Operand operand(Type type, std::int64_t rows, std::int64_t cols, std::int64_t row_stride,
                    std::int64_t col_stride = 1, std::int64_t first = 0) {
        Operand o{reinterpret_cast<std::uint64_t>(bytes_.data()),
                  rows,
                  cols,
                  row_stride,
                  col_stride,
                  type,
                  false};
        o.data += static_cast<std::uint64_t>(first * size_of(type));
        return o;
    }
    /// Row after row, by the definition.
    static std::string expected(const Operand& o) {
        std::string all;
        const std::int64_t size = size_of(o.type);
        for (std::int64_t r = 0; r < o.rows; ++r) {
            for (std::int64_t c = 0; c < o.cols; ++c) {
                const auto* from = reinterpret_cast<const char*>(o.data) +
                                   (r * o.row_stride + c * o.col_stride) * size;
                all.append(from, static_cast<std::size_t>(size));
            }
        }
        return all;
    }

  private:
    std::vector<char> bytes_;
};

constexpr Type every_type[] = {Type::f32,  Type::f64,  Type::f16, Type::bf16,
                               Type::e4m3, Type::e5m2, Type::i8,  Type::i32};

TEST(DeviceDump, IsTheTensorRowAfterRowWhateverItsTypeAndLayout) {
    EngineMemory memory(8U << 20);
    for (const Type type : every_type) {
        for (const Operand& o :
             {memory.operand(type, 1, 1, 1), memory.operand(type, 1, 17, 17),
              memory.operand(type, 3, 320, 320), memory.operand(type, 3, 320, 320, 1, 1),
              memory.operand(type, 7, 33, 64), memory.operand(type, 7, 33, 1, 7),
              memory.operand(type, 5, 64, 64, 1, 3), memory.operand(type, 130, 1029, 1029)}) {
            DumpRing ring(512);
            DumpReader reader(ring.header());
            DumpJob job{o, 0, 0, 0, 42};
            ring.attach(job);
            run_dump(job);
            const std::vector<Copy> copies = read_all(reader);
            ASSERT_EQ(copies.size(), 1U);
            EXPECT_EQ(copies[0].op, 42U);
            EXPECT_TRUE(copies[0].bytes == EngineMemory::expected(o))
                << static_cast<int>(type) << ": " << o.rows << " x " << o.cols;
        }
    }
}

TEST(DeviceDump, FollowsAListOfPointers) {
    EngineMemory memory(1 << 16);
    const Operand o = memory.operand(Type::f16, 4, 20, 20, 1, 8);
    const std::uint64_t list[] = {o.data, 0};
    DumpRing ring(8);
    DumpReader reader(ring.header());
    DumpJob job{o, 0, 0, 0, 1};
    ring.attach(job);
    job.tensor.indirect = true;
    for (const std::uint64_t& entry : list) {
        job.tensor.data = reinterpret_cast<std::uint64_t>(&entry);
        run_dump(job);
    }
    const std::vector<Copy> copies = read_all(reader);
    ASSERT_EQ(copies.size(), 2U);
    EXPECT_TRUE(copies[0].bytes == EngineMemory::expected(o));
    EXPECT_EQ(copies[1].bytes, "") << "there is nothing at a null pointer";
}

TEST(DeviceDump, HasTheRunThatTheDigestBehindItWillHave) {
    EngineMemory memory(1 << 12);
    DumpRing ring(8);
    DumpReader reader(ring.header());
    std::uint64_t runs = 0;
    DumpJob job{memory.operand(Type::f32, 1, 4, 4), 0, 0, reinterpret_cast<std::uint64_t>(&runs),
                1};
    ring.attach(job);
    for (; runs < 3; ++runs)
        run_dump(job);
    std::vector<std::uint64_t> found;
    for (const Copy& copy : read_all(reader))
        found.push_back(copy.run);
    EXPECT_EQ(found, (std::vector<std::uint64_t>{0, 1, 2}));
}

TEST(DeviceDump, GoesRoundTheRing) {
    EngineMemory memory(1 << 16);
    DumpRing ring(8);
    DumpReader reader(ring.header());
    std::uint32_t op = 0;
    for (int lap = 0; lap < 40; ++lap) {
        // One to six units: every place of the ring is a beginning and a middle once.
        const std::int64_t count = 500 + 1024 * (lap % 6);
        const Operand o = memory.operand(Type::f32, 1, count, count, 1, lap);
        DumpJob job{o, 0, 0, 0, ++op};
        ring.attach(job);
        run_dump(job);
        const std::vector<Copy> copies = read_all(reader);
        ASSERT_EQ(copies.size(), 1U) << lap;
        EXPECT_EQ(copies[0].op, op);
        EXPECT_TRUE(copies[0].bytes == EngineMemory::expected(o)) << lap;
    }
    EXPECT_EQ(reader.dropped(), 0U);
}

TEST(DeviceDump, GoesOnWhereTicketsWrap) {
    EngineMemory memory(1 << 16);
    DumpRing ring(8);
    constexpr std::uint32_t before_the_end = 0xfffffffdU;
    ring.state().head = ring.state().seen_tail = ring.header()->tail = before_the_end;
    DumpJob job{memory.operand(Type::f32, 1, 1500, 1500), 0, 0, 0, 1};
    ring.attach(job);
    for (int i = 0; i < 5; ++i)
        run_dump(job);
    EXPECT_EQ(ring.header()->dropped, 1U) << "two units each, of eight";
    EXPECT_EQ(ring.state().head, 5U);
}

TEST(DeviceDump, ThatFindsNoRoomIsDroppedWholeAndCounted) {
    EngineMemory memory(1 << 17);
    DumpRing ring(8);
    DumpReader reader(ring.header());
    const auto dump = [&](std::uint32_t op, std::int64_t floats) {
        DumpJob job{memory.operand(Type::f32, 1, floats, floats), 0, 0, 0, op};
        ring.attach(job);
        run_dump(job);
    };
    dump(1, 8 * 1024);               // with its header it needs a unit more than there are
    dump(1, std::int64_t{1} << 42);  // as a number of 32 bits that would be one unit
    dump(2, 5 * 1024);
    dump(3, 2 * 1024);
    dump(4, 1000);
    std::vector<std::uint32_t> ops;
    for (const Copy& copy : read_all(reader))
        ops.push_back(copy.op);
    EXPECT_EQ(ops, (std::vector<std::uint32_t>{2, 4}));
    EXPECT_EQ(reader.dropped(), 3U);
    dump(5, 7 * 1024);
    EXPECT_EQ(read_all(reader).size(), 1U) << "there is room again";
    EXPECT_EQ(reader.dropped(), 3U);
}

TEST(DeviceDump, IsReadThoughOneBeforeItIsStillBeingCopied) {
    EngineMemory memory(1 << 16);
    DumpRing ring(8);
    DumpReader reader(ring.header());
    DumpJob job{memory.operand(Type::f32, 1, 1500, 1500), 0, 0, 0, 1};
    ring.attach(job);
    ring.state().slots = 8;
    std::uint32_t slow = 0;  // a block that took its tickets, and no more yet
    ASSERT_TRUE(take_ticket(&ring.state(), ring.header(), 8, slow, 3));
    run_dump(job);
    ASSERT_EQ(read_all(reader).size(), 1U);
    EXPECT_TRUE(read_all(reader).empty()) << "once";
    EXPECT_EQ(ring.header()->tail, 0U) << "nothing is given back before the slow one";
    auto* sequences = reinterpret_cast<std::uint32_t*>(ring.header() + 1);
    auto* header =
        reinterpret_cast<DumpHeader*>(reinterpret_cast<char*>(ring.header()) + first_dump_unit(8));
    *header = {9, 3, 0, 100, 0, {}};
    sequences[0] = slow + 1;
    const std::vector<Copy> copies = read_all(reader);
    ASSERT_EQ(copies.size(), 1U);
    EXPECT_EQ(copies[0].op, 9U);
    EXPECT_EQ(ring.header()->tail, 5U);
}

TEST(DeviceDump, IsReadWhileSeveralStreamsWrite) {
    constexpr int streams = 3;
    constexpr int launches = 200;
    EngineMemory memory(1 << 18);
    DumpRing ring(32);
    std::vector<DumpJob> jobs;
    std::vector<std::string> expected;
    for (int i = 0; i < streams; ++i) {
        const std::int64_t count = 700 + 2100 * i;
        jobs.push_back({memory.operand(Type::f32, 2, count, count + i, 1, 100 * i), 0, 0, 0,
                        static_cast<std::uint32_t>(i)});
        ring.attach(jobs.back());
        expected.push_back(EngineMemory::expected(jobs.back().tensor));
    }
    std::atomic<int> running{streams};
    std::vector<std::thread> threads;
    for (const DumpJob& job : jobs) {
        threads.emplace_back([&running, &job] {
            for (int i = 0; i < launches; ++i)
                run_dump(job);
            running.fetch_sub(1);
        });
    }
    DumpReader reader(ring.header());
    std::uint64_t read = 0;
    std::uint64_t wrong = 0;
    for (bool last = false;; last = running.load() == 0) {
        const std::vector<Copy> copies = read_all(reader);
        for (const Copy& copy : copies)
            wrong += copy.op >= streams || copy.bytes != expected[copy.op] ? 1 : 0;
        read += copies.size();
        if (last && copies.empty()) break;
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_EQ(read + reader.dropped(), std::uint64_t{streams} * launches);
    EXPECT_GT(read, 0U);
}

}  // namespace
}  // namespace orch::device
