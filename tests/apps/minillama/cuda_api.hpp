// The few functions of CUDA's runtime, its driver and cuBLAS that minillama calls, declared here so
// that it builds without a toolkit, against the stand-ins, and then runs on either.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {
int cudaMalloc(void** address, std::size_t size);
int cudaMallocHost(void** address, std::size_t size);
int cudaMemcpy(void* to, const void* from, std::size_t size, int kind);
int cudaMemcpyAsync(void* to, const void* from, std::size_t size, int kind, void* stream);
int cudaMemset(void* address, int value, std::size_t size);
int cudaStreamCreateWithFlags(void** stream, unsigned flags);
int cudaStreamSynchronize(void* stream);
int cudaStreamBeginCapture(void* stream, int mode);
int cudaStreamEndCapture(void* stream, void** graph);
int cudaGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long flags);
int cudaGraphLaunch(void* exec, void* stream);
int cudaGraphExecDestroy(void* exec);
int cudaGraphDestroy(void* graph);

int cuModuleLoadData(void** module, const void* image);
int cuModuleGetFunction(void** function, void* module, const char* name);
int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                   void* stream, void** parameters, void** extra);

int cublasCreate_v2(void** handle);
int cublasSetStream_v2(void* handle, void* stream);
int cublasSetWorkspace_v2(void* handle, void* workspace, std::size_t size);
int cublasSgemm_v2(void* handle, int transa, int transb, int m, int n, int k, const float* alpha,
                   const float* a, int lda, const float* b, int ldb, const float* beta, float* c,
                   int ldc);
int cublasGemmEx(void* handle, int transa, int transb, int m, int n, int k, const void* alpha,
                 const void* a, int a_type, int lda, const void* b, int b_type, int ldb,
                 const void* beta, void* c, int c_type, int ldc, int compute_type, int algo);
}

namespace minillama {

inline constexpr int host_to_device = 1;
inline constexpr int device_to_host = 2;
inline constexpr unsigned non_blocking = 1;
inline constexpr int capture_thread_local = 1;
inline constexpr int op_n = 0;
inline constexpr int op_t = 1;
inline constexpr int r_32f = 0;
inline constexpr int r_16f = 2;
inline constexpr int r_16bf = 14;
inline constexpr int compute_32f = 68;
inline constexpr int default_algo = -1;

}  // namespace minillama
