"""Checkpoints of a Python engine, in an orchtrace trace or in a file of their own.

    import orch_log
    orch_log.log("logits", logits, token_idx=position)

`array` may be a numpy array, a torch tensor on any device, an array.array, or a sequence of
numbers. With liborchtrace.so injected the record goes into its trace; otherwise, if ORCH_LOG_FILE
is set, one line of JSON is appended to that file (%p pid, %h host, %e executable, %r rank).
ORCH_LOG_TEAM and ORCH_LOG_VALUES work as they do in orch_log.hpp. Without both, a call returns at
once. Nothing here raises or prints: a trace must not stop an engine.
"""

import array as _array
import ctypes
import datetime
import json
import math
import os
import re
import struct
import threading

_SIZES = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8}
_FORMATS = {"f": "f32", "e": "f16", "d": "f64"}


class _Library:
    """The functions that an injected liborchtrace.so exports."""

    def __init__(self):
        process = ctypes.CDLL(None)
        self._log = process.orch_trace_log  # AttributeError: not injected
        self._log.restype = None
        self._log.argtypes = [
            ctypes.c_char_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_int64,
        ]
        self.enabled = process.orch_trace_enabled
        self.flush = process.orch_trace_flush
        self.flush.restype = None

    limit = None  # it wants all values

    def log(self, checkpoint, values, token_idx, shape):
        names = (text.encode("utf-8", "replace") for text in (checkpoint, values.dtype, shape))
        checkpoint, dtype, shape = names
        self._log(checkpoint, values.address, values.count, dtype, shape, token_idx)


class _File:
    """Stands alone. Each record is one write of a whole line, so there is nothing to flush, also
    in multiprocessing workers, which skip the handlers that run at exit."""

    def __init__(self, name):
        self._name = name
        self._fd = None
        self._pid = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._after_fork)
        self.team = os.environ.get("ORCH_LOG_TEAM") or _executable()
        values = os.environ.get("ORCH_LOG_VALUES", "")
        number = int(values) if re.fullmatch("[0-9]{1,20}", values) else 0
        self.limit = number if 0 < number < 2**64 else 10

    def _after_fork(self):
        self._lock = threading.Lock()  # another thread may have held it
        if "%p" in self._name and self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def enabled(self):
        return self._name is not None

    def flush(self):
        pass

    def log(self, checkpoint, values, token_idx, shape):
        now = datetime.datetime.now(datetime.timezone.utc)
        record = {
            "ts": now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "team": self.team,
            "checkpoint": checkpoint,
            "token_idx": int(token_idx),
            "dtype": values.dtype,
            "shape": shape,
        }
        numbers = values.first(self.limit)
        nonfinite = [[i, _name(v)] for i, v in enumerate(numbers) if not math.isfinite(v)]
        if nonfinite:
            record["nonfinite"] = nonfinite
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        texts = ",".join(_text(v, values.dtype == "f64") for v in numbers)
        line = re.sub("[\ud800-\udfff]", "\ufffd", text[:-1]) + ',"values":[' + texts + "]}\n"
        self._write(line.encode())

    def _write(self, line):
        with self._lock:
            try:
                if self._fd is None:
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                    self._fd = os.open(_expand(self._name), flags, 0o644)
                while line:
                    line = line[os.write(self._fd, line) :]
            except OSError:
                self._name, self._fd = None, None  # silent from now on


