"""Operands behind lists of pointers: weights that stay, experts in any order, activations; captured, and by two versions."""
import ctypes as C
import os
from pathlib import Path

import numpy as np
from cuda_engine import F32, N, R32, T, Cuda, f, script

M, ROWS, K = 4, 3, 8


def settle(cuda):
    """Until what was computed so far is in the trace: from then on the next call knows what it knows."""
    cuda.sync()
    if "ORCH_LOG_FILE" not in os.environ:
        return
    while True:
        C.CDLL(None).orch_trace_flush()
        text = Path(os.environ["ORCH_LOG_FILE"]).read_text()
        if text.count('"kind":"gemm"') >= len(cuda.expected):
            return


class Lists:
    """A batch whose three lists can be filled again. `like`: the operands of another engine's."""

    def __init__(self, cuda, count, like=None):
        self.cuda, self.count = cuda, count
        self.x = cuda.values(count, ROWS, K) if like is None else like.x
        self.inputs = [cuda.upload(x) for x in self.x] if like is None else like.inputs
        self.outputs = [cuda.memory(ROWS * M * 4) for _ in range(count)]
        self.list = cuda.memory(count * 8) if like is None else like.list
        self.inputs_list, self.outputs_list = self.upload(self.inputs), self.upload(self.outputs)

    def upload(self, pointers):
        return self.cuda.upload(np.array([p.value for p in pointers], np.uint64))

    def fill(self, pointers):
        numbers = np.array([getattr(p, "value", p) for p in pointers], np.uint64)
        assert self.cuda.cudart.cudaMemcpy(self.list, C.c_void_p(numbers.ctypes.data), C.c_size_t(numbers.nbytes), 1) == 0

    def show(self, matrices):
        """Each of them from an address of its own."""
        self.fill([self.cuda.upload(m) for m in matrices])

    def call(self):
        assert self.cuda.blas.cublasGemmBatchedEx(
            self.cuda.handle, T, N, M, ROWS, K, f(1), self.list, R32, K, self.inputs_list, R32, K, f(0), self.outputs_list,
            R32, M, self.count, F32, -1) == 0

    def expect(self, weights):
        for i, w in enumerate(weights):
            self.cuda.expect("cublasGemmBatchedEx", self.x[i] @ w.T, batch_index=i, listed=True, content=w.tolist())

    def run(self, weights):
        self.call()
        self.expect(weights)
        settle(self.cuda)


@script
def constant_lists(cuda):
    lists = Lists(cuda, 2)
    weights = cuda.values(2, M, K)
    lists.show(weights)
    for _ in range(5):
        lists.run(weights)
    return {}


@script
def permuted_experts(cuda):
    experts = cuda.values(4, M, K)
    where = [cuda.upload(w) for w in experts]
    lists = Lists(cuda, 2)
    for _ in range(20):
        chosen = cuda.random.permutation(4)[:2]
        lists.fill([where[i] for i in chosen])
        lists.run(experts[chosen])
    return {}


@script
def a_weight_by_list_and_by_address(cuda):
    """First behind a list, then by its address; another the other way round."""
    weights = cuda.values(2, M, K)
    where = [cuda.upload(w) for w in weights]
    x = cuda.values(ROWS, K)
    b, c = cuda.upload(x), cuda.memory(ROWS * M * 4)

    def direct(i):
        assert cuda.blas.cublasSgemm_v2(cuda.handle, T, N, M, ROWS, K, f(1), where[i], K, b, K, f(0), c, M) == 0
        cuda.expect("cublasSgemm_v2", x @ weights[i].T, content=weights[i].tolist())
        settle(cuda)

    lists = Lists(cuda, 2)
    lists.fill(where)
    direct(1)
    for _ in range(4):
        lists.run(weights)
    direct(0)
    direct(1)
    lists.run(weights)
    return {}


@script
def activations_behind_lists(cuda):
    """Other content with each call, under the same list."""
    lists = Lists(cuda, 2)
    for _ in range(12):
        scores = cuda.values(2, M, K)
        lists.show(scores)
        lists.run(scores)
    return {}


@script
def activations_that_stay_for_some_calls(cuda):
    """As a cache does whose sample does not show that it grew."""
    lists = Lists(cuda, 4)
    for _ in range(30):
        cache = cuda.values(4, M, K)
        lists.show(cache)
        for _ in range(4):
            lists.run(cache)
    return {}


@script
def strangers_and_then_a_weight(cuda):
    lists = Lists(cuda, 1)
    for _ in range(130):
        scores = cuda.values(1, M, K)
        lists.show(scores)
        lists.call()
        lists.expect(scores)
    settle(cuda)
    weight = cuda.values(1, M, K)
    lists.show(weight)
    for _ in range(4):
        lists.run(weight)
    return {}


@script
def lists_of_two_versions(cuda):
    """12 and 13 multiply by the same weights, behind the same list."""
    lists = Lists(cuda, 2)
    others = Lists(Cuda(cuda.fakes, 12), 2, like=lists)
    others.cuda.expected = cuda.expected
    weights = cuda.values(2, M, K)
    lists.show(weights)
    for one in (lists, others, lists, others, lists):
        one.run(weights)
    return {}


@script
def captured_lists(cuda):
    """The list is filled when the graph runs; while it is captured its pointers lead nowhere."""
    experts = cuda.values(2, M, K)
    where = [cuda.upload(w) for w in experts]
    lists = Lists(cuda, 2)
    lists.fill(where)
    stream, graph, executable = C.c_void_p(), C.c_void_p(), C.c_void_p()
    assert cuda.cudart.cudaStreamCreateWithFlags(C.byref(stream), 1) == 0
    assert cuda.blas.cublasSetStream_v2(cuda.handle, stream) == 0
    lists.run(experts)
    lists.run(experts)  # their digests are wanted now
    lists.fill([8, 16])
    assert cuda.cudart.cudaStreamBeginCapture(stream, 0) == 0
    lists.call()
    assert cuda.cudart.cudaStreamEndCapture(stream, C.byref(graph)) == 0
    assert cuda.cudart.cudaGraphInstantiateWithFlags(C.byref(executable), graph, C.c_ulonglong(0)) == 0
    cuda.sync()
    lists.fill(where)
    lists.run(experts)
    for order in ([0, 1], [1, 0], [1, 1]):
        lists.fill([where[i] for i in order])
        assert cuda.cudart.cudaGraphLaunch(executable, stream) == 0
        lists.expect(experts[order])
        settle(cuda)
    return {}
