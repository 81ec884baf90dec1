#!/usr/bin/python3
"""docs/FORMAT.md against real traces.

usage: format_test.py --lib liborchtrace.so [--doc FORMAT.md] [--batch-blas LIB] [--trace FILE ...]

The test makes its own traces: small Python programs that call a BLAS through ctypes and log values
of their own, and llama.cpp if `node` and the engine are there. --trace adds more. --batch-blas names
a BLAS with cblas_sgemm_batch, for the key that only batches have. Prints one line per check:
`ok`, `not ok` or `skip`; of the comparisons of numbers, only those that fail.

The sketches are computed here with numpy from the formulas of the document alone, in the order of
additions that it states, and must agree to the last bit.
"""
import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
import report
from checks import Failure
from document import Conformity, Document
from full_files import full_of
from programs import BATCH, EXAMPLE, LARGE, LOST, ODD, SMALL, WRONG
from proof_reference import compare_proof
from reference import CONSTANTS, Reference, compare_call, compare_side
from report import check, same

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
PAGE = 4096

# Keys that need an engine, an option or an accident that the test cannot always arrange.
RARE = {("pass", "sequences")}
# tests/cuda sees these, over stand-ins for CUDA.
ON_A_GPU = {("gemm", "device"), ("gemm", "stream"), ("gemm", "graph"), ("gemm", "replay"), ("gemm", "scalars"), ("gemm", "arithmetic"), ("setting", "*"),
            ("copy", "*"),
            ("Whole tensors", "graph"), ("Whole tensors", "replay")}
RARE_WITHOUT_BATCH_BLAS = {("gemm", "batch_index"), ("Whole tensors", "batch_index"), ("proof", "residual")}
RARE_WITHOUT_LLAMA = {("gemm", "pass"), ("gemm", "name"), ("gemm", "capture"), ("weight", "name"),
                      ("checkpoint", "*"), ("pass", "*"),
                      ("Whole tensors", "name"), ("Whole tensors", "pass"), ("Whole tensors", "token_positions")}

# ---- traces ------------------------------------------------------------------------------------

