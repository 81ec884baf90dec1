#include "preload/cuda/driver.hpp"

#include <dlfcn.h>

#include <atomic>

#include "preload/resolver.hpp"

namespace orch::cuda {
namespace {

constexpr int relaxed = 2;  // CU_STREAM_CAPTURE_MODE_RELAXED

constinit Driver found{};
constinit std::atomic<const Driver*> usable{nullptr};
constinit std::atomic<bool> looking{false};

template <class Function>
bool find(void* library, const char* name, Function& out) noexcept {
    out = reinterpret_cast<Function>(real_dlsym(library, name));
    return out != nullptr;
}

bool find_all(void* library) noexcept {
    Driver& d = found;
    return find(library, "cuCtxGetCurrent", d.ctx_get_current) &&
           find(library, "cuCtxGetDevice", d.ctx_get_device) &&
           find(library, "cuDevicePrimaryCtxGetState", d.primary_ctx_get_state) &&
           find(library, "cuDeviceGetAttribute", d.device_get_attribute) &&
           find(library, "cuModuleLoadData", d.module_load_data) &&
           find(library, "cuModuleGetFunction", d.module_get_function) &&
           find(library, "cuMemAlloc_v2", d.mem_alloc) &&
           find(library, "cuMemHostRegister_v2", d.mem_host_register) &&
           find(library, "cuMemHostGetDevicePointer_v2", d.mem_host_get_device_pointer) &&
           find(library, "cuMemsetD8Async", d.memset_d8_async) &&
           find(library, "cuStreamCreate", d.stream_create) &&
           find(library, "cuStreamSynchronize", d.stream_synchronize) &&
           find(library, "cuStreamGetCaptureInfo", d.stream_get_capture_info) &&
           find(library, "cuThreadExchangeStreamCaptureMode", d.thread_exchange_capture_mode) &&
           find(library, "cuLaunchKernel", d.launch_kernel) &&
           find(library, "cuPointerGetAttribute", d.pointer_get_attribute);
}

}  // namespace

const Driver* driver() noexcept {
    const Driver* known = usable.load(std::memory_order_acquire);
    if (known != nullptr) return known;
    // Opened by the engine or not at all. Our reference is never given back: neither is libcuda's.
    void* library = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return nullptr;
    bool free = false;
    if (!looking.compare_exchange_strong(free, true, std::memory_order_acquire)) return nullptr;
    if (find_all(library)) usable.store(&found, std::memory_order_release);
    looking.store(false, std::memory_order_release);
    return usable.load(std::memory_order_acquire);
}

RelaxedCapture::RelaxedCapture(const Driver& driver) noexcept : driver_(driver), mode_(relaxed) {
    driver_.thread_exchange_capture_mode(&mode_);
}

RelaxedCapture::~RelaxedCapture() {
    driver_.thread_exchange_capture_mode(&mode_);
}

}  // namespace orch::cuda
