"""Whole tensors beside a trace (ORCH_TRACE_FULL): a reader by the definition of safetensors, and whether a file is
what its record says."""
import json
import sys
from pathlib import Path

import numpy as np

from checks import check, equal

sys.path.append(str(Path(__file__).resolve().parents[1] / "docs"))
from reference import Reference, feature_hash, position_multiplier  # noqa: E402

TYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "BF16": np.uint16, "F8_E4M3": np.uint8,
         "F8_E5M2": np.uint8, "I8": np.int8, "I32": np.int32}
NAMES = {"F32": "f32", "F64": "f64", "F16": "f16", "BF16": "bf16", "F8_E4M3": "e4m3", "F8_E5M2": "e5m2", "I8": "i8",
         "I32": "i32"}


class Full:
    """One file: `data` as it lies there, `values` as f32 (f64 stays)."""

    def __init__(self, path):
        raw = Path(path).read_bytes()
        length = int.from_bytes(raw[:8], "little")
        equal(length % 8, 0, "alignment of the elements")
        header = json.loads(raw[8:8 + length])
        self.metadata = header.pop("__metadata__")
        check(all(isinstance(v, str) for v in self.metadata.values()), f"metadata that is no text: {self.metadata}")
        equal(list(header), ["y"], "tensors")
        self.dtype = header["y"]["dtype"]
        begin, end = header["y"]["data_offsets"]
        equal((begin, end), (0, len(raw) - 8 - length), "offsets")
        self.data = np.frombuffer(raw, TYPES[self.dtype], offset=8 + length).reshape(header["y"]["shape"])
        if self.dtype == "BF16":
            self.values = (self.data.astype(np.uint32) << 16).view(np.float32)
        elif self.dtype == "F64":
            self.values = self.data
        else:
            self.values = self.data.astype(np.float32)

    @property
    def positions(self):
        listed = self.metadata.get("token_positions")
        return [int(p) for p in listed.split(",")] if listed else None


def hash_of(full, reference):
    """Of the elements' own bits; f64 is digested as f32."""
    if full.dtype in ("F32", "F64"):
        return reference.hash
    bits = full.data.view(f"u{full.data.itemsize}").astype(np.uint64)
    inner = (bits * (feature_hash(reference.cols) | np.uint64(1))).sum(axis=1, dtype=np.uint64)
    positions = full.positions or range(reference.rows)
    return int((inner * position_multiplier(positions)).sum(dtype=np.uint64))


def full_of(record, trace):
    """The file that a record of this trace names, which is what the record says of it."""
    full = Full(Path(trace).parent / record["full"])
    what, y = record["checkpoint"], record["y"]
    for key in ("checkpoint", "name", "op", "call", "pass", "batch_index", "graph", "replay", "positions"):
        expected = str(record[key]) if key in record else None
        equal(full.metadata.get(key), expected, f"{key} in the file of {what}")
    equal((NAMES[full.dtype], list(full.data.shape)), (y["dtype"], [y["rows"], y["cols"]]), f"type and shape of {what}")
    if full.positions:
        equal(full.positions[-1], record["token_idx"], f"last position of {what}")
    reference = Reference(full.values, full.positions)
    equal(f"{hash_of(full, reference):016x}", y["hash"], f"hash of {what}")
    equal([float(reference.max), float(reference.min), reference.argmax],
          [np.float32(y["max"]), np.float32(y["min"]), y["argmax"]], f"extremes of {what}")
    shown = np.array(record["values"], np.float64).astype(full.values.dtype)
    equal(full.values[-1, :len(shown)].tolist(), shown.tolist(), f"values of {what}")
    return full


def folder_of(trace):
    return Path(f"{trace}.full")


def check_folder(trace, records):
    """Each file is named by one record, and each record names one. The files by their records' numbers."""
    named = [r for r in records if isinstance(r.get("full"), str)]
    files = {r["call"]: full_of(r, trace) for r in named}
    found = sorted(p.name for p in folder_of(trace).iterdir()) if folder_of(trace).exists() else []
    equal(found, sorted(Path(r["full"]).name for r in named), "files beside the trace")
    return files


def check_full_counts(ledger, recorded, dropped=0):
    equal(ledger.get("full"), {"seen": recorded + dropped, "recorded": recorded, "filtered": 0, "dropped": dropped},
          "whole results in the ledger")
