#include "core/digest_tile.inl"

namespace orch {
extern constinit const TileKernels tile_kernels_avx2;
constinit const TileKernels tile_kernels_avx2 = kernels("avx2");
}  // namespace orch
