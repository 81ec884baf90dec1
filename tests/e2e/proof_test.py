#!/usr/bin/python3
"""End to end: the proof of a product says how wrong a BLAS is, and that a right one is right.

usage: proof_test.py --lib liborchtrace.so --blas LIBFAKE_BLAS_FULL.so

The fake BLAS plants the error that FAKE_FAULT names. Its program saves what it computed, so the true
error is known here and is what the trace has to say. Prints one `ok NAME` line per check.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

PROGRAM = """
import ctypes, sys
import numpy as np
blas = ctypes.CDLL(sys.argv[1])
kind, rows = sys.argv[3], int(sys.argv[4])
real = np.float64 if kind == "f64" else np.float32
rng = np.random.default_rng(5)
x = rng.standard_normal((rows, 512)).astype(real)
w = (rng.standard_normal((1024, 512)) / 16).astype(real)
if kind == "bf16":
    x, w = ((a.view(np.uint32) >> 16).astype(np.uint16) for a in (x, w))
name, number = {"f32": ("cblas_sgemm", ctypes.c_float), "f64": ("cblas_dgemm", ctypes.c_double),
                "bf16": ("cblas_sbgemm", ctypes.c_float)}[kind]
p = lambda a: a.ctypes.data_as(ctypes.c_void_p)
y = np.zeros((rows, 1024), real)
for alpha, beta in ((1, 0), (1, 0), (0.5, 0), (0.5, 1)):
    getattr(blas, name)(101, 111, 112, rows, 1024, 512, number(alpha), p(x), 512, p(w), 512, number(beta),
                        p(y), 1024)
    if beta == 0 and alpha == 1:
        np.savez(sys.argv[2], x=x, w=w, y=y)
"""

# A cache of keys: the operand grows by a row at each step, and the sample of it does not show that.
CACHE = """
import ctypes, sys
import numpy as np
blas = ctypes.CDLL(sys.argv[1])
rng = np.random.default_rng(6)
cache = np.zeros((4096, 64), np.float32)
y = np.zeros((1, 4096), np.float32)
p = lambda a: a.ctypes.data_as(ctypes.c_void_p)
for step in range(12):
    cache[step] = rng.standard_normal(64)
    x = rng.standard_normal((1, 64)).astype(np.float32)
    blas.cblas_sgemm(101, 111, 112, 1, 4096, 64, ctypes.c_float(1), p(x), 64, p(cache), 64, ctypes.c_float(0), p(y), 4096)
