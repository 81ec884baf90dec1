// Whole results through the second ring, on a device: byte for byte what lies in its memory.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "device/dump_reader.hpp"
#include "device/launch_plan.hpp"
#include "tests/gpu/cuda.hpp"

namespace orch::gpu {
namespace {

using device::DumpJob;
using device::DumpReader;
using device::Operand;
using device::Type;

class DumpOnDevice : public ::testing::Test {
  protected:
    static constexpr std::uint32_t units = 1024;

    DumpOnDevice()
        : bytes_(2U << 20), memory_(bytes_.size()), ring_(device::dump_ring_bytes(units)) {
        std::mt19937 random(3);
        for (char& byte : bytes_)
            byte = static_cast<char>(random());
        memory_.write(bytes_.data(), bytes_.size());
        header()->slots = units;
        header()->slot_bytes = device::dump_unit;
    }

    device::RingHeader* header() const { return static_cast<device::RingHeader*>(ring_.data()); }

    Operand operand(Type type, std::int64_t rows, std::int64_t cols, std::int64_t row_stride,
                    std::int64_t col_stride = 1) const {
        return {memory_.address(), rows, cols, row_stride, col_stride, type, false};
    }

    std::string expected(const Operand& o) const {
        std::string all;
        const auto size = static_cast<std::size_t>(device::size_of(o.type));
        for (std::int64_t r = 0; r < o.rows; ++r) {
            for (std::int64_t c = 0; c < o.cols; ++c) {
                const auto at = static_cast<std::size_t>(r * o.row_stride + c * o.col_stride);
                all.append(bytes_.data() + at * size, size);
            }
        }
        return all;
    }

    void launch_dump(const Operand& tensor, std::uint32_t op) {
        DumpJob job{tensor, ring_.address(), state_.address(), 0, op};
        void* parameters[] = {&job};
        check(cuda().launch(Machine::get().function("orch_dump"), 1, 1, 1, device::block_threads, 1,
                            1, 0, stream_.get(), parameters, nullptr),
              "cuLaunchKernel");
    }

    std::vector<char> bytes_;
    DeviceMemory memory_;
    PinnedMemory ring_;
    DeviceMemory state_{sizeof(device::RingState)};
    Stream stream_ = make_stream();
};

TEST_F(DumpOnDevice, IsTheTensorWhateverItsTypeAndLayout) {
    DumpReader reader(header());
    std::uint32_t op = 0;
    for (const Type type : {Type::f32, Type::f64, Type::f16, Type::bf16, Type::e4m3, Type::i8}) {
        for (const Operand& o :
             {operand(type, 1, 1, 1), operand(type, 3, 320, 320), operand(type, 7, 33, 64),
              operand(type, 7, 33, 1, 7), operand(type, 130, 1029, 1029)}) {
            launch_dump(o, ++op);
            wait(stream_);
            int count = 0;
            reader.take_all([&](const DumpReader::Result& result) {
                ++count;
                EXPECT_EQ(result.header.op, op);
                std::string found;
                for (const auto& part : result.parts)
                    found.append(part.data(), part.size());
                EXPECT_TRUE(found == expected(o)) << o.rows << " x " << o.cols;
            });
            EXPECT_EQ(count, 1);
        }
    }
    EXPECT_EQ(reader.dropped(), 0U);
}

TEST_F(DumpOnDevice, WithoutRoomIsCounted) {
    DumpReader reader(header());
    const Operand o = operand(Type::f32, 130, 1029, 1029);  // 131 units
    for (std::uint32_t i = 0; i < 10; ++i)
        launch_dump(o, i);
    wait(stream_);
    int count = 0;
    reader.take_all([&](const DumpReader::Result&) { ++count; });
    EXPECT_EQ(count, 7);
    EXPECT_EQ(reader.dropped(), 3U);
}

}  // namespace
}  // namespace orch::gpu
