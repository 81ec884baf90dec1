// The GPU's build of the kernels. They are loaded through the driver, as a fatbin, and use
// nothing of CUDA's runtime.
#include "device/digest_kernel.hpp"
#include "device/dump_kernel.hpp"

extern "C" __global__ void __launch_bounds__(orch::device::block_threads, 2)
    orch_digest(const __grid_constant__ orch::device::Job job) {
    using namespace orch::device;
    __shared__ Shared shared;
    Block<State, Shared> block(shared);
    DigestKernel<Block<State, Shared>>(block, job).run();
}

extern "C" __global__ void __launch_bounds__(orch::device::block_threads)
    orch_dump(const __grid_constant__ orch::device::DumpJob job) {
    using namespace orch::device;
    __shared__ DumpShared shared;
    Block<DumpState, DumpShared> block(shared);
    DumpKernel<Block<DumpState, DumpShared>>(block, job).run();
}
