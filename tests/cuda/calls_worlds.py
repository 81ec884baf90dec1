"""Contents, threads, versions, contexts and processes that come and go."""
import ctypes as C
import os
import threading

from cuda_engine import N, T, Cuda, f, script


@script
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


@script
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


@script
def two_major_versions(cuda):
    """12 and 13 in one process: each caller reaches its own."""
    old = Cuda(cuda.fakes, 12)
    for one in (cuda, old, cuda, old):
        cuda.expect("cublasSgemm_v2", one.multiply(one.values(4, 5), one.values(3, 5)))
    return {}


@script
def a_context_that_ends(cuda):
    w, x = cuda.values(4, 5), cuda.values(3, 5)
    a, b, c = cuda.upload(w), cuda.upload(x), cuda.memory(48)

    def product():
        return cuda.blas.cublasSgemm_v2(cuda.handle, T, N, 4, 3, 5, f(1), a, 5, b, 5, f(0), c, 4)

    assert product() == 0
    cuda.expect("cublasSgemm_v2", x @ w.T)
    cuda.sync()
    assert cuda.cudart.cudaDeviceReset() == 0
    cuda.ended = True
    return {}


@script
def forks_after_cuda(cuda):
    cuda.expect("cublasSgemm_v2", cuda.multiply(cuda.values(4, 5), cuda.values(3, 5)))
    cuda.sync()
    child = os.fork()
    if child == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    return {}
