"""Products: every function, type, form and batch."""
import ctypes as C
import os

import numpy as np
from cuda_engine import F16, F32, N, R16, R16BF, R32, T, bf16, f, i64, script


@script
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


@script
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
    cuda.expect("cublasHgemm", y, arithmetic="f16")
    call("cublasSgemmEx", w.astype(np.float16), x.astype(np.float16), 4, R16, R16, R32)
    call("cublasGemmEx", w.astype(np.float16), x.astype(np.float16), 4, R16, R16, R32, F32, -1)
    call("cublasGemmEx", bf16(w), bf16(x), 4, R16BF, R16BF, R32, F32, -1)
    call("cublasGemmEx_64", w, x, 4, R32, R32, R32, F32, -1, long=True)
    return {}


@script
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
        cuda.expect("cublasSgemmBatched", y[i], batch_index=i, listed=True)
    assert cuda.blas.cublasGemmBatchedEx(cuda.handle, T, N, m, n, k, f(1), lists[0], R32, k, lists[1], R32, k, f(0),
                                         lists[2], R32, m, count, F32, -1) == 0
    for i in range(count):
        cuda.expect("cublasGemmBatchedEx", y[i], batch_index=i, listed=True)

    ints = C.c_int * 2
    assert cuda.blas.cublasGemmGroupedBatchedEx(
        cuda.handle, ints(T, T), ints(N, N), ints(m, m - 1), ints(n, n), ints(k, k), (C.c_float * 2)(1, 2), lists[0], R32,
        ints(k, k), lists[1], R32, ints(k, k), (C.c_float * 2)(0, 0), lists[2], R32, ints(m, m), 2, ints(2, 1), F32) == 0
    for i in range(2):
        cuda.expect("cublasGemmGroupedBatchedEx", y[i], batch_index=i, listed=True)
    cuda.expect("cublasGemmGroupedBatchedEx", 2 * y[2][:, :m - 1], batch_index=2, alpha=2, listed=True)
    return {}


@script
def vectors(cuda):
    m, n = 5, 4
    a, x = cuda.values(n, m), cuda.values(1, n)  # column-major m x n
    y = cuda.memory(m * 4)
    assert cuda.blas.cublasSgemv_v2(cuda.handle, N, m, n, f(1), cuda.upload(a), m, cuda.upload(x), 1, f(0), y, 1) == 0
    cuda.expect("cublasSgemv_v2", x @ a)
    return {}


@script
def scalars_in_device_memory(cuda):
    m, n, k = 4, 3, 5
    w, x = cuda.values(m, k), cuda.values(n, k)
    assert cuda.blas.cublasSetPointerMode_v2(cuda.handle, 1) == 0
    two, zero = cuda.upload(np.array([2], np.float32)), cuda.upload(np.array([0], np.float32))
    assert cuda.blas.cublasSgemm_v2(cuda.handle, T, N, m, n, k, two, cuda.upload(w), k, cuda.upload(x), k, zero,
                                    cuda.memory(n * m * 4), m) == 0
    cuda.expect("cublasSgemm_v2", 2 * (x @ w.T), scalars="device")
    return {}


@script
def arithmetics(cuda):
    """What a handle and a call allow: f32 by six routes, and types that a math mode changes nothing for."""
    m, n, k = 4, 3, 6
    w, x = cuda.values(m, k), cuda.values(n, k)
    asked = 0

    def single(mode, arithmetic):
        nonlocal asked
        assert cuda.blas.cublasSetMathMode(cuda.handle, mode) == 0
        assert cuda.blas.cublasSgemm_v2(cuda.handle, T, N, m, n, k, f(1), cuda.upload(w), k, cuda.upload(x), k, f(0),
                                        cuda.memory(n * m * 4), m) == 0
        cuda.expect("cublasSgemm_v2", x @ w.T, **arithmetic)
        asked += 1

    def general(mode, kind, numpy_type, compute, arithmetic):
        assert cuda.blas.cublasSetMathMode(cuda.handle, mode) == 0
        one, zero = (C.c_uint16(0x3c00), C.c_uint16(0)) if compute == F16 else (C.c_float(1), C.c_float(0))
        assert cuda.blas.cublasGemmEx(cuda.handle, T, N, m, n, k, C.byref(one), cuda.upload(w.astype(numpy_type)), kind, k,
                                      cuda.upload(x.astype(numpy_type)), kind, k, C.byref(zero), cuda.memory(n * m * 4),
                                      kind, m, compute, -1) == 0
        cuda.expect("cublasGemmEx", x @ w.T, **arithmetic)

    none, tf32, half, bfloat = {}, {"arithmetic": "tf32"}, {"arithmetic": "f16"}, {"arithmetic": "bf16"}
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        tf32 = none
    default, tensor_op, pedantic, mode_tf32, flag = 0, 1, 2, 3, 16
    for mode, arithmetic in ((default, none), (mode_tf32, tf32), (mode_tf32 | flag, tf32), (tensor_op, half), (pedantic, none)):
        single(mode, arithmetic)
    general(mode_tf32, R32, np.float32, F32, tf32)
    asked += 1
    for compute, arithmetic in ((69, none), (74, half), (75, bfloat), (77, tf32)):
        general(mode_tf32, R32, np.float32, compute, arithmetic)
    general(mode_tf32, R16, np.float16, F32, none)
    general(mode_tf32, R16, np.float16, F16, half)
    assert cuda.blas.cublasDgemm_v2(cuda.handle, T, N, m, n, k, f(1, C.c_double), cuda.upload(w.astype(np.float64)), k,
                                    cuda.upload(x.astype(np.float64)), k, f(0, C.c_double), cuda.memory(n * m * 8), m) == 0
    cuda.expect("cublasDgemm_v2", x @ w.T)
    return {"asked": asked}


@script
def workspaces(cuda):
    """As an engine does that sets it before each call."""
    memory = cuda.memory(1 << 16)
    w, x = cuda.values(4, 5), cuda.values(3, 5)
    for size in (1 << 16, 1 << 16, 1 << 12, 1 << 16, 0):
        assert cuda.blas.cublasSetWorkspace_v2(cuda.handle, memory, C.c_size_t(size)) == 0
        cuda.expect("cublasSgemm_v2", cuda.multiply(w, x))
    return {}


@script
def what_cannot_be_digested(cuda):
    """Complex numbers, and nothing at all."""
    z = cuda.memory(1024)
    assert cuda.blas.cublasCgemm_v2(cuda.handle, N, N, 2, 2, 2, z, z, 2, z, 2, z, z, 2) in (0, 15)
    assert cuda.blas.cublasSgemm_v2(cuda.handle, N, N, 0, 3, 4, f(1), z, 4, z, 4, f(0), z, 4) == 0
    return {}
