// Copies from the device to the host: how llama.cpp's logits leave it. What is copied is digested
// where it lies, on the copy's own stream: the host's end may be filled long after the call
// returns.
#include "generated/hook_table.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/cublas_probe.hpp"

namespace orch {
namespace {

using cublas::call_real;
using cuda::success;

constexpr int device_to_host = 2;  // cudaMemcpyDeviceToHost
constexpr int by_address = 4;      // cudaMemcpyDefault: the addresses say what kind of copy it is

bool is_device_memory(const void* address) noexcept {
    constexpr int memory_type = 2;     // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
    constexpr unsigned on_device = 2;  // CU_MEMORYTYPE_DEVICE
    const cuda::Driver* driver = cuda::driver();
    unsigned type = 0;
    return driver != nullptr &&
           driver->pointer_get_attribute(&type, memory_type,
                                         reinterpret_cast<std::uintptr_t>(address)) == success &&
           type == on_device;
}

/// The runtime's copies. `kind` may be wrong: then the driver says where the source is.
template <class Real, class... Rest>
int runtime_copy(const Hook& hook, std::string_view op, cuda::Stream stream, Real real, void* dst,
                 const void* src, std::size_t count, int kind, Rest... rest) noexcept {
    const int error = call_real(real, dst, src, count, kind, rest...);
    const bool to_host = kind == device_to_host || (kind == by_address && !is_device_memory(dst));
    if (error == success && to_host && is_device_memory(src))
        cuda::record_copy(hook, op, stream, reinterpret_cast<std::uintptr_t>(src), count);
    return error;
}

template <class Real, class... Rest>
int driver_copy(const Hook& hook, std::string_view op, cuda::Stream stream, Real real, void* dst,
                std::uint64_t src, std::size_t count, Rest... rest) noexcept {
    const int error = call_real(real, dst, src, count, rest...);
    if (error == success) cuda::record_copy(hook, op, stream, src, count);
    return error;
}

/// In the variants of the functions for one default stream per thread, 0 means that one.
cuda::Stream per_thread(void* stream) noexcept {
    return stream == nullptr ? cuda::per_thread_stream() : stream;
}

}  // namespace

namespace probe {

int cudaMemcpy(const Hook& hook, cudaMemcpy_fn real, void* dst, const void* src, std::size_t count,
               int kind) {
    return runtime_copy(hook, "cudaMemcpy", nullptr, real, dst, src, count, kind);
}

int cudaMemcpyAsync(const Hook& hook, cudaMemcpyAsync_fn real, void* dst, const void* src,
                    std::size_t count, int kind, void* stream) {
    return runtime_copy(hook, "cudaMemcpyAsync", stream, real, dst, src, count, kind, stream);
}

int cudaMemcpy_ptds(const Hook& hook, cudaMemcpy_ptds_fn real, void* dst, const void* src,
                    std::size_t count, int kind) {
    return runtime_copy(hook, "cudaMemcpy_ptds", cuda::per_thread_stream(), real, dst, src, count,
                        kind);
}

int cudaMemcpyAsync_ptsz(const Hook& hook, cudaMemcpyAsync_ptsz_fn real, void* dst, const void* src,
                         std::size_t count, int kind, void* stream) {
    return runtime_copy(hook, "cudaMemcpyAsync_ptsz", per_thread(stream), real, dst, src, count,
                        kind, stream);
}

int cuMemcpyDtoH_v2(const Hook& hook, cuMemcpyDtoH_v2_fn real, void* dst, std::uint64_t src,
                    std::size_t count) {
    return driver_copy(hook, "cuMemcpyDtoH_v2", nullptr, real, dst, src, count);
}

int cuMemcpyDtoHAsync_v2(const Hook& hook, cuMemcpyDtoHAsync_v2_fn real, void* dst,
                         std::uint64_t src, std::size_t count, void* stream) {
    return driver_copy(hook, "cuMemcpyDtoHAsync_v2", stream, real, dst, src, count, stream);
}

int cuMemcpyDtoH_v2_ptds(const Hook& hook, cuMemcpyDtoH_v2_ptds_fn real, void* dst,
                         std::uint64_t src, std::size_t count) {
    return driver_copy(hook, "cuMemcpyDtoH_v2_ptds", cuda::per_thread_stream(), real, dst, src,
                       count);
}

int cuMemcpyDtoHAsync_v2_ptsz(const Hook& hook, cuMemcpyDtoHAsync_v2_ptsz_fn real, void* dst,
                              std::uint64_t src, std::size_t count, void* stream) {
    return driver_copy(hook, "cuMemcpyDtoHAsync_v2_ptsz", per_thread(stream), real, dst, src, count,
                       stream);
}

}  // namespace probe
}  // namespace orch
