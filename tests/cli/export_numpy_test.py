#!/usr/bin/python3
"""What numpy and a reader of safetensors make of the files that `orchtrace export` writes.

usage: export_numpy_test.py ORCHTRACE
"""
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

orchtrace = sys.argv[1]
failures = 0


def check(what, condition):
    global failures
    print(("ok      " if condition else "FAILED  ") + what)
    failures += not condition


def record(checkpoint, token, dtype, values):
    shown = [float(v) if np.isfinite(v) else None for v in values]
    nonfinite = [[i, "nan" if np.isnan(v) else "inf" if v > 0 else "-inf"]
                 for i, v in enumerate(values) if not np.isfinite(v)]
    line = {"ts": "2026-01-31T12:00:00.000Z", "team": "engine", "checkpoint": checkpoint, "token_idx": token,
            "dtype": dtype, "shape": f"[{len(values)}]"}
    if nonfinite:
        line["nonfinite"] = nonfinite
    return json.dumps(line | {"values": shown})


def read_safetensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    types = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
    notes = header.pop("__metadata__")
    end = 0
    arrays = {}
    for name, info in header.items():
        begin, stop = info["data_offsets"]
        check(f"{name} begins where the one before it ends", begin == end)
        end = stop
        arrays[name] = np.frombuffer(data[8 + size + begin:8 + size + stop], types[info["dtype"]]).reshape(info["shape"])
    check("the data end where the file does", 8 + size + end == len(data))
    return arrays, notes


with tempfile.TemporaryDirectory() as directory:
    directory = Path(directory)
    generator = np.random.default_rng(1)
    logits = generator.standard_normal((5, 7)).astype(np.float32)
    logits[1, 2], logits[3, 0], logits[3, 1] = np.nan, np.inf, -np.inf
    wide = generator.standard_normal((2, 3))
    ragged = [[1.0], [2.0, 3.0, 4.0]]
    lines = [record("logits", 10 + i, "f32", row) for i, row in enumerate(logits)]
    lines += [record("a/b c", i, "f64", row) for i, row in enumerate(wide)]
    lines += [record("ragged", i, "f32", row) for i, row in enumerate(ragged)]
    trace = directory / "t.jsonl"
    trace.write_text("\n".join(lines) + "\n")

    for name in ("t.npz", "again.npz", "t.safetensors"):
        subprocess.run([orchtrace, "export", trace, "-o", directory / name], check=True, stdout=subprocess.DEVNULL)
    arrays = dict(np.load(directory / "t.npz"))
    check("the same trace gives the same bytes",
          (directory / "t.npz").read_bytes() == (directory / "again.npz").read_bytes())
    check("f32 comes back to the bit, NaN and infinities too",
          arrays["logits"].dtype == np.float32 and np.array_equal(arrays["logits"], logits, equal_nan=True))
    check("f64 comes back to the bit", arrays["a/b c"].dtype == np.float64 and np.array_equal(arrays["a/b c"], wide))
    check("token_idx", arrays["logits.token_idx"].tolist() == [10, 11, 12, 13, 14])
    check("line", arrays["ragged.line"].tolist() == [8, 9])
    check("short rows end in NaN, and count says how short",
          arrays["ragged.count"].tolist() == [1, 3] and np.isnan(arrays["ragged"][0, 1:]).all()
          and arrays["ragged"][1].tolist() == [2, 3, 4])
    check("no other array", len(arrays) == 12)

    tensors, notes = read_safetensors(directory / "t.safetensors")
    check("safetensors hold the same",
          np.array_equal(tensors["logits"], logits, equal_nan=True) and np.array_equal(tensors["a/b c"], wide)
          and tensors["logits.token_idx"].tolist() == [10, 11, 12, 13, 14])
    check("the recorded shape is in the metadata", notes["logits"] == "recorded shape [7]")

sys.exit(1 if failures else 0)
