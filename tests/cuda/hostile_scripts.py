"""Engines that live dangerously: contexts that end, devices, graphs of all kinds, arguments that make no sense, and ends
with work under way. Scripts for calls.py."""
import ctypes as C
import os
import signal
import sys

import numpy as np
from cuda_engine import GENUINE, N, T, f, script

M, COLS, K = 4, 3, 5
THREAD_LOCAL = 1  # a capture that forbids nothing to other threads


class Lane:
    """A stream with a handle, a weight and an input, in whatever context is current."""

    def __init__(self, cuda):
        self.cuda = cuda
        self.stream, self.handle = C.c_void_p(), C.c_void_p()
        assert cuda.cudart.cudaStreamCreateWithFlags(C.byref(self.stream), 1) == 0
        assert cuda.blas.cublasCreate_v2(C.byref(self.handle)) == 0
        assert cuda.blas.cublasSetStream_v2(self.handle, self.stream) == 0
        self.w, self.x = cuda.values(M, K), cuda.values(COLS, K)
        self.a, self.b, self.c = cuda.upload(self.w), cuda.upload(self.x), cuda.memory(COLS * M * 4)

    def call(self, b=None):
        return self.cuda.blas.cublasSgemm_v2(self.handle, T, N, M, COLS, K, f(1), self.a, K, b or self.b, K, f(0), self.c, M)

    def expect(self, **more):
        self.cuda.expect("cublasSgemm_v2", self.x @ self.w.T, **more)

    def product(self, **more):
        assert self.call() == 0
        self.expect(**more)

    def capture(self, products):
        """An executable graph of so many products."""
        runtime, graph, executable = self.cuda.cudart, C.c_void_p(), C.c_void_p()
        assert runtime.cudaStreamBeginCapture(self.stream, THREAD_LOCAL) == 0
        for _ in range(products):
            assert self.call() == 0
        assert runtime.cudaStreamEndCapture(self.stream, C.byref(graph)) == 0
        assert runtime.cudaGraphInstantiate(C.byref(executable), graph, C.c_ulonglong(0)) == 0
        assert runtime.cudaGraphDestroy(graph) == 0
        return executable

    def launch(self, executable):
        assert self.cuda.cudart.cudaGraphLaunch(executable, self.stream) == 0

    def sync(self):
        assert self.cuda.cudart.cudaStreamSynchronize(self.stream) == 0

    def result(self):
        out = np.empty((COLS, M), np.float32)
        self.sync()
        return self.cuda.cudart.cudaMemcpy(C.c_void_p(out.ctypes.data), self.c, C.c_size_t(out.nbytes), 2), out.tolist()


def told(word):
    """From "ready" to "done" our threads are held: see hostile_bench.Held."""
    print(word, flush=True)
    assert sys.stdin.readline() != ""


def life_of_a_context(cuda):
    """Products, captured ones too, with the same weights at the same addresses as in the context before."""
    cuda.random = np.random.default_rng(1)
    lane = Lane(cuda)
    lane.product()
    lane.product()
    graph = lane.capture(2)
    for _ in range(2):
        lane.launch(graph)
        lane.expect()
        lane.expect()
    lane.sync()


def ended_by(way):
    def decorate(lives):
        def run(cuda):
            step = told if "STEP" in os.environ else lambda _: None
            lives(cuda)
            step("ready")
            for _ in range(2):
                lives(cuda)
            step("done")
            cuda.ended = True
            return {}
        run.__name__ = f"contexts_ended_by_{way}"
        return script(run)
    return decorate


@ended_by("cuCtxDestroy_v2")
def a_context_of_its_own(cuda):
    context = C.c_void_p()
    assert cuda.driver.cuCtxCreate_v2(C.byref(context), 0, 0) == 0
    life_of_a_context(cuda)
    assert cuda.driver.cuCtxDestroy_v2(context) == 0


@ended_by("cuDevicePrimaryCtxRelease_v2")
def a_primary_context_that_nobody_uses_any_more(cuda):
    context = C.c_void_p()
    assert cuda.driver.cuDevicePrimaryCtxRetain(C.byref(context), 0) == 0
    assert cuda.driver.cuCtxSetCurrent(context) == 0
    life_of_a_context(cuda)
    assert cuda.driver.cuDevicePrimaryCtxRelease_v2(0) == 0


@ended_by("cuDevicePrimaryCtxReset_v2")
def a_primary_context_that_is_reset(cuda):
    life_of_a_context(cuda)
    assert cuda.driver.cuDevicePrimaryCtxReset_v2(0) == 0


@ended_by("cudaDeviceReset")
def a_device_that_is_reset(cuda):
    life_of_a_context(cuda)
    assert cuda.cudart.cudaDeviceReset() == 0


