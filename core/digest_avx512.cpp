#include "core/digest_tile.inl"

namespace orch {
extern constinit const TileKernels tile_kernels_avx512;
constinit const TileKernels tile_kernels_avx512 = kernels("avx512");
}  // namespace orch
