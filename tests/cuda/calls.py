#!/usr/bin/python3
"""What the child processes of calls_test.py do: calls of cuBLAS and CUDA through ctypes (dlopen and dlsym, as
Python engines do). Each script prints what it computed.

usage: calls.py SCRIPT --fakes DIRECTORY
"""
import argparse
import ctypes as C
import json
import os
import threading
from pathlib import Path

import numpy as np

N, T = 0, 1
R32, R64, R16, R16BF, C32 = 0, 1, 2, 14, 4
F32, F16 = 68, 64  # compute types


class Cuda:
    """One copy of the libraries, as an engine that opens them itself has it."""

    def __init__(self, fakes, major=13):
        folder = Path(fakes) / str(major)
        self.driver = C.CDLL(str(folder / "libcuda.so.1"))
        self.cudart = C.CDLL(str(folder / f"libcudart.so.{major}"))
        self.lt = C.CDLL(str(folder / f"libcublasLt.so.{major}"))
        self.blas = C.CDLL(str(folder / f"libcublas.so.{major}"))
        self.handle = C.c_void_p()
        assert self.blas.cublasCreate_v2(C.byref(self.handle)) == 0
        self.random = np.random.default_rng(major)
        self.expected = []

    def memory(self, size):
        address = C.c_void_p()
        assert self.cudart.cudaMalloc(C.byref(address), C.c_size_t(size)) == 0
        return address

    def upload(self, array):
        array = np.ascontiguousarray(array)
        to = self.memory(array.nbytes)
        assert self.cudart.cudaMemcpy(to, C.c_void_p(array.ctypes.data), C.c_size_t(array.nbytes), 1) == 0
        return to

    def values(self, *shape, dtype=np.float32):
        """Small whole numbers over 8: every product of them is exact in f32 and f16."""
        return (self.random.integers(-4, 5, shape) / 8).astype(dtype)

    def sync(self):
        assert self.cudart.cudaDeviceSynchronize() == 0

    def expect(self, op, y, **more):
        y = np.asarray(y, np.float64)
        self.expected.append({"op": op, "rows": y.shape[0], "cols": y.shape[1], "y": y.tolist(), **more})


def f(value, kind=C.c_float):
    return C.byref(kind(value))


def i64(*values):
    return [C.c_longlong(v) for v in values]


def bf16(array):
    return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def gemm_forms(cuda):
    """All transposes, a leading dimension with room, alpha and beta."""
    m, n, k, lda, ldb, ldc = 5, 3, 7, 9, 8, 6
    for ta in (N, T):
        for tb in (N, T):
            w, x = cuda.values(m, k), cuda.values(n, k)
            a = np.zeros((m if ta else k, lda), np.float32)
            a[:, :k if ta else m] = w if ta else w.T
            b = np.zeros((k if tb else n, ldb), np.float32)
            b[:, :n if tb else k] = x.T if tb else x
            c = np.ones((n, ldc), np.float32)
            status = cuda.blas.cublasSgemm_v2(cuda.handle, ta, tb, m, n, k, f(2.0), cuda.upload(a), lda, cuda.upload(b),
                                              ldb, f(0.5), cuda.upload(c), ldc)
            assert status == 0
            cuda.expect("cublasSgemm_v2", 2 * (x @ w.T) + 0.5, alpha=2, beta=0.5, w=w.tolist())
    return {}


