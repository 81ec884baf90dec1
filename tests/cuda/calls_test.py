#!/usr/bin/python3
"""Every way to call cuBLAS and CUDA that the probes know, on the stand-ins: a child process calls through
ctypes (dlopen and dlsym, as Python engines do), and says what it computed; its trace must say the same."""
import argparse
import ctypes as C
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "tests/docs")]
from checks import CASES, Failure, Skipped, case, check, check_counts, equal  # noqa: E402

try:
    import numpy as np
    from reference import Reference
except ImportError:
    np = None

N, T = 0, 1
R32, R64, R16, R16BF, C32 = 0, 1, 2, 14, 4
F32, F16 = 68, 64  # compute types
LIMIT = 60


# ---- the child: what it computes, and what it expects to be recorded ---------------------------------------------

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
                                   contents_that_change, a_context_that_ends, forks_after_cuda, genuine_runtime)}


def child(script, fakes):
    Cuda.fakes = fakes
    cuda = Cuda(fakes)
    more = SCRIPTS[script](cuda)
    if script != "a_context_that_ends":
        cuda.sync()
    print(json.dumps({"products": cuda.expected, **more}))


# ---- the test -------------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = Path(tempfile.mkdtemp(prefix="cuda_calls."))
        self.made = 0

    def run(self, script, traced=True, **env):
        self.made += 1
        trace = self.dir / f"{self.made}.jsonl"
        full = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "LD_", "FAKE_"))}
        full |= {"FAKE_CUDA_KERNELS": self.args.kernels, "FAKE_CUDA_JOURNAL": str(self.dir / f"{self.made}.journal")}
        if traced:
            full |= {"LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace), "ORCH_LOG_TEAM": "calls",
                     "ORCH_TRACE_PROBES": "cublas,cuda"}
        done = subprocess.run([sys.executable, __file__, "--child", script, "--fakes", self.args.fakes], env=full | env,
                              text=True, capture_output=True, timeout=LIMIT)
        check(done.returncode == 0, f"{script}: exit {done.returncode}: {done.stderr[-600:]}")
        said = json.loads(done.stdout)
        self.journal = [json.loads(line) for line in (self.dir / f"{self.made}.journal").read_text().splitlines()]
        return said, [json.loads(line) for line in trace.read_text().splitlines()] if traced and trace.exists() else []


def ledger_of(records):
    return [r for r in records if r["kind"] == "ledger"][-1]


def expect_products(said, records):
    gemms = [r for r in records if r["kind"] == "gemm"]
    weights = {r["weight"]: r for r in records if r["kind"] == "weight"}
    equal([g["op"] for g in gemms], [e["op"] for e in said["products"]], "functions")
    for gemm, wanted in zip(gemms, said["products"]):
        what = f"{gemm['op']} {gemm['checkpoint']}"
        y = np.array(wanted["y"])
        reference = Reference(y.astype(np.float32))
        equal((gemm["y"]["rows"], gemm["y"]["cols"]), y.shape, f"{what}: shape")
        equal(np.float32(gemm["y"]["energy"]), np.float32(reference.energy), f"{what}: energy")
        equal(np.array(gemm["y"]["mixed"], np.float32).tolist(), reference.mixed.astype(np.float32).tolist(),
              f"{what}: mixed sketch")
        equal(gemm["y"]["argmax"], reference.argmax, f"{what}: argmax")
        equal([float(v) for v in gemm["values"]], y[-1].tolist()[:10], f"{what}: values")
        if gemm["y"]["dtype"] == "f32":
            equal(gemm["y"]["hash"], f"{reference.hash:016x}", f"{what}: hash")
        equal(gemm.get("batch_index"), wanted.get("batch_index"), f"{what}: batch_index")
        equal(gemm.get("scalars"), wanted.get("scalars"), f"{what}: scalars")
        if "scalars" not in wanted:
            equal((gemm.get("alpha", 1), gemm.get("beta", 0)), (wanted.get("alpha", 1), wanted.get("beta", 0)), what)
        bare = wanted.get("beta", 0) == 0 and not wanted.get("no_proof") and "scalars" not in wanted
        if "weight" in gemm:
            equal("proof" in gemm, bare, f"{what}: is proved")
        if "proof" in gemm:
            check(gemm["proof"]["error"] < 1e-6, f"{what}: proof {gemm['proof']}")
        if "w" in wanted:
            w = Reference(np.array(wanted["w"], np.float32), signed=False)
            record = weights[gemm["weight"]]
            equal(np.array(record["sketch"], np.float32).tolist(), w.mixed.astype(np.float32).tolist(), f"{what}: weight")
            equal(record["hash"], f"{w.hash:016x}", f"{what}: hash of the weight")


