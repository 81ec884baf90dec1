// How a library with a CUDA runtime inside finds the driver: one dlsym of cuGetProcAddress, then
// everything through that. The real one is asked first, and what it returns is wrapped by its
// address: one name stands for several functions there, by version and flags.
#include "generated/hook_table.hpp"
#include "preload/cuda/context.hpp"
#include "preload/cuda/cublas_probe.hpp"
#include "preload/resolver.hpp"

namespace orch {
namespace {

using cublas::call_real;
using cuda::success;

void wrap(void** function) noexcept {
    if (function == nullptr || *function == nullptr) return;
    if (const void* stub = stub_for_address(ProbeId::cuda, *function); stub != nullptr)
        *function = const_cast<void*>(stub);
}

}  // namespace

namespace probe {

int cuGetProcAddress_v2(const Hook&, cuGetProcAddress_v2_fn real, const char* symbol, void** pfn,
                        int version, std::uint64_t flags, void* status) {
    const int error = call_real(real, symbol, pfn, version, flags, status);
    if (error == success) wrap(pfn);
    return error;
}

int cuGetProcAddress(const Hook&, cuGetProcAddress_fn real, const char* symbol, void** pfn,
                     int version, std::uint64_t flags) {
    const int error = call_real(real, symbol, pfn, version, flags);
    if (error == success) wrap(pfn);
    return error;
}

int cuCtxDestroy_v2(const Hook&, cuCtxDestroy_v2_fn real, void* context) {
    cuda::contexts().forget(context);
    return call_real(real, context);
}

int cuDevicePrimaryCtxReset_v2(const Hook&, cuDevicePrimaryCtxReset_v2_fn real, int device) {
    cuda::contexts().forget_device(device);
    return call_real(real, device);
}

// Ends the context if this was its last user. What is captured from then on starts anew.
int cuDevicePrimaryCtxRelease_v2(const Hook&, cuDevicePrimaryCtxRelease_v2_fn real, int device) {
    const int error = call_real(real, device);
    const cuda::Driver* driver = cuda::driver();
    unsigned flags = 0;
    int active = 1;
    if (driver != nullptr && driver->primary_ctx_get_state(device, &flags, &active) == success &&
        active == 0) {
        cuda::contexts().forget_device(device);
    }
    return error;
}

int cudaDeviceReset(const Hook&, cudaDeviceReset_fn real) {
    const cuda::Driver* driver = cuda::driver();
    int device = 0;
    if (driver != nullptr && driver->ctx_get_device(&device) == success)
        cuda::contexts().forget_device(device);
    return call_real(real);
}

}  // namespace probe
}  // namespace orch
