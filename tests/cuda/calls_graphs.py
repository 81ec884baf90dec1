"""Graphs that come and go: captured, updated, cloned, destroyed, forgotten."""
import ctypes as C

from cuda_engine import N, T, f, script

M, ROWS, K = 4, 3, 5


class Captured:
    """A stream that captures `count` products."""

    def __init__(self, cuda, count=1):
        self.cuda, self.count = cuda, count
        self.stream = C.c_void_p()
        assert cuda.cudart.cudaStreamCreateWithFlags(C.byref(self.stream), 1) == 0
        assert cuda.blas.cublasSetStream_v2(cuda.handle, self.stream) == 0
        self.w, self.x = cuda.values(M, K), cuda.values(ROWS, K)
        self.memory = cuda.upload(self.w), cuda.upload(self.x), cuda.memory(ROWS * M * 4)
        self.product()  # its weight is known before anything is captured
        cuda.expect("cublasSgemm_v2", self.x @ self.w.T)

    def product(self):
        a, b, c = self.memory
        assert self.cuda.blas.cublasSgemm_v2(self.cuda.handle, T, N, M, ROWS, K, f(1), a, K, b, K, f(0), c, M) == 0

    def expect(self, launches=1):
        for _ in range(launches * self.count):
            self.cuda.expect("cublasSgemm_v2", self.x @ self.w.T)

    def capture(self):
        graph = C.c_void_p()
        assert self.cuda.cudart.cudaStreamBeginCapture(self.stream, 0) == 0
        for _ in range(self.count):
            self.product()
        assert self.cuda.cudart.cudaStreamEndCapture(self.stream, C.byref(graph)) == 0
        return graph

    def instantiate(self, graph):
        executable = C.c_void_p()
        assert self.cuda.cudart.cudaGraphInstantiateWithFlags(C.byref(executable), graph, C.c_ulonglong(0)) == 0
        return executable

    def launch(self, executable):
        return self.cuda.cudart.cudaGraphLaunch(executable, self.stream)

    def run(self, executable):
        assert self.launch(executable) == 0
        self.expect()

    def destroy(self, graph=None, executable=None):
        if graph is not None:
            assert self.cuda.cudart.cudaGraphDestroy(graph) == 0
        if executable is not None:
            assert self.cuda.cudart.cudaGraphExecDestroy(executable) == 0


@script
def more_graphs_than_are_kept(cuda):
    """One after the other, with more digests in them than there are numbers; a few are launched, and more than once."""
    one = Captured(cuda, 40)
    for i in range(1100):
        graph = one.capture()
        executable = one.instantiate(graph)
        if i % 100 == 0:
            for _ in range(1 + i // 100 % 3):
                one.run(executable)
            cuda.sync()
        one.destroy(graph, executable)
    return {}


@script
def graphs_that_are_updated(cuda):
    """As llama.cpp does: a new capture for the same executable."""
    one = Captured(cuda)
    graph = one.capture()
    executable = one.instantiate(graph)
    one.run(executable)
    for _ in range(1100):
        one.destroy(graph)
        graph = one.capture()
        assert cuda.cudart.cudaGraphExecUpdate(executable, graph, None) == 0
        one.run(executable)
        cuda.sync()
    return {}


@script
def graphs_that_are_forgotten(cuda):
    """Nobody destroys them; their context ends."""
    one = Captured(cuda)
    for _ in range(900):
        one.instantiate(one.capture())
    assert cuda.cudart.cudaDeviceReset() == 0
    other = type(cuda)(cuda.fakes)
    two = Captured(other)
    for _ in range(900):
        graph = two.capture()
        executable = two.instantiate(graph)
    two.run(executable)
    cuda.expected += other.expected
    return {}


@script
def launches_that_fail(cuda):
    """The second one, and who runs it is told so."""
    one = Captured(cuda, 2)
    executable = one.instantiate(one.capture())
    said = []
    for _ in range(4):
        said.append(one.launch(executable))
        if said[-1] == 0:
            one.expect()
    return {"said": said}


@script
def clones_and_children(cuda):
    """Nodes that are in other graphs, too: nothing says how often they run."""
    one = Captured(cuda, 2)
    graph = one.capture()
    clone, parent, node = C.c_void_p(), C.c_void_p(), C.c_void_p()
    first = one.instantiate(graph)
    one.run(first)
    assert cuda.cudart.cudaGraphClone(C.byref(clone), graph) == 0
    second = one.instantiate(clone)
    assert cuda.cudart.cudaGraphCreate(C.byref(parent), 0) == 0
    assert cuda.cudart.cudaGraphAddChildGraphNode(C.byref(node), parent, None, C.c_size_t(0), graph) == 0
    third = one.instantiate(parent)
    for executable in (second, first, third):
        one.run(executable)
    return {}
