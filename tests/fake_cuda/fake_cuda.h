// What a test can ask of the stand-ins beyond CUDA's own calls (exported by libfake_cuda_core.so).
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Runs everything that waits on any stream.
void fake_cuda_pump(void);
/// Operations that were submitted and have not run.
size_t fake_cuda_pending(void);
/// How often a kernel ran, by its plain name.
size_t fake_cuda_launches(const char* plain_name);
/// Inside NAME_host: the kernel's whole name, with the arguments of its template.
const char* fake_cuda_kernel_name(void);
/// Inside NAME_host: bytes of dynamic shared memory of the launch.
size_t fake_cuda_shared_bytes(void);

#ifdef __cplusplus
}
#endif
