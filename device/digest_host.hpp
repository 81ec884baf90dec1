// The kernels' text, compiled for the host: for tests, and for a stand-in for CUDA.
#pragma once
#include <memory>

#include "device/digest_kernel.hpp"
#include "device/dump_kernel.hpp"

namespace orch::device {

/// Runs one block of a launch. In which order the blocks run makes no difference.
inline void run_block(const Job& job, int index, int count) {
    using HostBlock = Block<State, Shared>;
    const auto memory = std::make_unique<HostBlock::Memory>();
    HostBlock block(*memory, index, count);
    DigestKernel<HostBlock>(block, job).run();
}

/// A whole launch: it has one block.
inline void run_dump(const DumpJob& job) {
    using HostBlock = Block<DumpState, DumpShared>;
    const auto memory = std::make_unique<HostBlock::Memory>();
    HostBlock block(*memory, 0, 1);
    DumpKernel<HostBlock>(block, job).run();
}

}  // namespace orch::device
