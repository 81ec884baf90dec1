#!/usr/bin/env python3
"""End to end: oneDNN products, from a program of known integers, a fake library, and PyTorch.

usage: onednn_test.py --lib liborchtrace.so --apps DIR [--model DIR]

DIR holds onednn_app and libfake_onednn.so. Without --model (a directory made by
scripts/engines/make_model.py) PyTorch is left out. Prints one `ok NAME` line per check.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # the one that Debian's PyTorch is for

# ctypes reaches the library through dlsym, as many engines do.
FAKE = """
import ctypes, sys
for path in sys.argv[1:]:
    fake = ctypes.CDLL(path)
    fake.fake_arguments.restype = ctypes.c_void_p
    fake.fake_result.restype = ctypes.POINTER(ctypes.c_float)
    count = ctypes.c_int()
    arguments = ctypes.c_void_p(fake.fake_arguments(ctypes.byref(count)))
    for _ in range(3):
        assert fake.dnnl_primitive_execute(None, None, count, arguments) == 0
    print(fake.fake_result()[:8])
"""

failures = 0


def check(name, problem=""):
    """`problem` says what is wrong; empty: nothing."""
    global failures
    failures += bool(problem)
    print(f"not ok {name}: {problem}" if problem else f"ok {name}")


class Run:
    def __init__(self, options, command, **environment):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ORCH_")} | environment
        env.setdefault("OMP_NUM_THREADS", "2")
        self.plain = subprocess.run(command, env=env, capture_output=True, text=True)
        with tempfile.TemporaryDirectory() as directory:
            trace = Path(directory, "trace.jsonl")
            env |= {"LD_PRELOAD": str(options.lib), "ORCH_LOG_FILE": str(trace),
                    "ORCH_LOG_VALUES": "100"}
            self.traced = subprocess.run(command, env=env, capture_output=True, text=True)
            text = trace.read_text() if trace.exists() else ""
        self.records = [json.loads(line) for line in text.splitlines()]
        if self.plain.returncode != 0:
            print(self.plain.stderr, file=sys.stderr)

    def kind(self, kind):
        return [r for r in self.records if r["kind"] == kind]

    def weights(self):
        return {r["weight"]: r for r in self.kind("weight")}

    def blind_spots(self):
        return [r["what"] for r in self.kind("blind_spot")]

    def undisturbed(self):
        """The engine's results are its own with and without a trace."""
        if self.plain.returncode != 0 or self.traced.returncode != 0:
            return f"exit status {self.plain.returncode}, traced {self.traced.returncode}"
        return "" if self.plain.stdout == self.traced.stdout else "the output differs"


def energy(rows):
    return sum(v * v for row in rows for v in row)


def product(x, w):
    return [[sum(a * b for a, b in zip(row, out)) for out in w] for row in x]


def side_problem(name, side, rows):
    if (side["rows"], side["cols"]) != (len(rows), len(rows[0])):
        return f"{name} is {side['rows']} x {side['cols']}"
    last_row = side.get("last_row", side)  # left out where it would repeat the whole
    if side["energy"] != energy(rows) or last_row["energy"] != energy(rows[-1:]):
        return f"{name} has energy {side['energy']}, not {energy(rows)}"
    return ""


def weight_problem(record, rows):
    if json.loads(record["shape"]) != [len(rows), len(rows[0])]:
        return f"the weight is {record['shape']}"
    if record["energy"] != energy(rows) or record["values"] != rows[0]:
        return "the weight has other values"
    by_row = {r["row"]: r["energy"] for r in record["row_digests"]}
    wrong = [r for r, e in by_row.items() if e != energy([rows[r]])]
    return f"rows {wrong} of the weight" if wrong else ""


def product_problem(want, got, weights):
    if got["op"] != want["op"] or got.get("batch_index") != want.get("batch_index"):
        return f"op {got['op']}, batch {got.get('batch_index')}"
    scaled = want["case"] == "scaled"
    if "w" in want and "+" not in want["op"] and (product(want["x"], want["w"]) != want["y"]) != scaled:
        return "oneDNN's own result is wrong"
    proof = got.get("proof")
    if (proof is not None) != ("w" in want and "+" not in want["op"] and not scaled):
        return f"proof {proof}"
    if proof is not None and proof["error"] != 0:  # whole numbers: nothing is rounded
        return f"proof {proof} of a right product"
    if got["values"] != want["y"][-1]:
        return f"values {got['values']}, not {want['y'][-1]}"
    if ("w" in want) != ("weight" in got):
        return f"weight {got.get('weight')}"
    problem = side_problem("x", got["x"], want["x"]) or side_problem("y", got["y"], want["y"])
    if not problem and "w" in want:
        problem = weight_problem(weights[got["weight"]], want["w"])
    return problem


def app_checks(options):
    run = Run(options, [str(options.apps / "onednn_app")])
    check("app undisturbed", run.undisturbed())
    wanted = [json.loads(line) for line in run.plain.stdout.splitlines() if line.startswith("{")]
    found = run.kind("gemm")
    check("app products", "" if len(wanted) == len(found) else f"{len(found)} of {len(wanted)}")
    weights = run.weights()
    for want, got in zip(wanted, found):
        batch = f" {want['batch_index']}" if "batch_index" in want else ""
        check(f"{want['op']}, {want['case']}{batch}", product_problem(want, got, weights))
    expected = []
    if any("w" not in want for want in wanted):
        expected.append("oneDNN weights")
    if "# integers" not in run.plain.stdout:
        expected.append("oneDNN integer products")
    check("app blind spots", "" if run.blind_spots() == expected else str(run.blind_spots()))


