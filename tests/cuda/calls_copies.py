"""Copies: every function of the runtime and the driver, in every form."""
import ctypes as C

import numpy as np
from cuda_engine import script

TO_DEVICE, TO_HOST, ON_DEVICE, BY_ADDRESS = 1, 2, 3, 4  # cudaMemcpyKind
HOST, DEVICE, ARRAY, UNIFIED = 1, 2, 3, 4  # CUmemorytype
PER_THREAD = 2  # CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM


def members(names, kind=C.c_size_t):
    return [(name, kind) for name in names.split()]


class Pitched(C.Structure):
    _fields_ = members("data pitch width height")


class Box(C.Structure):
    """cudaMemcpy3DParms"""
    _fields_ = [("source_array", C.c_size_t), ("source_at", C.c_size_t * 3), ("source", Pitched),
                ("target_array", C.c_size_t), ("target_at", C.c_size_t * 3), ("target", Pitched),
                ("extent", C.c_size_t * 3), ("kind", C.c_int)]


class PeerBox(C.Structure):
    """cudaMemcpy3DPeerParms"""
    _fields_ = [("source_array", C.c_size_t), ("source_at", C.c_size_t * 3), ("source", Pitched), ("source_device", C.c_int),
                ("target_array", C.c_size_t), ("target_at", C.c_size_t * 3), ("target", Pitched), ("target_device", C.c_int),
                ("extent", C.c_size_t * 3)]


class DriverRectangle(C.Structure):
    """CUDA_MEMCPY2D"""
    _fields_ = [f for side in ("source", "target") for f in [
        *members(f"{side}_x {side}_y"), (f"{side}_type", C.c_int),
        *members(f"{side}_host {side}_device {side}_array {side}_pitch")]] + members("width height")


class DriverBox(C.Structure):
    """CUDA_MEMCPY3D, and CUDA_MEMCPY3D_PEER"""
    _fields_ = [f for side in ("source", "target") for f in [
        *members(f"{side}_x {side}_y {side}_z {side}_lod"), (f"{side}_type", C.c_int),
        *members(f"{side}_host {side}_device {side}_array {side}_context {side}_pitch {side}_height")]] + members(
            "width height depth")


def size(value):
    return C.c_size_t(value)


def pointer(array):
    return C.c_void_p(array.ctypes.data)


def found_by_the_driver(cuda, name, flags):
    """As a runtime inside a library finds it."""
    found = C.c_void_p()
    assert cuda.driver.cuGetProcAddress_v2(name.encode(), C.byref(found), 13000, C.c_uint64(flags), None) == 0, name
    return C.CFUNCTYPE(C.c_int)(found.value)


def routes(cuda, library, name, *, is_async):
    """The function and its twin, by dlsym; the driver's also by cuGetProcAddress. Each with the name it is recorded by."""
    twin = name + ("_ptsz" if is_async else "_ptds")
    out = [(n, getattr(library, n)) for n in (name, twin) if hasattr(library, n)]
    if library is cuda.driver:
        plain = name.removesuffix("_v2")
        out += [(name, found_by_the_driver(cuda, plain, 0)), (twin, found_by_the_driver(cuda, plain, PER_THREAD))]
    return out


class Copies:
    """What was copied, and what of it is to be recorded."""

    def __init__(self, cuda):
        self.cuda, self.expected = cuda, []
        self.to = np.zeros(1024, np.float32)

    def each(self, library, name, *arguments, values, is_async, stream=None, **more):
        for recorded_as, function in routes(self.cuda, library, name, is_async=is_async):
            self.to[:] = 0
            error = function(*arguments, *([stream] if is_async else []))
            assert error == 0, f"{recorded_as}: {error}"
            self.cuda.sync()
            if values is not None:
                self.expected.append({"op": recorded_as, "y": np.atleast_2d(values).tolist(), **more})

    def both(self, library, name, *arguments, **more):
        """Without and with a stream."""
        version = "_v2" if name.endswith("_v2") else ""
        self.each(library, name, *arguments, is_async=False, **more)
        self.each(library, name.removesuffix("_v2") + "Async" + version, *arguments, is_async=True, **more)