@script
def two_devices(cuda):
    """And a stream of the one while the other is current, as in a pipeline of layers."""
    lanes = []
    for device in (0, 1):
        assert cuda.cudart.cudaSetDevice(device) == 0
        lanes.append(Lane(cuda))
        lanes[device].product(device=device)
    for device in (0, 1):
        lanes[device].product(device=device)
    graph = lanes[0].capture(1)
    lanes[0].launch(graph)
    lanes[0].expect(device=0)
    return {}


@script
def two_contexts_at_once(cuda):
    context = C.c_void_p()
    first = Lane(cuda)
    first.product()
    assert cuda.driver.cuCtxCreate_v2(C.byref(context), 0, 0) == 0
    second = Lane(cuda)
    for lane in (second, first, second):
        lane.product()
    cuda.sync()
    assert cuda.driver.cuCtxDestroy_v2(context) == 0
    first.product()
    return {}


@script
def captured_graph(cuda):
    lane = Lane(cuda)
    lane.product()
    graph = lane.capture(2)
    for _ in range(3):
        lane.launch(graph)
    return {"result": lane.result()}


@script
def explicit_graph(cuda):
    """Built node by node: there is no capture that could be followed."""
    lane = Lane(cuda)
    lane.product()
    lane.sync()
    graph, node, executable = C.c_void_p(), C.c_void_p(), C.c_void_p()
    target = cuda.memory(64)
    assert cuda.cudart.cudaGraphCreate(C.byref(graph), 0) == 0
    assert cuda.cudart.cudaGraphAddMemcpyNode1D(C.byref(node), graph, None, C.c_size_t(0), target, lane.c, C.c_size_t(48),
                                                3) == 0
    assert cuda.cudart.cudaGraphInstantiate(C.byref(executable), graph, C.c_ulonglong(0)) == 0
    lane.launch(executable)
    lane.sync()
    return {}


@script
def odd_arguments(cuda):
    """Legal, all of them, and rare."""
    gemm, results = cuda.blas.cublasSgemm_v2, {}
    w, x = cuda.values(M, M), cuda.values(COLS, M)

    def run(name, y_memory, size, call, expected=None, **more):
        assert call() == 0, name
        cuda.sync()
        out = np.empty(size, np.float32)
        assert cuda.cudart.cudaMemcpy(C.c_void_p(out.ctypes.data), y_memory, C.c_size_t(out.nbytes), 1 + 1) == 0
        results[name] = out.tolist()
        if expected is not None:
            np.testing.assert_array_equal(out, expected.ravel(), name)
            cuda.expect("cublasSgemm_v2", expected, case=name, **more)

    h = cuda.handle
    a, b, c = cuda.upload(w), cuda.upload(x), cuda.upload(np.ones((COLS, M), np.float32))
    y = x @ w.T
    run("beta", c, y.size, lambda: gemm(h, T, N, M, COLS, M, f(1), a, M, b, M, f(2), c, M), y + 2, beta=2)
    huge = 2**31 - 1
    column = cuda.memory(M * 4)
    run("a leading dimension that is never reached", column, M,
        lambda: gemm(h, T, N, M, 1, M, f(1), a, M, b, huge, f(0), column, huge), y[:1])
    for name, sizes in {"no rows": (0, COLS, M), "no columns": (M, 0, M)}.items():
        run(name, c, y.size, lambda m=sizes: gemm(h, T, N, *m, f(1), a, M, b, M, f(0), c, M))
    run("nothing to sum up", c, y.size, lambda: gemm(h, T, N, M, COLS, 0, f(1), a, M, b, M, f(3), c, M))
    both = cuda.upload(x)
    run("the result over the input", both, y.size, lambda: gemm(h, T, N, M, COLS, M, f(1), a, M, both, M, f(0), both, M), y)
    weight = cuda.upload(w)
    run("the result over the weight", weight, 3 * M,
        lambda: gemm(h, T, N, M, COLS, M, f(1), weight, M, b, M, f(0), weight, M), y)
    # Members of a batch from the last to the first.
    batch = cuda.values(2, COLS, M)
    inputs, outputs = cuda.upload(batch), cuda.memory(2 * COLS * M * 4)
    last = C.c_void_p(inputs.value + COLS * M * 4)
    ll = C.c_longlong
    run("a negative stride", outputs, 2 * COLS * M,
        lambda: cuda.blas.cublasSgemmStridedBatched(h, T, N, M, COLS, M, f(1), a, M, ll(0), last, M, ll(-COLS * M), f(0),
                                                    outputs, M, ll(COLS * M), 2))
    for index in (0, 1):
        cuda.expect("cublasSgemmStridedBatched", batch[1 - index] @ w.T, batch_index=index, case="a negative stride")
    # A vector with a negative step begins at its end.
    matrix, vector = cuda.values(M, K), cuda.values(K)
    column_major, backwards, out = cuda.upload(matrix.T), cuda.upload(vector[::-1]), cuda.memory(M * 4)
    run("vectors backwards", out, M,
        lambda: cuda.blas.cublasSgemv_v2(h, N, M, K, f(1), column_major, M, backwards, -1, f(0), out, -1))
    np.testing.assert_array_equal(results["vectors backwards"][::-1], matrix @ vector)
    cuda.expect("cublasSgemv_v2", (matrix @ vector)[None, :], case="vectors backwards")
    return {"results": results}


