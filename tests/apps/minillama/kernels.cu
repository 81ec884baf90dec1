// The GPU's build of minillama's kernels.
#include "kernels.hpp"

namespace minillama {

template <class Kernel>
__device__ void run(const Kernel& kernel) {
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < kernel.count(); i += step) {
        kernel(i);
    }
}

}  // namespace minillama

#define MINI_ENTRY(Kernel)                                                   \
    extern "C" __global__ void mini_##Kernel(const minillama::Kernel work) { \
        minillama::run(work);                                                \
    }
MINI_KERNELS(MINI_ENTRY)
