#include <gtest/gtest.h>

#include "tests/device/run_job.hpp"

namespace orch::device {
namespace {

Operand operand(std::int64_t rows, std::int64_t cols, Type type = Type::bf16) {
    return {4096, rows, cols, cols, 1, type, false};
}

TEST(LaunchPlan, GivesSmallWorkToOneBlockAndNoMore) {
    Job job;
    job.side[0] = operand(1, 4096);
    job.side[1] = operand(1, 4096);
    EXPECT_EQ(plan_launch(job, multiprocessors).grid, 1U);
    job.side[0] = operand(1, 150'000, Type::f32);
    EXPECT_GT(plan_launch(job, multiprocessors).grid, 8U);
    job.side[0] = operand(4096, 4096);
    EXPECT_GE(plan_launch(job, multiprocessors).grid, 250U);
}

TEST(LaunchPlan, NeverNeedsMoreScratchThanItSays) {
    for (std::int64_t rows : {1, 2, 15, 16, 500, 70'000}) {
        for (std::int64_t cols : {1, 7, 64, 4096, 150'001}) {
            for (Type type : {Type::f32, Type::f64, Type::bf16, Type::i8}) {
                for (bool probing : {false, true}) {
                    for (int count : {1, 10, multiprocessors}) {
                        Job job;
                        job.side[0] = operand(rows, cols, type);
                        job.side[1] = operand(rows, cols, type);
                        job.probes_out = probing ? 4096 : 0;
                        const Launch launch = plan_launch(job, count);
                        EXPECT_LE(sizeof(LaunchScratch) +
                                      static_cast<std::size_t>(job.items) * sizeof(Partial),
                                  scratch_bytes(count));
                        EXPECT_TRUE(launch.grid == 1 ||
                                    launch.grid == static_cast<std::uint32_t>(job.items));
                    }
                }
            }
        }
    }
}

TEST(LaunchPlan, OfNothingIsOneBlock) {
    Job job;
    EXPECT_EQ(plan_launch(job, multiprocessors).grid, 1U);
    EXPECT_EQ(job.items, 0);
}

}  // namespace
}  // namespace orch::device
