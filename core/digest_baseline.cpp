#include "core/digest_tile.inl"

namespace orch {
extern constinit const TileKernels tile_kernels_baseline;
constinit const TileKernels tile_kernels_baseline = kernels("baseline");
}  // namespace orch