class _Values:
    """Values in host memory: dtype, shape, count, address, and whatever keeps them alive."""

    def __init__(self, array, dtype, limit):
        if hasattr(array, "detach") and hasattr(array, "data_ptr"):
            self._from_torch(array, limit)
        else:
            self._from_buffer(array)
        # The name of bits whose type the array cannot say, such as bf16 in uint16.
        if dtype in _SIZES and _SIZES[dtype] == self._itemsize:
            self.dtype = dtype
        elif self.dtype is None:
            self._from_buffer(_array.array("d", self._numbers()))

    def _from_torch(self, tensor, limit):
        self.shape = tuple(tensor.shape)
        flat = tensor.detach().reshape(-1)
        if limit is not None:
            flat = flat[:limit]  # a whole vocabulary need not leave the GPU for ten values
        names = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64"}
        self.dtype = names.get(str(flat.dtype).replace("torch.", ""))
        flat = flat.cpu().contiguous()
        self._owner, self._numbers = flat, flat.tolist
        self._itemsize = flat.element_size()
        self.count, self.address = flat.numel(), flat.data_ptr()

    def _from_buffer(self, array):
        shape = getattr(self, "shape", None)
        if hasattr(array, "__array_interface__"):
            import numpy

            self.shape = array.shape
            name = array.dtype.name
            flat = numpy.ascontiguousarray(array).reshape(-1)
            if not flat.dtype.isnative:
                flat = flat.astype(flat.dtype.newbyteorder("="))
            self.dtype = "bf16" if name == "bfloat16" else _FORMATS.get(flat.dtype.char)
            self._owner, self._numbers = flat, flat.tolist
            self._itemsize = flat.dtype.itemsize
            self.count, self.address = flat.size, flat.ctypes.data
            return
        if not isinstance(array, _array.array):
            array = _array.array("d", array)
        self.shape = (len(array),) if shape is None else shape
        self.dtype = _FORMATS.get(array.typecode)
        self._owner, self._numbers = array, array.tolist
        self._itemsize = array.itemsize
        self.address, self.count = array.buffer_info()

    def first(self, limit):
        count = min(limit, self.count)
        raw = ctypes.string_at(self.address, count * self._itemsize)
        if self.dtype == "bf16":
            raw = b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2))
        code = {"f16": "e", "f64": "d"}.get(self.dtype, "f")
        return struct.unpack(f"<{count}{code}", raw)


def _name(value):
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _text(value, wide):
    if not math.isfinite(value):
        return "null"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0"  # many readers take -0 for an integer
    if wide:
        return repr(value)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        try:
            if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
                return text
        except OverflowError:  # rounded up, beyond the largest float
            pass
    return f"{value:.9g}"


def _executable():
    try:
        return os.path.basename(os.readlink("/proc/self/exe"))
    except OSError:
        return "python"


def _expand(name):
    ranks = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
    values = {
        "p": lambda: str(os.getpid()),
        "h": lambda: os.uname().nodename,
        "e": _executable,
        "r": lambda: next((os.environ[n] for n in ranks if os.environ.get(n)), "0"),
    }
    return re.sub("%([pher])", lambda match: values[match[1]](), name)


_sink = None
_looked = False


def _find_sink():
    global _sink, _looked
    if not _looked:
        try:
            _sink = _Library()
        except (AttributeError, OSError):
            name = os.environ.get("ORCH_LOG_FILE")
            _sink = _File(name) if name else None
        _looked = True
    return _sink


def enabled():
    """True if a record would be written: ask before work that only serves a record."""
    sink = _find_sink()
    return sink is not None and bool(sink.enabled())


def log(checkpoint, array, token_idx=0, dtype=None, shape=None):
    """Adds one record. `dtype` ("f32", "f16", "bf16", "f64") says what the bits are where the array
    cannot, e.g. bf16 kept in uint16; `shape` is text or a tuple, and the array's own by default."""
    if not enabled():
        return
    try:
        values = _Values(array, dtype, _sink.limit)
        if shape is None:
            shape = values.shape
        if not isinstance(shape, str):
            shape = "[" + ",".join(str(int(size)) for size in shape) + "]"
        _sink.log(str(checkpoint), values, token_idx, shape)
    except Exception:
        pass


def flush():
    """Writes out what the library has buffered, before a point that may crash."""
    sink = _find_sink()
    if sink is not None:
        sink.flush()