@script
def wild_pointers(cuda):
    """What no device can reach: the engine gets an error that stays, and goes on asking."""
    statuses = []
    lane = Lane(cuda)
    lane.product()
    statuses.append(cuda.cudart.cudaDeviceSynchronize())
    kind = os.environ["WILD"]
    wild = {"host": np.ones((COLS, K), np.float32), "null": None}[kind]
    address = C.c_void_p(wild.ctypes.data if wild is not None else 0)
    statuses.append(cuda.blas.cublasSgemm_v2(lane.handle, T, N, M, COLS, K, f(1), lane.a, K, address, K, f(0), lane.c, M))
    statuses.append(cuda.cudart.cudaStreamSynchronize(lane.stream))
    for _ in range(2):
        statuses += [lane.call(), cuda.cudart.cudaGetLastError(), cuda.cudart.cudaStreamSynchronize(lane.stream)]
    cuda.ended = True
    return {"statuses": statuses}


@script
def a_graph_larger_than_the_ring(cuda):
    lane = Lane(cuda)
    lane.product()
    graph = lane.capture(300)
    lane.sync()
    told("ready")
    for _ in range(5):
        lane.launch(graph)
    lane.sync()
    told("done")
    return {}


@script
def a_drowned_copy(cuda):
    """The same with copies among the products."""
    lane = Lane(cuda)
    lane.product()
    out = (C.c_float * 64)()
    source = cuda.memory(256)
    lane.sync()
    told("ready")
    for _ in range(700):
        assert lane.call() == 0
        assert cuda.cudart.cudaMemcpyAsync(C.byref(out), source, C.c_size_t(256), 2, lane.stream) == 0
    lane.sync()
    told("done")
    return {}


def plugin():
    return C.CDLL(os.environ["HOSTILE_PLUGIN"])


@script
def an_end_before_the_device_is_done(cuda):
    """The replays wait for an end that waits for them."""
    core, lane = C.CDLL(os.path.join(cuda.fakes, "libfake_cuda_core.so")), Lane(cuda)
    lane.product()
    graph = lane.capture(20)
    lane.sync()
    gate = plugin().gate_of_the_end
    assert cuda.cudart.cudaLaunchHostFunc(lane.stream, gate, None) == 0
    for _ in range(10):
        lane.launch(graph)
    print("{}", flush=True)
    plugin().end_while_the_device_runs(core.fake_cuda_pump)


@script
def products_after_the_library(cuda):
    """In a destructor that runs after the injected library's own."""
    lane = Lane(cuda)
    lane.product()
    lane.sync()
    plugin().at_the_very_end(cuda.blas.cublasSgemm_v2, cuda.cudart.cudaStreamSynchronize, cuda.cudart.cudaMemcpy, lane.handle,
                             lane.stream, lane.a, lane.b, lane.c)
    return {}


@script
def killed(cuda):
    lane = Lane(cuda)
    while True:
        for _ in range(50):
            assert lane.call() == 0
        lane.sync()
        path = os.environ.get("ORCH_LOG_FILE", "")
        if not os.path.exists(path) or os.path.getsize(path) > 20_000:
            os.kill(os.getpid(), signal.SIGKILL)


def pointers_into_us(name):
    """How many words of a loaded library's own data are addresses inside the injected one."""
    ranges, ours = [], []
    last = ""
    with open("/proc/self/maps", encoding="ascii") as maps:
        for line in maps:
            fields = line.split()
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            # A library's .bss is the nameless mapping behind it.
            last = fields[5] if len(fields) > 5 else last
            if "liborchtrace" in last:
                ours.append((begin, end))
            elif name in last and fields[1].startswith("rw"):
                ranges.append((begin, end))
    if not ours:
        return 0
    low, high = min(b for b, _ in ours), max(e for _, e in ours)
    count = 0
    for begin, end in ranges:
        words = np.frombuffer(C.string_at(begin, end - begin), np.uint64)
        count += int(((words >= low) & (words < high)).sum())
    return count


@script
def genuine_libraries(cuda):
    """NVIDIA's own runtime and cuBLASLt look the driver up; without private tables neither gets further."""
    runtime = C.CDLL(GENUINE)
    count = C.c_int(-1)
    said = {"error": runtime.cudaGetDeviceCount(C.byref(count)), "count": count.value}
    blas_lt = GENUINE.replace("libcudart", "libcublasLt")
    if os.path.exists(blas_lt):
        handle = C.c_void_p()
        said["lt"] = C.CDLL(blas_lt).cublasLtCreate(C.byref(handle))
    return said | {"runtime_calls_us_at": pointers_into_us("libcudart.so"), "lt_calls_us_at": pointers_into_us("libcublasLt")}