def simple(script):
    def run(bench):
        said, records = bench.run(script, **({"FAKE_CUBLAS_NESTS": "1"} if "nested" in script else {}))
        expect_products(said, records)
        check_counts(ledger_of(records))
        equal([r for r in records if r["kind"] == "blind_spot"], [], "blind spots")
    run.__name__ = script
    return case(run)


for name in ("gemm_forms", "gemm_types", "batches", "vectors", "scalars_in_device_memory", "lt_in_columns",
             "lt_with_a_bias_is_no_bare_product", "nested_lt_is_part_of_cublas", "two_major_versions",
             "a_context_that_ends", "forks_after_cuda"):
    simple(name)


@case
def other_content_at_an_address_is_another_weight(bench):
    _, records = bench.run("contents_that_change")
    gemms = [r for r in records if r["kind"] == "gemm"]
    ids = [g["weight"] for g in gemms]
    equal((ids[0] == ids[1], ids[2] == ids[3], ids[4] == ids[5], len(set(ids))), (True, True, True, 3), f"weights {ids}")
    proofs = [g["proof"]["error"] for g in gemms if "proof" in g]
    check(proofs and max(proofs) < 1e-6, f"a product is checked with probes of another weight: {proofs}")
    check_counts(ledger_of(records))


@case
def what_cannot_be_digested_is_counted(bench):
    _, records = bench.run("what_cannot_be_digested")
    counts = ledger_of(records)["classes"]["gemm"]
    equal(counts["recorded"], 0, "records")
    equal(counts["seen"], counts["filtered"] + counts["dropped"], "ledger")
    check(counts["seen"] >= 1, f"nothing was seen: {counts}")


@case
def copies_are_records(bench):
    said, records = bench.run("copies_to_the_host")
    copies = [r for r in records if r["kind"] == "copy"]
    equal([r["op"] for r in copies], said["copies"], "functions")
    reference = Reference(np.array([said["copied"]], np.float32))
    for copy in copies:
        equal(copy["y"]["hash"], f"{reference.hash:016x}", f"{copy['op']}: hash")
        equal(copy["bytes"], 800, f"{copy['op']}: bytes")
        equal(copy["values"], said["copied"][:10], f"{copy['op']}: values")
    check_counts(ledger_of(records))


@case
def the_genuine_runtime_finds_the_driver_through_us(bench):
    if not Path(GENUINE).exists():
        raise Skipped(f"there is no {GENUINE}")

    def lookups():
        return [(e["args"].get("symbol"), e["result"]) for e in bench.journal if e["call"].startswith("cuGetProcAddress")]

    plain, _ = bench.run("genuine_runtime", traced=False, LD_LIBRARY_PATH=str(Path(bench.args.fakes) / "13"))
    without = lookups()
    traced, _ = bench.run("genuine_runtime", LD_LIBRARY_PATH=str(Path(bench.args.fakes) / "13"))
    equal(traced, plain, "what the runtime says")
    equal(lookups(), without, "what it asks the driver for")
    check(len(without) > 400, f"only {len(without)} look-ups")


@case
def a_lost_context_is_reported(bench):
    plain, _ = bench.run("gemm_forms", traced=False)
    # Ours is the call that meets it: the child asserts that all of its own succeed, and reads nothing back.
    for call in ("cuLaunchKernel:1", "cuLaunchKernel:3"):
        said, records = bench.run("gemm_forms", FAKE_CUDA_FAIL=call)
        equal(said, plain, "what the engine did")
        counts = ledger_of(records)["classes"]
        check(counts["gemm"]["dropped"] + counts["weight"]["dropped"] >= 1, f"{call}: nothing was dropped: {counts}")
        equal(counts["gemm"]["seen"], 4, f"{call}: products seen")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--child")
    ap.add_argument("--library")
    ap.add_argument("--fakes", required=True)
    ap.add_argument("--kernels")
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()
    if args.child:
        return child(args.child, args.fakes)
    if np is None:
        print("skipped: this Python has no numpy")
        return 77
    bench = Bench(args)
    passed = failed = skipped = 0
    for name, function in CASES.items():
        if args.cases and name not in args.cases:
            continue
        try:
            function(bench)
        except Failure as failure:
            failed += 1
            print(f"FAIL {name}: {failure}")
        except Skipped as why:
            skipped += 1
            print(f"skipped {name}: {why}")
        else:
            passed += 1
            print(f"ok {name}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    if not failed:
        shutil.rmtree(bench.dir)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
