// The inner loop of the digest: a few rows of one tile of columns, compiled once per instruction
// set from digest_tile.inl. All variants add in the same order, so they agree to the last bit.
#pragma once
#include <cstdint>

#include "core/dtype.hpp"

namespace orch {

inline constexpr int tile_cols = 1024;  ///< 4 KiB of f32: tile, accumulator and hashes stay in L1
inline constexpr int tile_rows = 2;     ///< rows that share one load and store of the accumulator

struct TileRow {
    const void* data = nullptr;  ///< contiguous elements of the tile
    float sign = 1.0F;           ///< of this row in the mixed sketch
    // Results.
    double energy = 0;
    double sum = 0;
    std::uint64_t hash = 0;
    float min = 0;
    float max = 0;
    std::uint32_t absmax_bits = 0;  ///< >= 0x7f800000 if the tile holds a NaN or an infinity
};

struct TileJob {
    TileRow row[tile_rows];
    int rows = 0;
    int cols = 0;
    const std::uint32_t* feature_hashes = nullptr;  ///< of the tile's columns
    float* mixed = nullptr;                         ///< accumulator of tile_cols floats
};

struct TileKernels {
    const char* name;
    void (*f32)(TileJob&);       ///< all results
    void (*f32_sums)(TileJob&);  ///< all but min, max and hash
    void (*bf16)(TileJob&);
    void (*f16)(TileJob&);
    /// out[j] += sum over columns c = j mod 16 of sign(c) * data[c]
    void (*sketch)(const float* data, const std::uint32_t* feature_hashes, int cols, double* out);
    /// sums[c] += sign * data[c]; `sums` has room for whole vectors.
    void (*add_f32)(const void* data, float sign, int cols, float* sums);
    void (*add_bf16)(const void* data, float sign, int cols, float* sums);
    void (*add_f16)(const void* data, float sign, int cols, float* sums);
    /// out[q] += sum over columns c of data[c] * probes[q * stride + c], for q < count (4 or 16).
    /// Probes are padded to whole vectors.
    void (*project)(const float* data, const float* probes, std::int64_t stride, int count,
                    int cols, double* out);
};

/// The best variant for this CPU; chosen once, no lock.
const TileKernels& tile_kernels() noexcept;

}  // namespace orch