@script
def copies_to_the_host(cuda):
    """One row, some rows of a matrix, and boxes whose slices are close together; room between rows must not be read."""
    copies = Copies(cuda)
    slices, rows, cols, pitch = 3, 4, 24, 96
    values = cuda.values(slices, rows, cols)
    values[:, :, 21:] = np.nan  # in no copy
    at, to = cuda.upload(values), pointer(copies.to)
    address = at.value

    row = values[0, 0, :20]
    copies.both(cuda.cudart, "cudaMemcpy", to, at, size(80), TO_HOST, values=row)
    copies.both(cuda.cudart, "cudaMemcpy", to, at, size(80), BY_ADDRESS, values=row)
    copies.both(cuda.driver, "cuMemcpyDtoH_v2", to, at, size(80), values=row)
    copies.both(cuda.driver, "cuMemcpy", to, at, size(80), values=row)

    some = values[0, 1:4, 1:21]
    corner = C.c_void_p(address + pitch + 4)
    copies.both(cuda.cudart, "cudaMemcpy2D", to, size(80), corner, size(pitch), size(80), size(3), TO_HOST, values=some)
    copies.both(cuda.cudart, "cudaMemcpy2D", to, size(80), corner, size(pitch), size(80), size(3), BY_ADDRESS, values=some)
    for kinds in ((DEVICE, HOST), (UNIFIED, UNIFIED)):
        where = DriverRectangle(source_x=4, source_y=1, source_type=kinds[0], source_device=address, source_pitch=pitch,
                                target_type=kinds[1], target_pitch=80, width=80, height=3)
        setattr(where, "target_host" if kinds[1] == HOST else "target_device", to.value)
        copies.both(cuda.driver, "cuMemcpy2D_v2", C.byref(where), values=some)
        copies.each(cuda.driver, "cuMemcpy2DUnaligned_v2", C.byref(where), is_async=False, values=some)
    assert np.array_equal(copies.to[:60].reshape(3, 20), some)

    def boxes(z, y, depth, height, **more):
        box = Box(source=Pitched(address, pitch, cols, rows), source_at=(C.c_size_t * 3)(4, y, z),
                  target=Pitched(to.value, 80, 20, height), extent=(C.c_size_t * 3)(80, height, depth), kind=TO_HOST)
        copies.both(cuda.cudart, "cudaMemcpy3D", C.byref(box), **more)
        box = DriverBox(source_x=4, source_y=y, source_z=z, source_type=DEVICE, source_device=address, source_pitch=pitch,
                        source_height=rows, target_type=HOST, target_host=to.value, target_pitch=80, target_height=height,
                        width=80, height=height, depth=depth)
        copies.both(cuda.driver, "cuMemcpy3D_v2", C.byref(box), **more)

    boxes(1, 0, 2, 4, values=values[1:, :, 1:21].reshape(8, 20))
    boxes(0, 2, 3, 1, values=values[:, 2, 1:21])  # a row of each slice
    boxes(2, 1, 1, 2, values=values[2, 1:3, 1:21])
    return {"copies": copies.expected}


@script
def copies_that_are_not_recorded(cuda):
    """To a GPU, on it, on the host, and of nothing."""
    copies = Copies(cuda)
    at, other, to = cuda.upload(cuda.values(64)), cuda.memory(256), pointer(copies.to)
    none = {"values": None}
    for kind, target, source in ((TO_DEVICE, at, to), (ON_DEVICE, other, at), (0, to, pointer(np.zeros(64, np.float32))),
                                 (BY_ADDRESS, at, to), (BY_ADDRESS, other, at)):
        copies.both(cuda.cudart, "cudaMemcpy", target, source, size(256), kind, **none)
        copies.both(cuda.cudart, "cudaMemcpy2D", target, size(64), source, size(64), size(64), size(4), kind, **none)
    copies.both(cuda.cudart, "cudaMemcpy", to, at, size(0), TO_HOST, **none)
    copies.both(cuda.driver, "cuMemcpy", at, to, size(256), **none)
    copies.both(cuda.driver, "cuMemcpyDtoD_v2", other, at, size(256), **none)
    copies.both(cuda.driver, "cuMemcpyPeer", other, None, at, None, size(256), **none)
    copies.each(cuda.cudart, "cudaMemcpyPeer", other, 0, at, 0, size(256), is_async=False, **none)
    box = DriverBox(source_type=HOST, source_host=to.value, source_pitch=64, source_height=2, target_type=DEVICE,
                    target_device=at.value, target_pitch=64, target_height=2, width=64, height=2, depth=2)
    copies.both(cuda.driver, "cuMemcpy3D_v2", C.byref(box), **none)
    return {}


