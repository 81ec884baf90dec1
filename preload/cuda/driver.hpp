// The few functions of the CUDA driver that we call ourselves, found in the libcuda.so.1 that the
// engine has loaded. Nothing here loads it: a process without CUDA stays one.
#pragma once
#include <cstddef>
#include <cstdint>

namespace orch::cuda {

using Context = void*;
using Stream = void*;

// CUresult.
inline constexpr int success = 0;
inline constexpr int deinitialized = 4;
/// From here on an error means that the context is lost, and every later call fails.
inline constexpr int first_fatal_error = 700;
inline constexpr int last_fatal_error = 720;

// CUstream: the two default streams, by names that mean the same in every variant of the functions.
inline Stream legacy_stream() noexcept {
    return reinterpret_cast<Stream>(std::uintptr_t{1});
}
inline Stream per_thread_stream() noexcept {
    return reinterpret_cast<Stream>(std::uintptr_t{2});
}

/// In the variants of the functions for one default stream per thread, 0 means that one.
inline Stream per_thread(Stream stream) noexcept {
    return stream == nullptr ? per_thread_stream() : stream;
}

struct Driver {
    int (*ctx_get_current)(Context* context);
    int (*ctx_push_current)(Context context);
    int (*ctx_pop_current)(Context* context);
    int (*ctx_get_device)(int* device);
    int (*primary_ctx_get_state)(int device, unsigned* flags, int* active);
    int (*device_get_attribute)(int* value, int attribute, int device);
    int (*module_load_data)(void** module, const void* image);
    int (*module_get_function)(void** function, void* module, const char* name);
    int (*mem_alloc)(std::uint64_t* address, std::size_t size);
    int (*mem_host_register)(void* address, std::size_t size, unsigned flags);
    int (*mem_host_get_device_pointer)(std::uint64_t* device, void* host, unsigned flags);
    int (*memset_d8_async)(std::uint64_t address, unsigned char value, std::size_t size,
                           Stream stream);
    int (*stream_create)(Stream* stream, unsigned flags);
    int (*stream_synchronize)(Stream stream);
    int (*stream_get_ctx)(Stream stream, Context* context);
    int (*stream_get_capture_info)(Stream stream, int* status, std::uint64_t* id);
    int (*thread_exchange_capture_mode)(int* mode);
    int (*launch_kernel)(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                         unsigned by, unsigned bz, unsigned shared, Stream stream,
                         void** parameters, void** extra);
    int (*pointer_get_attribute)(void* data, int attribute, std::uint64_t address);
    int (*device_get_count)(int* count);  ///< may be null: then there may be several
};

/// Null where no driver is loaded, or one that lacks something.
const Driver* driver() noexcept;

/// While it lives, calls that a capture of another kind would forbid are allowed to this thread.
class RelaxedCapture {
  public:
    explicit RelaxedCapture(const Driver& driver) noexcept;
    ~RelaxedCapture();
    RelaxedCapture(const RelaxedCapture&) = delete;
    RelaxedCapture& operator=(const RelaxedCapture&) = delete;

  private:
    const Driver& driver_;
    int mode_;
};

/// While it lives, the context of a stream is this thread's: it may have none (cuBLAS was given a
/// handle of another thread), or that of another device (a copy).
class ContextOfStream {
  public:
    ContextOfStream(const Driver& driver, Stream stream) noexcept;
    ~ContextOfStream();
    ContextOfStream(const ContextOfStream&) = delete;
    ContextOfStream& operator=(const ContextOfStream&) = delete;

    /// Null: there is none.
    Context context() const noexcept { return context_; }

  private:
    const Driver& driver_;
    Context context_ = nullptr;
    bool pushed_ = false;
};

}  // namespace orch::cuda
