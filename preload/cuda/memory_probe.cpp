// Memory that goes. What was known of the weights in it goes too: another model at the same address
// begins anew, not as something that has changed. Where an engine hands out memory from a pool of
// its own nothing is seen of that, and other content counts as a change.
#include "generated/hook_table.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/cublas_probe.hpp"
#include "preload/cuda/pointers.hpp"

namespace orch {
namespace {

std::uint64_t address_of(const void* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}
std::uint64_t address_of(std::uint64_t pointer) noexcept {
    return pointer;
}

/// Before the memory goes, because afterwards it may be another thread's. What is forgotten when
/// the driver then refuses is digested once more, and found to be the same.
template <class Real, class Pointer, class... Rest>
int free_memory(Real real, Pointer pointer, Rest... rest) noexcept {
    const std::uint64_t address = address_of(pointer);
    if (!cuda::device_weights().may_lie_behind(address)) return real(pointer, rest...);
    const Guard guard;
    cuda::MemoryRange range;
    if (const cuda::Driver* driver = cuda::driver();
        driver != nullptr && cuda::memory_range(*driver, address, range)) {
        cuda::device_weights().forget(range.first, range.bytes);
    }
    return real(pointer, rest...);
}

}  // namespace

namespace probe {

int cudaFree(const Hook&, cudaFree_fn real, void* pointer) {
    return free_memory(real, pointer);
}

int cudaFreeAsync(const Hook&, cudaFreeAsync_fn real, void* pointer, void* stream) {
    return free_memory(real, pointer, stream);
}

int cudaFreeAsync_ptsz(const Hook&, cudaFreeAsync_ptsz_fn real, void* pointer, void* stream) {
    return free_memory(real, pointer, stream);
}

int cuMemFree_v2(const Hook&, cuMemFree_v2_fn real, std::uint64_t pointer) {
    return free_memory(real, pointer);
}

int cuMemFreeAsync(const Hook&, cuMemFreeAsync_fn real, std::uint64_t pointer, void* stream) {
    return free_memory(real, pointer, stream);
}

int cuMemFreeAsync_ptsz(const Hook&, cuMemFreeAsync_ptsz_fn real, std::uint64_t pointer,
                        void* stream) {
    return free_memory(real, pointer, stream);
}

int cuMemUnmap(const Hook&, cuMemUnmap_fn real, std::uint64_t pointer, std::size_t size) {
    // Here the call itself says how far it goes.
    cuda::device_weights().forget(pointer, size);
    return cublas::call_real(real, pointer, size);
}

}  // namespace probe
}  // namespace orch