@script
def copies_of_no_floats(cuda):
    copies = Copies(cuda)
    at, to = cuda.memory(1024), pointer(copies.to)
    copies.both(cuda.cudart, "cudaMemcpy", to, at, size(60), TO_HOST, values=None)
    copies.both(cuda.cudart, "cudaMemcpy", to, at, size(66), TO_HOST, values=None)
    copies.both(cuda.cudart, "cudaMemcpy", to, C.c_void_p(at.value + 2), size(64), TO_HOST, values=None)
    copies.both(cuda.cudart, "cudaMemcpy2D", to, size(32), at, size(33), size(32), size(4), TO_HOST, values=None)
    return {"calls": 16}


@script
def copies_that_cannot_be_read(cuda):
    """Slices with room between them, an array, batches."""
    copies = Copies(cuda)
    at, to = cuda.upload(cuda.values(3, 4, 24)), pointer(copies.to)
    box = Box(source=Pitched(at.value, 96, 24, 4), target=Pitched(to.value, 80, 20, 2),
              extent=(C.c_size_t * 3)(80, 2, 3), kind=TO_HOST)
    copies.both(cuda.cudart, "cudaMemcpy3D", C.byref(box), values=None)

    array = C.c_void_p()
    shape = (C.c_size_t * 3)(16, 4, 0x20 | 1 << 32)  # of f32, one channel
    assert cuda.driver.cuArrayCreate_v2(C.byref(array), shape) == 0
    where = DriverRectangle(source_type=ARRAY, source_array=array.value, target_type=HOST, target_host=to.value,
                            target_pitch=64, width=64, height=4)
    copies.both(cuda.driver, "cuMemcpy2D_v2", C.byref(where), values=None)

    stream = C.c_void_p()
    assert cuda.cudart.cudaStreamCreateWithFlags(C.byref(stream), 1) == 0
    three = C.c_uint64 * 3
    targets, sources = three(to.value, at.value, to.value + 256), three(at.value, to.value, at.value)
    batch = [targets, sources, three(96, 96, 64), size(3), None, None, size(0)]
    for _, function in routes(cuda, cuda.cudart, "cudaMemcpyBatchAsync", is_async=True):
        assert function(*batch, stream) == 0
    for name, rest in (("cuMemcpyBatchAsync", [None, stream]), ("cuMemcpyBatchAsync_v2", [stream])):
        for twin in (name, name + "_ptsz"):
            assert getattr(cuda.driver, twin)(*batch, *rest) == 0
    return {"boxes": 4, "rectangles": 8, "batched": 12}


