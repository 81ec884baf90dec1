"""An engine that calls cuBLAS and CUDA through ctypes (dlopen and dlsym, as Python engines do), and the table of what it
can do: each script is a child process of calls_test.py."""
import ctypes as C
from pathlib import Path

import numpy as np

GENUINE = "/usr/local/cuda/lib64/libcudart.so.13"
SCRIPTS = {}


def script(function):
    SCRIPTS[function.__name__] = function
    return function


N, T = 0, 1
R32, R64, R16, R16BF, C32 = 0, 1, 2, 14, 4
F32, F16 = 68, 64  # compute types


class Cuda:
    """One copy of the libraries, as an engine that opens them itself has it."""

    def __init__(self, fakes, major=13):
        folder = Path(fakes) / str(major)
        driver = folder / "libcuda.so.1"
        self.driver = C.CDLL(str(driver)) if driver.exists() else None
        self.cudart = C.CDLL(str(folder / f"libcudart.so.{major}"))
        self.lt = C.CDLL(str(folder / f"libcublasLt.so.{major}"))
        self.blas = C.CDLL(str(folder / f"libcublas.so.{major}"))
        self.handle = C.c_void_p()
        assert self.blas.cublasCreate_v2(C.byref(self.handle)) == 0
        self.random = np.random.default_rng(major)
        self.expected = []
        self.ended = False  # nothing to synchronise with any more

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

    def multiply(self, w, x):
        """By cublasSgemm_v2; returns what must come of it."""
        (m, k), n = w.shape, x.shape[0]
        assert self.blas.cublasSgemm_v2(self.handle, T, N, m, n, k, f(1), self.upload(w), k, self.upload(x), k, f(0),
                                        self.memory(m * n * 4), m) == 0
        return x @ w.T

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
