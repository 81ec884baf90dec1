#include "preload/cuda/pointers.hpp"

#include <atomic>

namespace orch::cuda {
namespace {

// CUpointer_attribute.
constexpr int memory_type = 2;
constexpr int device_ordinal = 9;
constexpr int range_start = 11;
constexpr int range_size = 12;

/// 0: not asked yet.
constinit std::atomic<int> devices{0};

template <class Value>
bool ask(const Driver& driver, int attribute, std::uint64_t address, Value& out) noexcept {
    return driver.pointer_get_attribute(&out, attribute, address) == success;
}

}  // namespace

bool is_device_memory(const Driver& driver, std::uint64_t address) noexcept {
    constexpr unsigned on_device = 2;  // CU_MEMORYTYPE_DEVICE
    unsigned type = 0;
    return ask(driver, memory_type, address, type) && type == on_device;
}

int device_of_memory(const Driver& driver, std::uint64_t address) noexcept {
    int device = unknown_device;
    return ask(driver, device_ordinal, address, device) ? device : unknown_device;
}

bool several_devices(const Driver& driver) noexcept {
    int count = devices.load(std::memory_order_relaxed);
    if (count == 0 && driver.device_get_count != nullptr &&
        driver.device_get_count(&count) == success) {
        devices.store(count, std::memory_order_relaxed);
    }
    return count != 1;
}

bool memory_range(const Driver& driver, std::uint64_t address, MemoryRange& out) noexcept {
    return ask(driver, range_start, address, out.first) &&
           ask(driver, range_size, address, out.bytes);
}

}  // namespace orch::cuda
