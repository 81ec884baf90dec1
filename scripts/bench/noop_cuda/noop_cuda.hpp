// CUDA that computes nothing. What the benchmark measures has a twin, plain_NAME, that nobody
// hooks.
#pragma once
#include <cstddef>
#include <cstdint>

#define NOOP_TWIN(name) __attribute__((alias(#name)))

namespace noop {

/// Addresses from here on, up to the end, are the device's.
inline constexpr std::uint64_t device_memory = std::uint64_t{1} << 36;
inline constexpr std::uint64_t device_memory_end = std::uint64_t{1} << 40;

constexpr bool is_device_memory(std::uint64_t address) {
    return address >= device_memory && address < device_memory_end;
}

}  // namespace noop

extern "C" {

extern int noop_captures;
extern long noop_launches;  ///< of kernels

int cudaMemcpy(void* to, const void* from, std::size_t count, int kind);
int plain_cudaMemcpy(void* to, const void* from, std::size_t count, int kind);
int cudaMemcpyAsync(void* to, const void* from, std::size_t count, int kind, void* stream);
int plain_cudaMemcpyAsync(void* to, const void* from, std::size_t count, int kind, void* stream);
int cudaStreamBeginCapture(void* stream, int mode);
int cudaStreamEndCapture(void* stream, void** graph);
int cudaGraphInstantiateWithFlags(void** exec, void* graph, std::uint64_t flags);
int cudaGraphLaunch(void* exec, void* stream);
int plain_cudaGraphLaunch(void* exec, void* stream);

int cublasGetStream_v2(void* handle, void** stream);
int cublasGetPointerMode_v2(void* handle, int* mode);
int cublasSgemm_v2(void* handle, int transa, int transb, int m, int n, int k, const void* alpha,
                   const void* a, int lda, const void* b, int ldb, const void* beta, void* c,
                   int ldc);
int plain_cublasSgemm_v2(void* handle, int transa, int transb, int m, int n, int k,
                         const void* alpha, const void* a, int lda, const void* b, int ldb,
                         const void* beta, void* c, int ldc);
}