def gemm_types(cuda):
    m, n, k = 4, 3, 6
    w, x = cuda.values(m, k), cuda.values(n, k)
    y = x @ w.T

    def call(name, a, b, size, *rest, long=False, scalar=C.c_float):
        c = cuda.memory(n * m * size)
        dims = i64(m, n, k) if long else [m, n, k]
        ld = i64(k, k, m) if long else [k, k, m]
        kinds = iter(rest[:3]) if len(rest) >= 3 else iter(())
        one, zero = f(1, scalar), f(0, scalar)
        args = [cuda.handle, T, N, *dims, one, cuda.upload(a)]
        for index, pointer in enumerate((None, cuda.upload(b), c)):
            if index == 2:
                args.append(zero)
            if pointer is not None:
                args.append(pointer)
            kind = next(kinds, None)
            if kind is not None:
                args.append(kind)
            args.append(ld[index])
        assert getattr(cuda.blas, name)(*args, *rest[3:]) == 0, name
        cuda.expect(name, y)

    half = (C.c_uint16)
    call("cublasSgemm_v2_64", w, x, 4, long=True)
    call("cublasDgemm_v2", w.astype(np.float64), x.astype(np.float64), 8, scalar=C.c_double)
    one = np.float16(1).view(np.uint16).item()
    c = cuda.memory(n * m * 2)
    assert cuda.blas.cublasHgemm(cuda.handle, T, N, m, n, k, C.byref(half(one)), cuda.upload(w.astype(np.float16)), k,
                                 cuda.upload(x.astype(np.float16)), k, C.byref(half(0)), c, m) == 0
    cuda.expect("cublasHgemm", y)
    call("cublasSgemmEx", w.astype(np.float16), x.astype(np.float16), 4, R16, R16, R32)
    call("cublasGemmEx", w.astype(np.float16), x.astype(np.float16), 4, R16, R16, R32, F32, -1)
    call("cublasGemmEx", bf16(w), bf16(x), 4, R16BF, R16BF, R32, F32, -1)
    call("cublasGemmEx_64", w, x, 4, R32, R32, R32, F32, -1, long=True)
    return {}


def batches(cuda):
    m, n, k, count = 4, 3, 5, 3
    w, x = cuda.values(count, m, k), cuda.values(count, n, k)
    y = np.einsum("bnk,bmk->bnm", x, w)
    a, b, c = cuda.upload(w), cuda.upload(x), cuda.memory(count * n * m * 4)
    ll = C.c_longlong
    assert cuda.blas.cublasSgemmStridedBatched(cuda.handle, T, N, m, n, k, f(1), a, k, ll(m * k), b, k, ll(n * k), f(0), c,
                                               m, ll(n * m), count) == 0
    for i in range(count):
        cuda.expect("cublasSgemmStridedBatched", y[i], batch_index=i)

    def pointers(base, step):
        return cuda.upload(np.array([base.value + i * step for i in range(count)], np.uint64))

    lists = [pointers(a, m * k * 4), pointers(b, n * k * 4), pointers(c, n * m * 4)]
    assert cuda.blas.cublasSgemmBatched(cuda.handle, T, N, m, n, k, f(1), lists[0], k, lists[1], k, f(0), lists[2], m,
                                        count) == 0
    for i in range(count):
        cuda.expect("cublasSgemmBatched", y[i], batch_index=i)
    assert cuda.blas.cublasGemmBatchedEx(cuda.handle, T, N, m, n, k, f(1), lists[0], R32, k, lists[1], R32, k, f(0),
                                         lists[2], R32, m, count, F32, -1) == 0
    for i in range(count):
        cuda.expect("cublasGemmBatchedEx", y[i], batch_index=i)

    ints = C.c_int * 2
    assert cuda.blas.cublasGemmGroupedBatchedEx(
        cuda.handle, ints(T, T), ints(N, N), ints(m, m - 1), ints(n, n), ints(k, k), (C.c_float * 2)(1, 2), lists[0], R32,
        ints(k, k), lists[1], R32, ints(k, k), (C.c_float * 2)(0, 0), lists[2], R32, ints(m, m), 2, ints(2, 1), F32) == 0
    for i in range(2):
        cuda.expect("cublasGemmGroupedBatchedEx", y[i], batch_index=i)
    cuda.expect("cublasGemmGroupedBatchedEx", 2 * y[2][:, :m - 1], batch_index=2, alpha=2)
    return {}


def vectors(cuda):
    m, n = 5, 4
    a, x = cuda.values(n, m), cuda.values(1, n)  # column-major m x n
    y = cuda.memory(m * 4)
    assert cuda.blas.cublasSgemv_v2(cuda.handle, N, m, n, f(1), cuda.upload(a), m, cuda.upload(x), 1, f(0), y, 1) == 0
    cuda.expect("cublasSgemv_v2", x @ a)
    return {}