@script
def copies_between_devices(cuda):
    """Device memory can be read by kernels of its own device alone: an end that is digested on the other one kills."""
    copies = Copies(cuda)
    assert cuda.cudart.cudaSetDevice(0) == 0
    values = cuda.values(6, 24)
    wide = np.full((6, 32), np.nan, np.float32)
    wide[:, :24] = values
    source = cuda.upload(wide)
    ends, streams, contexts = [source], [], []
    for device in (0, 1):
        assert cuda.cudart.cudaSetDevice(device) == 0
        if device == 1:
            ends.append(cuda.memory(6 * 96))
        stream, context = C.c_void_p(), C.c_void_p()
        assert cuda.cudart.cudaStreamCreateWithFlags(C.byref(stream), 1) == 0
        streams.append(stream)
        assert cuda.driver.cuCtxGetCurrent(C.byref(context)) == 0
        contexts.append(context)
    target = ends[1]
    row = wide[0, :24]
    box = PeerBox(source=Pitched(source.value, 128, 32, 6), source_device=0, target=Pitched(target.value, 96, 24, 6),
                  target_device=1, extent=(C.c_size_t * 3)(96, 3, 2))
    box.source.height = box.target.height = 3
    driver_box = DriverBox(source_type=DEVICE, source_device=source.value, source_context=contexts[0].value, source_pitch=128,
                           source_height=3, target_type=DEVICE, target_device=target.value,
                           target_context=contexts[1].value, target_pitch=96, target_height=3, width=96, height=3, depth=2)
    for device in (0, 1):
        assert cuda.cudart.cudaSetDevice(device) == 0
        more = {"device": device, "from": 0, "to": 1}
        by_peer = [(cuda.cudart, "cudaMemcpyPeer", [target, 1, source, 0, size(96)]),
                   (cuda.driver, "cuMemcpyPeer", [target, contexts[1], source, contexts[0], size(96)])]
        for library, name, arguments in by_peer:
            copies.both(library, name, *arguments, values=row, **more)
            copies.each(library, name + "Async", *arguments, is_async=True, stream=streams[device], values=row, **more)
        copies.both(cuda.cudart, "cudaMemcpy3DPeer", C.byref(box), values=values, **more)
        copies.both(cuda.driver, "cuMemcpy3DPeer", C.byref(driver_box), values=values, **more)
        copies.both(cuda.cudart, "cudaMemcpy", target, source, size(96), ON_DEVICE, values=row, **more)
        copies.both(cuda.cudart, "cudaMemcpy", target, source, size(96), BY_ADDRESS, values=row, **more)
        copies.both(cuda.driver, "cuMemcpyDtoD_v2", target, source, size(96), values=row, **more)
        copies.both(cuda.driver, "cuMemcpy", target, source, size(96), values=row, **more)
        # On one device it is no record, nor from the host.
        own = ends[device]
        copies.both(cuda.driver, "cuMemcpyPeer", own, contexts[device], own, contexts[device], size(96), values=None)
        copies.both(cuda.cudart, "cudaMemcpy", own, own, size(96), BY_ADDRESS, values=None)
        copies.both(cuda.cudart, "cudaMemcpy", target, pointer(np.zeros(24, np.float32)), size(96), BY_ADDRESS, values=None)
    # What is on one device, through a stream of the other: the copy may, a kernel may not.
    assert cuda.cudart.cudaSetDevice(0) == 0
    copies.both(cuda.cudart, "cudaMemcpy", pointer(copies.to), target, size(64), TO_HOST, values=None)
    return {"copies": copies.expected, "unreadable": 4}


@script
def copies_with_wrong_arguments(cuda):
    """What CUDA says to them."""
    copies = Copies(cuda)
    at, to = cuda.memory(1024), pointer(copies.to)
    nobody = C.c_void_p(0x7000dead0000)
    said = []

    def each(library, name, *arguments, is_async=False):
        for op, function in routes(cuda, library, name, is_async=is_async):
            said.append([op, function(*arguments, *([None] if is_async else []))])

    for target, source, count, kind in ((None, at, 64, TO_HOST), (to, None, 64, TO_HOST), (to, at, 0, TO_HOST),
                                        (None, None, 0, BY_ADDRESS), (to, at, 64, 7), (to, at, 64, -1),
                                        (to, at, 1 << 40, TO_HOST), (to, to, 64, TO_HOST), (at, at, 64, TO_DEVICE)):
        each(cuda.cudart, "cudaMemcpy", target, source, size(count), kind)
        each(cuda.cudart, "cudaMemcpyAsync", target, source, size(count), kind, is_async=True)
        each(cuda.cudart, "cudaMemcpy2D", target, size(32), source, size(64), size(32), size(count // 32), kind)
        each(cuda.cudart, "cudaMemcpyPeer", target, 0, source, 0, size(count))
        each(cuda.driver, "cuMemcpy", target, source, size(count))
        each(cuda.driver, "cuMemcpyDtoH_v2", target, source, size(count))
        each(cuda.driver, "cuMemcpyPeerAsync", target, None, source, None, size(count), is_async=True)
    each(cuda.cudart, "cudaMemcpy2D", to, size(64), at, size(16), size(64), size(4), TO_HOST)
    for name in ("cudaMemcpy3D", "cudaMemcpy3DPeer"):
        each(cuda.cudart, name, None)
        each(cuda.cudart, name + "Async", None, is_async=True)
    for name in ("cuMemcpy2D_v2", "cuMemcpy3D_v2", "cuMemcpy3DPeer"):
        each(cuda.driver, name, None)
    each(cuda.cudart, "cudaMemcpyBatchAsync", None, None, None, size(2), None, None, size(0), is_async=True)
    said.append(["stream", cuda.cudart.cudaMemcpyAsync(to, at, size(64), TO_HOST, nobody)])
    cuda.sync()
    return {"said": said}
