// What the driver knows of an address. It is asked for what a call does not say itself.
#pragma once
#include <cstdint>

#include "preload/cuda/driver.hpp"

namespace orch::cuda {

/// False for memory that the driver does not know: it is the host's.
bool is_device_memory(const Driver& driver, std::uint64_t address) noexcept;

/// Ordinals that no GPU has.
inline constexpr int the_only_device = -1;
inline constexpr int unknown_device = -2;

/// Ordinal of the GPU that the memory is on.
int device_of_memory(const Driver& driver, std::uint64_t address) noexcept;

/// With one GPU nothing need be asked about where memory lies. True also where nobody knows.
bool several_devices(const Driver& driver) noexcept;

/// An allocation, of which the address is part.
struct MemoryRange {
    std::uint64_t first = 0;
    std::uint64_t bytes = 0;
};
bool memory_range(const Driver& driver, std::uint64_t address, MemoryRange& out) noexcept;

}  // namespace orch::cuda
