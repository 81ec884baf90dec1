#include "preload/cuda/context.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "core/hash.hpp"
#include "core/slot_table.hpp"
#include "core/trace.hpp"
#include "device/fatbin.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/cuda/exclusive.hpp"
#include "preload/cuda/graphs.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

constexpr unsigned non_blocking = 1;               // CU_STREAM_NON_BLOCKING
constexpr unsigned portable_and_mapped = 1U | 2U;  // CU_MEMHOSTREGISTER_PORTABLE | _DEVICEMAP
constexpr std::uint32_t ring_slots = 1024;

constinit Contexts all;

bool is_fatal(int error) noexcept {
    return error == deinitialized || (error >= first_fatal_error && error <= last_fatal_error);
}

std::uint64_t key_of(Stream stream, const Capture* capture) noexcept {
    const std::uint64_t key = combine64(reinterpret_cast<std::uintptr_t>(stream),
                                        reinterpret_cast<std::uintptr_t>(capture));
    return key == 0 ? 1 : key;
}

}  // namespace

Contexts& contexts() noexcept {
    return all;
}

std::uint64_t DeviceMemory::take(const Driver& driver, Stream own_stream,
                                 std::size_t size) noexcept {
    size = (size + 255) & ~std::size_t{255};
    const Exclusive mine(busy_);
    if (!mine) return 0;
    std::uint64_t result = 0;
    if (size > left_ && used_ + size <= limit) {
        const RelaxedCapture relaxed(driver);
        const std::size_t chunk = size > chunk_size ? size : chunk_size;
        std::uint64_t fresh = 0;
        // The only wait there is: on our own stream, for our own zeros, a few times per process.
        if (driver.mem_alloc(&fresh, chunk) == success &&
            driver.memset_d8_async(fresh, 0, chunk, own_stream) == success &&
            driver.stream_synchronize(own_stream) == success) {
            next_ = fresh;
            left_ = chunk;
            used_ += chunk;
        }
    }
    if (size <= left_) {
        result = next_;
        next_ += size;
        left_ -= size;
    }
    return result;
}

bool DeviceContext::set_up(const Driver& driver, const Config& config) noexcept {
    const RelaxedCapture relaxed(driver);
    void* module = nullptr;
    const std::uint32_t slot_bytes = device::slot_bytes_for(
        static_cast<std::int32_t>(std::min(config.values, most_device_values)));
    const std::size_t bytes = device::ring_bytes(ring_slots, slot_bytes);
    // Memory of our own, that the driver pins: it stays when the context goes, and the drain thread
    // may be reading it in that moment.
    void* ring = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED) return false;
    if (driver.ctx_get_device(&device_) != success ||
        driver.module_load_data(&module, device::fatbin().data()) != success) {
        session::blind_spot("device", device::fatbin().empty()
                                          ? "this build has no GPU code: it was made without nvcc"
                                          : "the driver does not take the digest kernel");
        return false;
    }
    constexpr int multiprocessor_count = 16;  // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
    if (driver.module_get_function(&function_, module, "orch_digest") != success ||
        driver.device_get_attribute(&multiprocessors_, multiprocessor_count, device_) != success) {
        return false;
    }
    if (driver.stream_create(&own_stream_, non_blocking) != success ||
        driver.mem_host_register(ring, bytes, portable_and_mapped) != success ||
        driver.mem_host_get_device_pointer(&ring_address_, ring, 0) != success) {
        session::blind_spot("device", "no pinned memory to be had: nothing is digested");
        return false;
    }
    auto* header = static_cast<device::RingHeader*>(ring);
    header->slots = ring_slots;
    header->slot_bytes = slot_bytes;
    ring_.emplace(header);
    state_address_ = take_memory(driver, sizeof(device::RingState));
    if (!config.full.is_none()) {
        dumps_.set_up(driver, module, config.full_ring,
                      take_memory(driver, sizeof(device::RingState)));
    }
    return state_address_ != 0;
}

std::uint64_t DeviceContext::scratch_for(const Driver& driver, Stream stream,
                                         const Capture* capture) noexcept {
    Scratch* entry = claim_slot(scratch_, key_of(stream, capture));
    if (entry == nullptr) return 0;
    std::uint64_t known = entry->address.load(std::memory_order_acquire);
    if (known != 0) return known;
    const std::uint64_t fresh = take_memory(driver, device::scratch_bytes(multiprocessors_));
    // Two threads on one stream: the first one's is used, the other's is lost.
    return entry->address.compare_exchange_strong(known, fresh) ? fresh : known;
}

bool DeviceContext::launch(const Driver& driver, device::Job& job, Stream stream,
                           const Capture* capture) noexcept {
    job.ring = ring_address_;
    job.state = state_address_;
    job.scratch = scratch_for(driver, stream, capture);
    if (job.scratch == 0) return false;
    const device::Launch plan = device::plan_launch(job, multiprocessors_);
    void* parameters[] = {&job};
    const int error = driver.launch_kernel(function_, plan.grid, 1, 1, plan.block, 1, 1,
                                           plan.dynamic_shared_bytes, stream, parameters, nullptr);
    if (is_fatal(error)) {
        state_.store(unusable, std::memory_order_release);
        session::blind_spot("device", "the CUDA context is lost: nothing more is digested there");
    }
    return error == success;
}

DeviceContext* Contexts::of(Context handle, const Driver& driver, Trace& trace) noexcept {
    if (handle == nullptr) return nullptr;
    for (DeviceContext& context : contexts_) {
        Context known = context.handle_.load(std::memory_order_acquire);
        if (known == nullptr &&
            context.state_.load(std::memory_order_acquire) == DeviceContext::unused &&
            context.handle_.compare_exchange_strong(known, handle)) {
            set_up(context, driver, trace);
            return context.is_ready() ? &context : nullptr;
        }
        if (known != handle) continue;
        const bool settled = wait_until([&] {
            const int state = context.state_.load(std::memory_order_acquire);
            return state == DeviceContext::ready || state == DeviceContext::unusable;
        });
        return settled && context.is_ready() ? &context : nullptr;
    }
    session::blind_spot("device", "more CUDA contexts than orchtrace keeps: 64");
    return nullptr;
}

void Contexts::set_up(DeviceContext& context, const Driver& driver, Trace& trace) noexcept {
    const bool usable = context.set_up(driver, trace.config()) && start_drain(trace);
    context.had_ring_.store(usable, std::memory_order_release);
    context.state_.store(usable ? DeviceContext::ready : DeviceContext::unusable,
                         std::memory_order_release);
    if (usable) return;
    session::blind_spot("device",
                        "the driver refuses what the digest needs: nothing is digested in this "
                        "CUDA context");
}

void Contexts::forget(Context handle) noexcept {
    for (DeviceContext& context : contexts_) {
        Context known = handle;
        // A later context may get the same handle: it must find a free entry, not this one.
        if (!context.handle_.compare_exchange_strong(known, nullptr)) continue;
        context.state_.store(DeviceContext::unusable, std::memory_order_release);
        context_gone(context);
    }
}

void Contexts::forget_device(int device) noexcept {
    for (DeviceContext& context : contexts_) {
        const Context handle = context.handle_.load(std::memory_order_acquire);
        if (handle != nullptr && context.device_ == device) forget(handle);
    }
}

}  // namespace orch::cuda
