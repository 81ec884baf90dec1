"""Memory that goes, and what comes to its address."""
import ctypes as C

import numpy as np
from cuda_engine import Cuda, N, T, f, script

UNIT = 2 << 20  # what physical memory comes in


def upload(cuda, address, array):
    assert cuda.cudart.cudaMemcpy(address, C.c_void_p(array.ctypes.data), C.c_size_t(array.nbytes), 1) == 0


class Product:
    """Of weights of one shape, which no other product of the script has."""

    def __init__(self, cuda, outputs):
        self.m, self.n, self.k = outputs, 3, 5
        self.x = cuda.values(self.n, self.k)
        self.b, self.c = cuda.upload(self.x), cuda.memory(self.n * self.m * 4)

    def run(self, cuda, at, w, **more):
        status = cuda.blas.cublasSgemm_v2(cuda.handle, T, N, self.m, self.n, self.k, f(1), at, self.k, self.b, self.k, f(0),
                                          self.c, self.m)
        assert status == 0, status
        cuda.expect("cublasSgemm_v2", self.x @ w.T, w=w.tolist(), **more)


def at_the_same_address(allocate, wanted):
    """What the allocator gives may be another address first."""
    kept = []
    for _ in range(64):
        at = allocate()
        if wanted is None or at.value == wanted:
            return at
        kept.append(at)
    raise AssertionError("the allocator does not give the address again")


def mapped(cuda, reserved):
    """Physical memory at an address of our choice, as pools and vLLM's sleep mode have it."""
    handle, where = C.c_uint64(), (C.c_int * 16)(1, 0, 1, 0)
    assert cuda.driver.cuMemCreate(C.byref(handle), C.c_size_t(UNIT), where, C.c_uint64(0)) == 0
    assert cuda.driver.cuMemMap(reserved, C.c_size_t(UNIT), C.c_size_t(0), handle, C.c_uint64(0)) == 0
    assert cuda.driver.cuMemSetAccess(reserved, C.c_size_t(UNIT), (C.c_int * 3)(1, 0, 3), C.c_size_t(1)) == 0
    assert cuda.driver.cuMemRelease(handle) == 0
    return reserved


@script
def models_that_come_and_go(cuda):
    """Six models after each other at one address, by each function that frees. The last one is the first again."""
    reserved = C.c_void_p()
    assert cuda.driver.cuMemAddressReserve(C.byref(reserved), C.c_size_t(UNIT), C.c_size_t(0), C.c_uint64(0),
                                           C.c_uint64(0)) == 0
    free = {
        "cudaFree": cuda.cudart.cudaFree,
        "cudaFreeAsync": lambda at: cuda.cudart.cudaFreeAsync(at, None),
        "cudaFreeAsync_ptsz": lambda at: cuda.cudart.cudaFreeAsync_ptsz(at, None),
        "cuMemFree_v2": cuda.driver.cuMemFree_v2,
        "cuMemFreeAsync": lambda at: cuda.driver.cuMemFreeAsync(at, None),
        "cuMemFreeAsync_ptsz": lambda at: cuda.driver.cuMemFreeAsync_ptsz(at, None),
        "cuMemUnmap": lambda at: cuda.driver.cuMemUnmap(at, C.c_size_t(UNIT)),
    }
    for outputs, (name, give_back) in enumerate(free.items(), 4):
        product = Product(cuda, outputs)
        address, models = None, [cuda.values(product.m, product.k) for _ in range(6)]
        for i, w in enumerate([*models, models[0]]):
            if name == "cuMemUnmap":
                at = mapped(cuda, reserved)
            else:
                # The weight lies within its allocation, as in a model's buffer.
                at = at_the_same_address(lambda: cuda.memory(256 + w.nbytes), address)
            address = at.value
            within = C.c_void_p(address + 256)
            upload(cuda, within, w)
            for _ in range(3):
                product.run(cuda, within, w, free=name, model=i % 6)
            cuda.sync()
            assert give_back(at) == 0, name
            cuda.sync()
    return {}


@script
def temporaries(cuda):
    """An operand whose memory goes after each product, with other content each time."""
    product, address = Product(cuda, 4), None
    for _ in range(24):
        w = cuda.values(product.m, product.k)
        at = at_the_same_address(lambda: cuda.upload(w), address)
        address = at.value
        upload(cuda, at, w)
        product.run(cuda, at, w)
        cuda.sync()
        assert cuda.cudart.cudaFree(at) == 0
    return {}


@script
def a_model_after_a_reset(cuda):
    """The context goes, and the probes with it; a new one has a model at the same address."""
    first = Product(cuda, 4)
    w = cuda.values(4, 5)
    at = cuda.upload(w)
    for _ in range(3):
        first.run(cuda, at, w)
    cuda.sync()
    assert cuda.cudart.cudaDeviceReset() == 0
    again = Cuda(cuda.fakes)
    again.expected = cuda.expected
    w = cuda.values(4, 5)
    address = at.value
    at = at_the_same_address(lambda: again.memory(w.nbytes), address)
    upload(again, at, w)
    second = Product(again, 4)
    for _ in range(3):
        second.run(again, at, w)
    again.sync()
    return {"same_address": at.value == address}


@script
def frees_with_wrong_arguments(cuda):
    """What CUDA says to them; in between a weight at whose address they are tried."""
    product, w = Product(cuda, 4), cuda.values(4, 5)
    at = cuda.upload(w)
    product.run(cuda, at, w)
    within, nobody, said = C.c_void_p(at.value + 16), C.c_void_p(0x7000dead0000), []

    def each(pointer):
        for name in ("cudaFree", "cudaFreeAsync", "cudaFreeAsync_ptsz"):
            stream = [None] if "Async" in name else []
            said.append([name, getattr(cuda.cudart, name)(pointer, *stream)])
        for name in ("cuMemFree_v2", "cuMemFreeAsync", "cuMemFreeAsync_ptsz"):
            stream = [None] if "Async" in name else []
            said.append([name, getattr(cuda.driver, name)(pointer, *stream)])
        said.append(["cuMemUnmap", cuda.driver.cuMemUnmap(pointer, C.c_size_t(UNIT))])

    for pointer in (None, within, nobody, C.c_void_p(np.zeros(4).ctypes.data)):
        each(pointer)
    # Refused, so the weight is still what it was: asked for once more, and written once.
    for _ in range(2):
        product.run(cuda, at, w)
    cuda.sync()
    assert cuda.cudart.cudaFree(at) == 0
    said.append(["again", cuda.cudart.cudaFree(at)])
    return {"said": said}