def scalars_in_device_memory(cuda):
    m, n, k = 4, 3, 5
    w, x = cuda.values(m, k), cuda.values(n, k)
    assert cuda.blas.cublasSetPointerMode_v2(cuda.handle, 1) == 0
    two, zero = cuda.upload(np.array([2], np.float32)), cuda.upload(np.array([0], np.float32))
    assert cuda.blas.cublasSgemm_v2(cuda.handle, T, N, m, n, k, two, cuda.upload(w), k, cuda.upload(x), k, zero,
                                    cuda.memory(n * m * 4), m) == 0
    cuda.expect("cublasSgemm_v2", 2 * (x @ w.T), scalars="device")
    return {}


def contents_that_change(cuda):
    """Other weights come to the same address, twice."""
    m, n, k = 4, 3, 5
    a, x = cuda.memory(m * k * 4), cuda.values(n, k)
    b, c = cuda.upload(x), cuda.memory(n * m * 4)
    for _ in range(3):
        w = cuda.values(m, k)
        assert cuda.cudart.cudaMemcpy(a, C.c_void_p(w.ctypes.data), C.c_size_t(w.nbytes), 1) == 0
        for _ in range(2):
            assert cuda.blas.cublasSgemm_v2(cuda.handle, T, N, m, n, k, f(1), a, k, b, k, f(0), c, m) == 0
            cuda.expect("cublasSgemm_v2", x @ w.T)
            cuda.sync()
    return {}


def many_threads(cuda):
    """Each with a handle, a stream and weights of its own; all begin at once."""
    count, steps, m, n, k = 6, 30, 4, 3, 5
    start = threading.Barrier(count)
    jobs = []
    for _ in range(count):
        handle, stream = C.c_void_p(), C.c_void_p()
        assert cuda.blas.cublasCreate_v2(C.byref(handle)) == 0
        assert cuda.cudart.cudaStreamCreateWithFlags(C.byref(stream), 1) == 0
        assert cuda.blas.cublasSetStream_v2(handle, stream) == 0
        w, x = cuda.values(m, k), cuda.values(n, k)
        jobs.append((handle, cuda.upload(w), cuda.upload(x), cuda.memory(n * m * 4), x @ w.T))

    def work(handle, a, b, c, _):
        start.wait()
        for _ in range(steps):
            assert cuda.blas.cublasSgemm_v2(handle, T, N, m, n, k, f(1), a, k, b, k, f(0), c, m) == 0

    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"each": steps, "sums": sorted(float(job[4].sum()) for job in jobs)}


def what_cannot_be_digested(cuda):
    """Complex numbers, and nothing at all."""
    z = cuda.memory(1024)
    assert cuda.blas.cublasCgemm_v2(cuda.handle, N, N, 2, 2, 2, z, z, 2, z, 2, z, z, 2) in (0, 15)
    assert cuda.blas.cublasSgemm_v2(cuda.handle, N, N, 0, 3, 4, f(1), z, 4, z, 4, f(0), z, 4) == 0
    return {}


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

    def matmul(self, transa, transb, a, la, b, lb, d, ld, epilogue=1, bias=None):
        desc = C.c_void_p()
        assert self.lib.cublasLtMatmulDescCreate(C.byref(desc), F32, R32) == 0
        for attribute, value in ((3, C.c_int32(transa)), (4, C.c_int32(transb)), (7, C.c_uint32(epilogue))):
            assert self.lib.cublasLtMatmulDescSetAttribute(desc, attribute, C.byref(value), C.c_size_t(4)) == 0
        if bias is not None:
            assert self.lib.cublasLtMatmulDescSetAttribute(desc, 8, C.byref(bias), C.c_size_t(8)) == 0
        status = self.lib.cublasLtMatmul(self.handle, desc, f(1), a, la, b, lb, f(0), d, ld, d, ld, None, None,
                                         C.c_size_t(0), None)
        assert status == 0, status


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
    return {}


