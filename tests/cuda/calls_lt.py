"""cublasLt, with its objects, and under cuBLAS."""
import ctypes as C

import numpy as np
from cuda_engine import F32, N, R16, R32, T, f, script


class Lt:
    """cublasLtMatmul with its objects."""

    def __init__(self, cuda):
        self.cuda, self.lib = cuda, cuda.lt
        self.handle = C.c_void_p()
        assert self.lib.cublasLtCreate(C.byref(self.handle)) == 0

    def layout(self, kind, rows, cols, ld, order=0):
        out = C.c_void_p()
        assert self.lib.cublasLtMatrixLayoutCreate(C.byref(out), kind, C.c_uint64(rows), C.c_uint64(cols),
                                                   C.c_int64(ld)) == 0
        if order:
            assert self.lib.cublasLtMatrixLayoutSetAttribute(out, 1, C.byref(C.c_int32(order)), C.c_size_t(4)) == 0
        return out

    def matmul(self, transa, transb, a, la, b, lb, d, ld, epilogue=1, bias=None, compute=F32):
        desc = C.c_void_p()
        assert self.lib.cublasLtMatmulDescCreate(C.byref(desc), compute, R32) == 0
        for attribute, value in ((3, C.c_int32(transa)), (4, C.c_int32(transb)), (7, C.c_uint32(epilogue))):
            assert self.lib.cublasLtMatmulDescSetAttribute(desc, attribute, C.byref(value), C.c_size_t(4)) == 0
        if bias is not None:
            assert self.lib.cublasLtMatmulDescSetAttribute(desc, 8, C.byref(bias), C.c_size_t(8)) == 0
        status = self.lib.cublasLtMatmul(self.handle, desc, f(1), a, la, b, lb, f(0), d, ld, d, ld, None, None,
                                         C.c_size_t(0), None)
        assert status == 0, status


@script
def lt_in_columns(cuda):
    m, n, k = 5, 3, 6
    w, x = cuda.values(m, k), cuda.values(n, k)
    lt = Lt(cuda)
    lt.matmul(T, N, cuda.upload(w), lt.layout(R32, k, m, k), cuda.upload(x), lt.layout(R32, k, n, k),
              cuda.memory(m * n * 4), lt.layout(R32, m, n, m))
    cuda.expect("cublasLtMatmul", x @ w.T, w=w.tolist())
    half = [v.astype(np.float16) for v in (w, x)]
    lt.matmul(T, N, cuda.upload(half[0]), lt.layout(R16, k, m, k), cuda.upload(half[1]), lt.layout(R16, k, n, k),
              cuda.memory(m * n * 4), lt.layout(R32, m, n, m))
    cuda.expect("cublasLtMatmul", x @ w.T)
    lt.matmul(T, N, cuda.upload(w), lt.layout(R32, k, m, k), cuda.upload(x), lt.layout(R32, k, n, k),
              cuda.memory(m * n * 4), lt.layout(R32, m, n, m), compute=77)
    cuda.expect("cublasLtMatmul", x @ w.T, arithmetic="tf32")
    return {}


@script
def lt_with_a_bias_is_no_bare_product(cuda):
    m, n, k = 5, 3, 6
    w, x, bias = cuda.values(m, k), cuda.values(n, k), cuda.values(m)
    lt = Lt(cuda)
    lt.matmul(T, N, cuda.upload(w), lt.layout(R32, k, m, k), cuda.upload(x), lt.layout(R32, k, n, k),
              cuda.memory(m * n * 4), lt.layout(R32, m, n, m), epilogue=4, bias=cuda.upload(bias))
    cuda.expect("cublasLtMatmul", x @ w.T + bias, no_proof=True)
    return {}


@script
def nested_lt_is_part_of_cublas(cuda):
    m, n, k = 4, 3, 5
    w, x = cuda.values(m, k), cuda.values(n, k)
    for _ in range(2):
        assert cuda.blas.cublasGemmEx(cuda.handle, T, N, m, n, k, f(1), cuda.upload(w), R32, k, cuda.upload(x), R32, k,
                                      f(0), cuda.memory(n * m * 4), R32, m, F32, -1) == 0
        cuda.expect("cublasGemmEx", x @ w.T)
    return {"nests": True}
