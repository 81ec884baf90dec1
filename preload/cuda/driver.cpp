#include "preload/cuda/driver.hpp"

#include <dlfcn.h>

#include <atomic>

#include "preload/cuda/exclusive.hpp"
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
    find(library, "cuDeviceGetCount", d.device_get_count);
    return find(library, "cuCtxGetCurrent", d.ctx_get_current) &&
           find(library, "cuCtxPushCurrent_v2", d.ctx_push_current) &&
           find(library, "cuCtxPopCurrent_v2", d.ctx_pop_current) &&
           find(library, "cuStreamGetCtx", d.stream_get_ctx) &&
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
    const Exclusive mine(looking);
    if (!mine) return nullptr;
    if (usable.load(std::memory_order_acquire) == nullptr && find_all(library))
        usable.store(&found, std::memory_order_release);
    return usable.load(std::memory_order_acquire);
}

RelaxedCapture::RelaxedCapture(const Driver& driver) noexcept : driver_(driver), mode_(relaxed) {
    driver_.thread_exchange_capture_mode(&mode_);
}

RelaxedCapture::~RelaxedCapture() {
    driver_.thread_exchange_capture_mode(&mode_);
}

ContextOfStream::ContextOfStream(const Driver& driver, Stream stream) noexcept : driver_(driver) {
    driver.ctx_get_current(&context_);
    // A default stream is the current context's, whichever that is.
    if (stream == nullptr || stream == legacy_stream() || stream == per_thread_stream()) return;
    Context own = nullptr;
    if (driver.stream_get_ctx(stream, &own) != success || own == nullptr || own == context_) return;
    pushed_ = driver.ctx_push_current(own) == success;
    context_ = pushed_ ? own : nullptr;
}

ContextOfStream::~ContextOfStream() {
    Context ignored = nullptr;
    if (pushed_) driver_.ctx_pop_current(&ignored);
}

}  // namespace orch::cuda
