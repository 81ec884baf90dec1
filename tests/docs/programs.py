"""Small Python programs that make traces, each with a BLAS and a prefix for files as arguments."""

BLAS = """
import ctypes, sys
import numpy as np
blas = ctypes.CDLL(sys.argv[1])
PREFIX = sys.argv[2]

def gemm(name, x, w, alpha=1.0, beta=0.0, number=ctypes.c_float):
    "y = alpha x w^T + beta, rows are tokens, through a row-major cblas call"
    m, k = x.shape
    n = w.shape[0]
    y = np.ones((m, n), x.dtype)
    p = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    getattr(blas, name)(101, 111, 112, m, n, k, number(alpha), p(x), k, p(w), k, number(beta), p(y), n)
    return y

def save(name, **arrays):
    np.savez(PREFIX + name + ".npz", **arrays)
"""

SMALL = BLAS + """
rng = np.random.default_rng(1)
x = rng.standard_normal((7, 24)).astype(np.float32)
w = rng.standard_normal((40, 24)).astype(np.float32)
save("small", x=x, w=w, y=gemm("cblas_sgemm", x, w))
d = rng.standard_normal((3, 24))
d[1, 5] = 1e200  # finite, but beyond f32
v = rng.standard_normal((5, 24))
save("double", x=d, w=v, y=gemm("cblas_dgemm", d, v, 0.5, 2.0, ctypes.c_double))
d = rng.standard_normal((20, 24))
save("alpha", x=d, w=v, y=gemm("cblas_dgemm", d, v, 0.5, 0.0, ctypes.c_double))
"""

LARGE = BLAS + """
rng = np.random.default_rng(2)
x = rng.standard_normal((1500, 1100)).astype(np.float32)
w = rng.standard_normal((1100, 1100)).astype(np.float32)
save("large", x=x, w=w, y=gemm("cblas_sgemm", x, w))
"""

EXAMPLE = BLAS + """
x = np.zeros((2, 17), np.float32)
x[0, [0, 1, 16]] = 1, 2, 3
x[1, [0, 1, 16]] = 4, -5, 6
w = np.eye(17, dtype=np.float32)
save("example", x=x, w=w, y=gemm("cblas_sgemm", x, w))
"""

# For a BLAS that leaves the last input of 64 out.
WRONG = BLAS + """
rng = np.random.default_rng(3)
for name, rows in (("few", 2), ("many", 21)):
    x = rng.standard_normal((rows, 64)).astype(np.float32)
    w = rng.standard_normal((40, 64)).astype(np.float32)
    save(name, x=x, w=w, y=gemm("cblas_sgemm", x, w))
"""

ODD = BLAS + """
w = np.eye(5, dtype=np.float32)
x = np.array([[1, 2, 3, 4, 5], [0, np.nan, 1, np.inf, 2], [3, 1, 1, 1, 1]], np.float32)
gemm("cblas_sgemm", x, w)
gemm("cblas_sgemm", np.full((1, 5), -np.inf, np.float32), w)
gemm("cblas_sgemm", np.zeros((2, 5), np.float32), w)
bad = np.array([[1, np.nan], [np.inf, 2]], np.float32)
gemm("cblas_sgemm", np.ones((1, 2), np.float32), bad)
program = ctypes.CDLL(None)
program.orch_trace_log.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p,
                                   ctypes.c_char_p, ctypes.c_int64]
def log(name, values, dtype):
    program.orch_trace_log(name, values.ctypes.data, values.size, dtype, b"[]", 7)
bits = np.array([0x3f800000, 0x80000000, 0x7fc00000, 0xff800000, 0x15ae43fd], np.uint32)
log(b"floats", bits, b"f32")
log(b"halves", np.array([1.5, np.inf, -0.0], np.float16), b"f16")
log(b"brains", np.array([0x3fc0, 0xff80], np.uint16), b"bf16")
log(b"doubles", np.array([0.1, -0.0]), b"f64")
log(b"refused", bits, b"i8")
log(b"long", np.arange(25000, dtype=np.float32), b"f32")
"""

# The file may not grow for a while: lines are lost, and the ledger says so.
LOST = BLAS + """
import resource, time
program = ctypes.CDLL(None)
values = np.arange(1000, dtype=np.float32)
program.orch_trace_log.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p,
                                   ctypes.c_char_p, ctypes.c_int64]
log = lambda: program.orch_trace_log(b"v", values.ctypes.data, 1000, b"f32", b"[1000]", 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
for _ in range(100):
    log()
program.orch_trace_flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log()
"""

BATCH = BLAS + """
ints = lambda *v: (ctypes.c_int * len(v))(*v)
floats = lambda *v: (ctypes.c_float * len(v))(*v)
a = [np.ones((2, 3), np.float32) for _ in range(2)]
b = [np.ones((3, 4), np.float32) for _ in range(2)]
c = [np.ones((2, 4), np.float32) for _ in range(2)]
pointers = lambda arrays: (ctypes.c_void_p * len(arrays))(*[x.ctypes.data for x in arrays])
blas.cblas_sgemm_batch(101, ints(111), ints(111), ints(2), ints(4), ints(3), floats(1), pointers(a),
                       ints(3), pointers(b), ints(4), floats(0), pointers(c), ints(4), 1, ints(2))
"""