def lt_with_a_bias_is_no_bare_product(cuda):
    m, n, k = 5, 3, 6
    w, x, bias = cuda.values(m, k), cuda.values(n, k), cuda.values(m)
    lt = Lt(cuda)
    lt.matmul(T, N, cuda.upload(w), lt.layout(R32, k, m, k), cuda.upload(x), lt.layout(R32, k, n, k),
              cuda.memory(m * n * 4), lt.layout(R32, m, n, m), epilogue=4, bias=cuda.upload(bias))
    cuda.expect("cublasLtMatmul", x @ w.T + bias, no_proof=True)
    return {}


def nested_lt_is_part_of_cublas(cuda):
    m, n, k = 4, 3, 5
    w, x = cuda.values(m, k), cuda.values(n, k)
    for _ in range(2):
        assert cuda.blas.cublasGemmEx(cuda.handle, T, N, m, n, k, f(1), cuda.upload(w), R32, k, cuda.upload(x), R32, k,
                                      f(0), cuda.memory(n * m * 4), R32, m, F32, -1) == 0
        cuda.expect("cublasGemmEx", x @ w.T)
    return {"nests": True}


def two_major_versions(cuda):
    """12 and 13 in one process: each caller reaches its own."""
    old = Cuda(cuda.fakes, 12)
    for one in (cuda, old, cuda, old):
        w, x = one.values(4, 5), one.values(3, 5)
        assert one.blas.cublasSgemm_v2(one.handle, T, N, 4, 3, 5, f(1), one.upload(w), 5, one.upload(x), 5, f(0),
                                       one.memory(48), 4) == 0
        cuda.expect("cublasSgemm_v2", x @ w.T)
    return {}


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


def a_context_that_ends(cuda):
    w, x = cuda.values(4, 5), cuda.values(3, 5)
    a, b, c = cuda.upload(w), cuda.upload(x), cuda.memory(48)

    def product():
        return cuda.blas.cublasSgemm_v2(cuda.handle, T, N, 4, 3, 5, f(1), a, 5, b, 5, f(0), c, 4)

    assert product() == 0
    cuda.expect("cublasSgemm_v2", x @ w.T)
    cuda.sync()
    assert cuda.cudart.cudaDeviceReset() == 0
    return {}


def forks_after_cuda(cuda):
    w, x = cuda.values(4, 5), cuda.values(3, 5)
    assert cuda.blas.cublasSgemm_v2(cuda.handle, T, N, 4, 3, 5, f(1), cuda.upload(w), 5, cuda.upload(x), 5, f(0),
                                    cuda.memory(48), 4) == 0
    cuda.expect("cublasSgemm_v2", x @ w.T)
    cuda.sync()
    child = os.fork()
    if child == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    return {}


def genuine_runtime(cuda):
    """NVIDIA's own runtime over the stand-in's driver gets as far as the export tables, which nobody can fake."""
    runtime = C.CDLL(GENUINE)
    count = C.c_int(-1)
    return {"error": runtime.cudaGetDeviceCount(C.byref(count)), "count": count.value}


GENUINE = "/usr/local/cuda/lib64/libcudart.so.13"
SCRIPTS = {s.__name__: s for s in (gemm_forms, gemm_types, batches, vectors, scalars_in_device_memory,
                                   what_cannot_be_digested, lt_in_columns, lt_with_a_bias_is_no_bare_product,
                                   nested_lt_is_part_of_cublas, two_major_versions, copies_to_the_host,
                                   contents_that_change, many_threads, a_context_that_ends, forks_after_cuda, genuine_runtime)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("script", choices=SCRIPTS)
    ap.add_argument("--fakes", required=True)
    args = ap.parse_args()
    Cuda.fakes = args.fakes
    cuda = Cuda(args.fakes)
    more = SCRIPTS[args.script](cuda)
    if args.script != "a_context_that_ends":
        cuda.sync()
    print(json.dumps({"products": cuda.expected, **more}))


if __name__ == "__main__":
    main()
