"""Copies."""
import ctypes as C

import numpy as np
from cuda_engine import script


@script
def copies_to_the_host(cuda):
    values = cuda.values(200)
    source, to = cuda.upload(values), np.zeros(200, np.float32)
    target = C.c_void_p(to.ctypes.data)
    size = C.c_size_t(800)
    assert cuda.cudart.cudaMemcpy(target, source, size, 2) == 0
    assert cuda.cudart.cudaMemcpyAsync(target, source, size, 4, None) == 0
    assert cuda.driver.cuMemcpyDtoH_v2(target, C.c_uint64(source.value), size) == 0
    assert cuda.driver.cuMemcpyDtoHAsync_v2(target, C.c_uint64(source.value), size, None) == 0
    assert cuda.cudart.cudaMemcpy(source, target, size, 1) == 0  # the other way: no record
    # As a runtime inside a library finds it.
    found = C.c_void_p()
    assert cuda.driver.cuGetProcAddress_v2(b"cuMemcpyDtoH", C.byref(found), 12000, C.c_uint64(0), None) == 0
    copy = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_uint64, C.c_size_t)(found.value)
    assert copy(target, source.value, 800) == 0
    cuda.sync()
    return {"copies": ["cudaMemcpy", "cudaMemcpyAsync", "cuMemcpyDtoH_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoH_v2"],
            "copied": values.astype(float).tolist()}
