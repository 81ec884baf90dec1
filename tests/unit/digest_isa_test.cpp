#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "core/digest_tile.hpp"
#include "core/hash.hpp"

namespace orch {

extern constinit const TileKernels tile_kernels_baseline;
#if defined(__x86_64__)
extern constinit const TileKernels tile_kernels_avx2;
extern constinit const TileKernels tile_kernels_avx512;
#endif

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct TileResult {
    TileJob job;
    alignas(64) float mixed[tile_cols];
    double sketch[16];
    double projected[16];
    alignas(64) float added[3][tile_cols];
};

std::vector<const TileKernels*> variants_of_this_cpu() {
    std::vector<const TileKernels*> all{&tile_kernels_baseline};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) all.push_back(&tile_kernels_avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        all.push_back(&tile_kernels_avx512);
    }
#endif
    return all;
}

template <class T>
bool same_bits(const T& a, const T& b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
}

template <class T>
bool same_or_nan(const T& a, const T& b) {
    return same_bits(a, b) || (std::isnan(a) && std::isnan(b));
}

TEST(TileKernels, OfEveryInstructionSetAgreeToTheLastBit) {
    const std::vector<const TileKernels*> variants = variants_of_this_cpu();
    std::string names;
    for (const TileKernels* v : variants)
        names += std::string(" ") + v->name;
    std::cout << "compared on this CPU:" << names << '\n';
    if (variants.size() == 1) GTEST_SKIP() << "this CPU has the baseline only";

    using Kernel = void (*TileKernels::*)(TileJob&);
    constexpr Kernel kernels[] = {&TileKernels::f32, &TileKernels::f32_sums, &TileKernels::bf16,
                                  &TileKernels::f16};
    std::mt19937 random(20);
    std::normal_distribution<float> normal;
    std::vector<std::uint32_t> hashes(tile_cols);
    for (std::uint32_t i = 0; i < tile_cols; ++i)
        hashes[i] = feature_hash(i);
    std::vector<float> probes(16 * tile_cols);  // of a row's stride, then the next row's
    for (float& p : probes)
        p = normal(random);
    for (int round = 0; round < 400; ++round) {
        const int cols = round < 40 ? round + 1 : 1 + static_cast<int>(random() % tile_cols);
        const bool patterns = round % 2 != 0;  // any bits, or values as they occur
        std::vector<float> data(2 * tile_cols);
        for (float& v : data) {
            const auto bits = static_cast<std::uint32_t>(random());
            v = patterns ? std::bit_cast<float>(bits) : normal(random);
            if (!patterns && bits % 200 == 0) v = not_a_number;
        }
        for (Kernel kernel : kernels) {
            const std::size_t size =
                kernel == &TileKernels::f32 || kernel == &TileKernels::f32_sums ? 4 : 2;
            std::vector<TileResult> results(variants.size());
            for (std::size_t v = 0; v < variants.size(); ++v) {
                TileResult& result = results[v];
                for (int i = 0; i < tile_cols; ++i)
                    result.mixed[i] = static_cast<float>(i);
                std::fill_n(result.sketch, 16, 0.5);
                std::fill_n(result.projected, 16, 0.25);
                for (auto& sums : result.added)
                    std::fill_n(sums, tile_cols, 1.0F);
                result.job.rows = 1 + round % tile_rows;
                result.job.cols = cols;
                result.job.feature_hashes = hashes.data();
                result.job.mixed = result.mixed;
                for (int r = 0; r < tile_rows; ++r) {
                    // Copies that end with the data: a load past the end is a load past the heap.
                    result.job.row[r].data =
                        reinterpret_cast<const char*>(data.data()) + data.size() * 4 -
                        static_cast<std::size_t>(r + 1) * static_cast<std::size_t>(cols) * size;
                    result.job.row[r].sign = r == 0 ? 1.0F : -1.0F;
                }
                (variants[v]->*kernel)(result.job);
                variants[v]->sketch(data.data() + data.size() - static_cast<std::size_t>(cols),
                                    hashes.data(), cols, result.sketch);
                const void* last = result.job.row[0].data;
                if (size == 4) {
                    variants[v]->add_f32(last, -1.0F, cols, result.added[0]);
                } else {
                    variants[v]->add_bf16(last, -1.0F, cols, result.added[1]);
                    variants[v]->add_f16(last, -1.0F, cols, result.added[2]);
                }
                const int stride = (cols + 15) / 16 * 16;
                variants[v]->project(data.data() + data.size() - static_cast<std::size_t>(cols),
                                     probes.data(), stride, round % 3 == 0 ? 16 : 4, cols,
                                     result.projected);
            }
            for (std::size_t v = 1; v < variants.size(); ++v) {
                SCOPED_TRACE(std::string(variants[v]->name) + ", columns " + std::to_string(cols));
                const TileResult& a = results[0];
                const TileResult& b = results[v];
                for (int i = 0; i < tile_cols; ++i) {
                    // Sums of opposite infinities are NaN; its sign and payload mean nothing.
                    ASSERT_TRUE(same_or_nan(a.mixed[i], b.mixed[i])) << i;
                }
                for (int i = 0; i < 16; ++i) {
                    ASSERT_TRUE(same_or_nan(a.sketch[i], b.sketch[i])) << i;
                    ASSERT_TRUE(same_or_nan(a.projected[i], b.projected[i])) << i;
                }
                for (int i = 0; i < 3 * tile_cols; ++i) {
                    const int type = i / tile_cols;
                    const int c = i % tile_cols;
                    ASSERT_TRUE(same_or_nan(a.added[type][c], b.added[type][c])) << i;
                }
                for (int r = 0; r < a.job.rows; ++r) {
                    const TileRow& x = a.job.row[r];
                    const TileRow& y = b.job.row[r];
                    EXPECT_TRUE(same_bits(x.energy, y.energy) || std::isnan(x.energy));
                    EXPECT_TRUE(same_bits(x.sum, y.sum) ||
                                (std::isnan(x.sum) && std::isnan(y.sum)));
                    EXPECT_TRUE(same_bits(x.min, y.min));
                    EXPECT_TRUE(same_bits(x.max, y.max));
                    EXPECT_EQ(x.hash, y.hash);
                    EXPECT_EQ(x.absmax_bits, y.absmax_bits);
                }
            }
        }
    }
}

TEST(TileKernels, OfThisCpuAreTheBestThatItHas) {
    EXPECT_STREQ(digest_isa(), variants_of_this_cpu().back()->name);
}

}  // namespace
}  // namespace orch
