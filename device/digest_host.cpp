// liborch_device_host.so: the work of the fatbin's kernels, on host memory.
#include "device/digest_host.hpp"

extern "C" __attribute__((visibility("default"))) void orch_digest_host(
    unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, void** parameters) {
    using namespace orch::device;
    if (block_x * block_y * block_z != block_threads) return;
    const auto count = static_cast<int>(grid_x * grid_y * grid_z);
    const Job& job = *static_cast<const Job*>(parameters[0]);
    for (int index = 0; index < count; ++index)
        run_block(job, index, count);
}

extern "C" __attribute__((visibility("default"))) void orch_dump_host(
    unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, void** parameters) {
    using namespace orch::device;
    if (grid_x * grid_y * grid_z != 1 || block_x * block_y * block_z != block_threads) return;
    run_dump(*static_cast<const DumpJob*>(parameters[0]));
}