def fake_checks(options):
    library = str(options.apps / "libfake_onednn.so")
    result = [7, 5, 1, -1, 16, 11, 7, -4]
    for mode, products, blind_spot in [
            ("", 3, None), ("threadpool", 3, None), ("version", 0, "oneDNN primitives"),
            ("sycl", 0, "oneDNN primitives"), ("scrambled", 0, "oneDNN primitives"),
            ("gpu", 0, "oneDNN on a GPU"), ("blocked", 0, "oneDNN blocked activations"),
            ("gradient", 0, "oneDNN gradients")]:
        run = Run(options, [PYTHON, "-c", FAKE, library], FAKE_ONEDNN=mode)
        problem = run.undisturbed() if mode != "threadpool" else ""
        found = run.kind("gemm")
        if len(found) != products:
            problem = problem or f"{len(found)} products"
        if any(g["values"] != result[4:] or g["y"]["energy"] != energy([result]) for g in found):
            problem = problem or "wrong values"
        if run.blind_spots() != ([blind_spot] if blind_spot else []):
            problem = problem or f"blind spots {run.blind_spots()}"
        check(f"fake library, {mode or 'readable'}", problem)
    with tempfile.TemporaryDirectory() as directory:
        copy = shutil.copy(library, Path(directory, "libother_onednn.so"))
        run = Run(options, [PYTHON, "-c", FAKE, library, copy])
    problem = run.undisturbed()
    if len(run.kind("gemm")) != 3 or run.blind_spots() != ["a second oneDNN"]:
        problem = problem or f"{len(run.kind('gemm'))} products, {run.blind_spots()}"
    check("two libraries", problem)


def fingerprint(record):
    values = list(record["sketch"])
    for row in record["row_digests"]:
        values += row["sketch"]
    return values


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b)) ** 0.5


def nearest(weight, candidates):
    """The id of the one that is far nearer than any other of its shape; None if there is none."""
    mine = fingerprint(weight)
    size = distance(mine, [0] * len(mine))
    by_distance = sorted((distance(mine, fingerprint(c)) / size, i) for i, c in candidates.items()
                         if c["shape"] == weight["shape"])
    if not by_distance or by_distance[0][0] > 0.02:  # bf16 keeps 8 bits
        return None
    if len(by_distance) > 1 and by_distance[1][0] < 10 * by_distance[0][0]:
        return None
    return by_distance[0][1]


def torch_checks(options):
    config = json.loads((options.model / "config.json").read_text())
    passes = 4
    per_pass = 7 * config["num_hidden_layers"] + 1
    runs = {}
    for dtype in "f32", "bf16":
        runs[dtype] = Run(options, [
            PYTHON, str(ROOT / "scripts/engines/torch/llama.py"), "--model", str(options.model),
            "--dtype", dtype, "--prompt", "The quick brown fox", "--generate", str(passes)])
        outputs = runs[dtype].plain, runs[dtype].traced
        if any(o.returncode != 0 for o in outputs):
            check(f"PyTorch {dtype} runs", outputs[0].stderr + outputs[1].stderr)
            return
        plain, traced = (json.loads(o.stdout)["tokens"] for o in outputs)
        check(f"PyTorch {dtype} tokens", "" if plain == traced else f"{traced}, not {plain}")
    bf16 = [r for r in runs["bf16"].kind("gemm") if "batch_index" not in r]
    uses = Counter(r["weight"] for r in runs["f32"].kind("gemm"))
    f32 = [r for r in runs["f32"].kind("gemm") if uses[r["weight"]] == passes]
    count = per_pass * passes
    ops = {r["op"] for r in bf16}
    right = len(bf16) == len(f32) == count and ops == {"dnnl_matmul"}
    check("PyTorch bf16 products",
          "" if right else f"{len(bf16)} and {len(f32)} of {count}, {ops}")
    ids = [r["weight"] for r in bf16]
    check("PyTorch bf16 weights are known again",
          "" if ids == ids[:per_pass] * passes and len(set(ids)) == per_pass else str(ids))
    attention = [r for r in runs["bf16"].kind("gemm") if "batch_index" in r]
    expected = 2 * config["num_hidden_layers"] * config["num_attention_heads"]
    check("PyTorch bf16 attention of the prefill",
          "" if len(attention) == expected else f"{len(attention)} of {expected}")
    of_f32 = {r["weight"]: runs["f32"].weights()[r["weight"]] for r in f32}
    matched = {i: nearest(runs["bf16"].weights()[i], of_f32) for i in set(ids)}
    wrong = [(a, matched[a], b["weight"]) for a, b in zip(ids, f32) if matched[a] != b["weight"]]
    check("PyTorch bf16 weights are those of f32", str(wrong) if wrong else "")
    check("PyTorch blind spots", str(runs["bf16"].blind_spots() or ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lib", type=Path, required=True)
    parser.add_argument("--apps", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    options.lib = options.lib.resolve()
    options.apps = options.apps.resolve()
    app_checks(options)
    fake_checks(options)
    if options.model is not None:
        torch_checks(options)
    return 1 if failures else 0


sys.exit(main())