class Traces:
    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.paths = list(options.trace)

    def run(self, name, command, **settings):
        trace = self.directory / f"{name}.jsonl"
        env = {k: v for k, v in os.environ.items() if not k.startswith("ORCH_")} | settings
        env |= {"LD_PRELOAD": str(self.options.lib), "ORCH_LOG_FILE": str(trace),
                "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        check(f"{name} runs", "" if done.returncode == 0 and trace.exists() else done.stderr[-400:])
        if trace.exists():
            self.paths.append(trace)
        return trace

    def python(self, name, source, blas="libopenblas.so.0", **settings):
        return self.run(name, [PYTHON, "-c", source, blas, f"{self.directory}/"], **settings)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def find_blas():
    for name in ("libopenblas.so.0", "libblas.so.3"):
        try:
            if hasattr(ctypes.CDLL(name), "cblas_dgemm"):
                return name
        except OSError:
            pass
    return None


def llama_traces(traces):
    """Traces of llama.cpp with whole prompts and with the prompt in chunks; None if it is not here."""
    node, script = shutil.which("node"), ROOT / "scripts/engines/llama.cpp/run.mjs"
    if not node or not (ROOT / ".cache/engines/llama.cpp").exists():
        return None
    model = traces.directory / "model"
    subprocess.run([PYTHON, ROOT / "scripts/engines/make_model.py", "--preset", "tiny", "--out", model],
                   check=True, capture_output=True)
    command = [node, script, "--model", model / "model.gguf", "--prompt", "The quick brown fox",
               "--generate", "2", "--threads", "1"]
    whole = traces.run("llama", command)
    chunks = traces.run("llama-chunks", [*command, "--batch", "8"])
    # Most tensors of one graph do not fit into 100K: those go through the callback.
    traces.run("llama-callback", [*command, "--exact"], ORCH_TRACE_CAPTURE="callback",
               ORCH_TRACE_CHECKPOINTS="layers,logits,gemm.blk.0.*,*_attn_scores", ORCH_TRACE_FULL="logits,gemm.blk.0.*")
    return whole, chunks


def check_chunks(whole, chunks):
    """Energy, sum, mixed and hash of chunks add up to those of the whole."""
    def total(path):
        sides = [r["y"] for r in read(path) if r.get("kind") == "checkpoint" and
                 r["checkpoint"] == "embedding" and r["y"]["rows"] > 1]
        return (len(sides), sum(s["energy"] for s in sides), sum(s["sum"] for s in sides),
                np.sum([s["mixed"] for s in sides], axis=0),
                sum(int(s["hash"], 16) for s in sides) % 2**64)
    one, many = total(whole), total(chunks)
    check("chunks: there are several", "" if one[0] == 1 and many[0] > 1 else f"{one[0]}, {many[0]}")
    close = all(np.allclose(a, b, rtol=1e-5, atol=1e-4) for a, b in zip(one[1:4], many[1:4]))
    check("chunks: energy, sum and mixed add up", "" if close else f"{one[1:4]} and {many[1:4]}")
    same("chunks: hashes add up", many[4], one[4])


def check_file(path):
    """The rules for the file as a whole."""
    data = path.read_bytes()
    longest = max(len(line) for line in data.split(b"\n"))
    bad = [] if longest <= 1 << 20 else [f"a line of {longest} bytes"]
    if not data.endswith(b"\n"):
        bad.append("the last line has no end")
    at = 0
    for line in data.splitlines(keepends=True):
        start, at = at, at + len(line)
        if len(line) <= PAGE and start // PAGE != (at - 1) // PAGE:
            bad.append(f"the line at {start} crosses a page")
        if line.rstrip(b" \n") + b"\n" != line.rstrip(b"\n").rstrip(b" ") + b"\n" or line[:1] != b"{":
            bad.append(f"white space other than at the end, at {start}")
    check(f"file {path.name}", "; ".join(bad[:3]))


def check_odd(path):
    text, logs = path.read_text(), {r["checkpoint"]: r for r in read(path) if "kind" not in r}
    floats = logs["floats"]
    same("nonfinite", str(floats["nonfinite"]), "[[2, 'nan'], [3, '-inf']]")
    check("negative zero is -0.0", "" if "[1,-0.0,null,null,7.0385307e-26]" in text else "no such line")
    bits = np.array(floats["values"][4:], np.float64).astype(np.float32).view(np.uint32)[0]
    same("0x15ae43fd survives a double", hex(bits), "0x15ae43fd")
    same("f16, bf16, f64", [logs[n]["values"] for n in ("halves", "brains", "doubles")],
         [[1.5, None, -0.0], [1.5, None], [0.1, -0.0]])
    side = logs["long"]["sidecar"]
    raw = np.fromfile(path.parent / side["file"], np.float32, side["count"], offset=side["offset"])
    same("sidecar", raw, np.arange(25000, dtype=np.float32))
    same("values beside a sidecar", logs["long"]["values"], list(range(10)))
    gemms = [r["y"] for r in read(path) if r.get("kind") == "gemm"]
    same("counts of what is not finite", [gemms[0]["nan"], "max" in gemms[0]], [5, True])
    same("the hash of zeros", [gemms[2]["hash"], gemms[2]["max"]], ["0" * 16, 0])
    same("no max where nothing is finite", ["max" in gemms[1], "hash" in gemms[1]], [False, True])


def check_whole_tensors(path, conform):
    """Each file is what its record says, and its metadata is documented."""
    named = [r for r in read(path) if isinstance(r.get("full"), str)]
    if not named:
        return
    bad = []
    for record in named:
        try:
            conform.members(path.name, "Whole tensors", full_of(record, path).metadata)
        except Failure as failure:
            bad.append(str(failure))
    ledger = [r for r in read(path) if r.get("kind") == "ledger"][-1]["full"]
    if (ledger["recorded"], ledger["dropped"]) != (len(named), 0):
        bad.append(f"ledger: {ledger}")
    check(f"{len(named)} whole tensors of {path.name}", "; ".join(bad[:3]))


def gemm_of(records, call):
    return next(r for r in records if r.get("call") == call and r["kind"] == "gemm")


def check_proof(name, records, arrays, call=0, alpha=1.0):
    every_row = records[0]["config"]["rows"] == "all"
    compare_proof(name, gemm_of(records, call), *(arrays[k] for k in "xwy"), alpha, every_row)


def check_ledger(records, name):
    last = [r for r in records if r.get("kind") == "ledger"][-1]
    wrong = [c for c, n in last["classes"].items()
             if n["seen"] != n["recorded"] + n["filtered"] + n["dropped"]]
    kinds = defaultdict(int)
    for r in records:
        kinds[r.get("kind", "log")] += 1
    wrong += [c for c, n in last["classes"].items() if n["recorded"] != kinds[c]]
    wrong += ["rows"] if last["row_lines"] != kinds["row"] else []
    wrong += ["lines"] if last["lines"] != len(records) - kinds["ledger"] else []
    check(f"ledger of {name} adds up", ", ".join(wrong) or ("" if last["final"] else "not final"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lib", type=Path, required=True)
    parser.add_argument("--doc", type=Path, default=ROOT / "docs/FORMAT.md")
    parser.add_argument("--batch-blas", type=Path)
    parser.add_argument("--trace", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    options.lib = options.lib.resolve()

    document = Document(options.doc)
    examples = Conformity(document)
    for heading, line in document.examples:
        try:
            examples.record(f"example in '{heading}'", json.loads(line))
        except json.JSONDecodeError as error:
            examples.note(f"example in '{heading}'", str(error))
    check(f"{len(document.examples)} examples follow the tables", "; ".join(examples.problems))
    kinds = {json.loads(line).get("kind", "log line") for _, line in document.examples}
    wanted = {"header", "pass", "checkpoint", "gemm", "row", "weight", "blind_spot", "setting", "ledger", "log line"}
    check("every kind has an example", ", ".join(sorted(wanted - kinds)))

    section = document.text.split("### Hash functions")[1].split("###")[0]
    numbers = {int(n, 16) for n in re.findall(r"0x([0-9a-f]+)", section)}
    check("the hash functions are those of this test", "" if numbers == CONSTANTS else str(numbers))

    blas = find_blas()
    if blas is None:
        print("skip: no BLAS with cblas_sgemm is installed")
        return 1 if report.failures else 77
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        traces = Traces(options, directory)
        small = traces.python("small", SMALL, blas, ORCH_LOG_VALUES="100", ORCH_TRACE_ROWS="all", ORCH_TRACE_FULL="*")
        large = traces.python("large", LARGE, blas)
        example = traces.python("example", EXAMPLE, blas, ORCH_LOG_VALUES="20", ORCH_TRACE_FULL="gemm")
        odd = traces.python("odd", ODD, blas, ORCH_LOG_VALUES="100000")
        traces.python("lost", LOST, blas, ORCH_LOG_VALUES="1000")
        rare = RARE | ON_A_GPU
        if options.batch_blas and options.batch_blas.exists():
            traces.python("batch", BATCH, str(options.batch_blas), ORCH_TRACE_FULL="all")
            wrong = read(traces.python("wrong", WRONG, str(options.batch_blas), FAKE_FAULT="tail"))
            for call, name in enumerate(("few", "many")):
                arrays = np.load(directory / f"{name}.npz")
                compare_call(f"wrong, {name}", wrong, arrays, call)
                check_proof(f"wrong, {name}", wrong, arrays, call)
        else:
            print("skip: no BLAS with cblas_sgemm_batch (--batch-blas)")
            rare |= RARE_WITHOUT_BATCH_BLAS
        llama = llama_traces(traces)
        if llama is None:
            print("skip: llama.cpp is not installed (scripts/deps)")
            rare |= RARE_WITHOUT_LLAMA

        for path in traces.paths:
            conform = Conformity(document)
            for number, record in enumerate(read(path), 1):
                conform.record(f"line {number}", record)
            check(f"{path.name} is as documented", "; ".join(conform.problems[:5]))
            check_file(path)
        everything = Conformity(document)
        for path in traces.paths:
            for record in read(path):
                everything.record(path.name, record)
            check_whole_tensors(path, everything)
        check("files of whole tensors are as documented", "; ".join(everything.problems[:5]))
        unseen = {(h, k) for h, k in everything.unseen() if (h, k) not in rare and (h, "*") not in rare}
        check("every documented key was seen", ", ".join(".".join(u) for u in sorted(unseen)))

        compare_call("small", read(small), np.load(directory / "small.npz"))
        for call, name in enumerate(("small", "double")):
            whole = full_of(gemm_of(read(small), call), small).data
            same(f"the whole result of {name}", whole, np.load(directory / f"{name}.npz")["y"])
        compare_call("f64", read(small), np.load(directory / "double.npz"), call=1)
        check_proof("small", read(small), np.load(directory / "small.npz"))
        check_proof("alpha", read(small), np.load(directory / "alpha.npz"), call=2, alpha=0.5)
        same("a proof where beta is not 0", "proof" in gemm_of(read(small), 1), False)
        check_proof("large", read(large), np.load(directory / "large.npz"))
        compare_call("large", read(large), np.load(directory / "large.npz"))
        arrays = np.load(directory / "example.npz")
        compare_call("example", read(example), arrays)
        check_proof("example", read(example), arrays)
        written = [json.loads(line) for _, line in document.examples]
        written = next(r for r in written if r.get("kind") == "gemm")
        compare_side("worked example of the document", written["y"], Reference(arrays["y"]), True)
        check_odd(odd)
        for path in (small, large, odd, *(llama or ())):
            check_ledger(read(path), path.name)
        if llama:
            check_chunks(*llama)
    print(f"{report.failures} failures" if report.failures else
          f"all passed, with {report.comparisons} comparisons of numbers")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