"""

FAULTS = ["", "output", "tail", "swap", "element", "unwritten", "scale", "bf16"]
failures = 0


def check(name, problem=""):
    global failures
    failures += bool(problem)
    print(f"not ok {name}: {problem}" if problem else f"ok {name}", flush=True)


def trace_of(options, directory, kind, rows, blas, program=PROGRAM, **settings):
    trace, arrays = directory / "trace.jsonl", directory / "arrays.npz"
    trace.unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "FAKE_"))}
    env |= {"LD_PRELOAD": str(options.lib), "ORCH_LOG_FILE": str(trace), "OPENBLAS_NUM_THREADS": "1"} | settings
    subprocess.run([sys.executable, "-c", program, blas, str(arrays), kind, str(rows)], env=env, check=True)
    records = [json.loads(line) for line in trace.read_text().splitlines()]
    return records, np.load(arrays) if program == PROGRAM else None


def wide(a):
    return (a.astype(np.uint32) << 16).view(np.float32).astype(float) if a.dtype == np.uint16 else a.astype(float)


def true_error(arrays):
    right, y = wide(arrays["x"]) @ wide(arrays["w"]).T, wide(arrays["y"])
    size = np.linalg.norm(y) or np.linalg.norm(right)
    return np.linalg.norm(y - right) / size, y


def problem_of(records, arrays, rows, fault):
    gemms = [r for r in records if r["kind"] == "gemm"]
    if [("proof" in g) for g in gemms] != [True, True, True, False]:
        return f"proofs: {['proof' in g for g in gemms]}; there is none where beta is 1"
    first, again, half, _ = (g.get("proof") for g in gemms)
    if first != again:
        return "the second call of the same product has another proof"
    error, y = true_error(arrays)
    if not fault:
        return "" if max(p["error"] for p in (first, half)) < 1e-6 else f"{first}, {half}"
    # 16 numbers, or 4, estimate the size of the error: one number, where one output is wrong. What
    # chance hides there, the rows of `worst` show.
    few = fault in ("output", "swap", "element")
    if not error / (6 if few else 3) < first["error"] < 3 * error:
        return f"{first['error']}, not {error}"
    if fault != "element" and first["worst"] < error / 4:
        return f"the worst is {first['worst']}, where {error} are wrong"
    if first["error"] < 1e-4 or len(first["residual"]) != (16 if rows > 1 else 4):
        return f"{first}"
    mixed = np.array(gemms[0]["y"]["mixed"]).reshape(-1, len(first["residual"])).sum(axis=0)
    residual = np.array(first["residual"])
    moved = np.flatnonzero(abs(residual) > 1e-3 * abs(residual).max())
    if fault == "scale" and not np.allclose(residual, mixed / 2, atol=1e-4 * abs(mixed).max()):
        return f"the residual of twice the product is not half of it: {residual}"
    if fault in ("output", "element") and len(moved) != 1:
        return f"one output is wrong, and these residuals moved: {moved}"
    if fault == "output" and (first["probe"] != 515 % len(residual) or first["worst"] < 1e-3):
        return f"the worst is {first}"
    if fault == "element" and rows > 1 and first["worst"] > 1e-6:
        return f"the wrong row is not selected, and the worst is {first['worst']}"
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lib", type=Path, required=True)
    parser.add_argument("--blas", type=Path, required=True)
    options = parser.parse_args()
    options.lib = options.lib.resolve()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for fault in FAULTS:
            for kind in ("f32", "f64", "bf16"):
                for rows in (1, 24):
                    if fault == "bf16" and kind == "bf16":
                        continue  # it is what it is
                    records, arrays = trace_of(options, directory, kind, rows, str(options.blas), FAKE_FAULT=fault)
                    check(f"{fault or 'no fault'}, {kind}, {rows} rows", problem_of(records, arrays, rows, fault))
        records, _ = trace_of(options, directory, "", 0, str(options.blas), program=CACHE)
        gemms = [r for r in records if r["kind"] == "gemm"]
        proofs = [g["proof"]["error"] for g in gemms if "proof" in g]
        check("an operand that changes is not taken for a wrong product", "" if len(gemms) == 12 and
              0 < len(proofs) < 12 and max(proofs) < 1e-6 and len({g["weight"] for g in gemms}) > 2 else
              f"{proofs}, {[g['weight'] for g in gemms]}")
        for mode in ("sketch", "names", "off"):
            records, _ = trace_of(options, directory, "f32", 3, str(options.blas), ORCH_TRACE_WEIGHTS=mode)
            check(f"no proof with ORCH_TRACE_WEIGHTS={mode}", "; ".join(
                r["checkpoint"] for r in records if "proof" in r))
        for rows, selected in (("all", 1), ("1", 1)):
            records, _ = trace_of(options, directory, "f32", 24, str(options.blas), ORCH_TRACE_ROWS=rows,
                                  FAKE_FAULT="scale")
            proof = next(r for r in records if r["kind"] == "gemm")["proof"]
            check(f"with ORCH_TRACE_ROWS={rows} the worst is of the last row",
                  "" if proof["token_idx"] == 23 else str(proof))
        try:
            ctypes.CDLL("libopenblas.so.0")
        except OSError:
            print("skipped: OpenBLAS is not installed")
            return 1 if failures else 0
        for kind in ("f32", "f64"):
            for rows in (1, 3, 500):
                records, arrays = trace_of(options, directory, kind, rows, "libopenblas.so.0")
                check(f"OpenBLAS is right, {kind}, {rows} rows", problem_of(records, arrays, rows, ""))
    return 1 if failures else 0


sys.exit(main())
