#!/usr/bin/python3
"""End to end: the unmodified CUDA build of llama.cpp, on the stand-ins, without a GPU.

usage: llama_cuda_test.py --fakes BUILD/fake_cuda --work DIRECTORY

It loads a model with every layer on the device and decodes. Once its kernels do nothing: then what it
asks of CUDA is checked. Once they are computed by libfake_ggml_kernels.so: then its tokens and logits
must be those of the CPU build. Prints one `ok NAME` line per check; exits with 77 without the engine.
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ROOT / "scripts/engines"
INSTALLED = ROOT / ".cache/engines"
BINARY = "llama.cpp-cuda/node_modules/@node-llama-cpp/linux-x64-cuda/bins/linux-x64-cuda/libggml-cuda.so"
SCRIPT = "llama.cpp/node_modules/node-llama-cpp/package.json"
PROMPT = "The quick brown fox jumps over the lazy dog"
PROMPT_TOKENS = 1 + len(PROMPT)
GENERATED = 8
LAYERS, VOCABULARY = 4, 320
EXACT = ["--kv", "F32", "--flash", "off"]
LIMIT = 240  # seconds; only what hangs gets there

# What a Llama model with f32 weights and an f16 cache launches; some more where nothing is fused.
KERNELS = {"rms_norm_f32", "rope_norm", "k_set_rows", "k_get_rows_float", "soft_max_f32", "mul_mat_vec_f",
           "k_compute_batched_ptrs", "cpy_scalar", "k_bin_bcast", "unary_gated_op_kernel"}

failures = 0


def check(holds, what):
    global failures
    print(("ok " if holds else "FAILED ") + what, flush=True)
    failures += not holds


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


class Run:
    """One run of the engine, with what it printed and what it asked of CUDA."""

    def __init__(self, arguments, name, options=(), kernels=False, **environment):
        journal = arguments.work / f"{name}.journal"
        logits = arguments.work / f"{name}.logits"
        journal.unlink(missing_ok=True)
        env = dict(os.environ, LD_LIBRARY_PATH=str(arguments.fakes / "13"), FAKE_CUDA_JOURNAL=str(journal), **environment)
        if kernels:
            env["FAKE_CUDA_KERNELS"] = str(arguments.fakes / "libfake_ggml_kernels.so")
            options = [*options, "--logits", str(logits)]
        command = ["node", str(ENGINES / "llama.cpp-cuda/run.mjs"), "--model", str(arguments.model), "--prompt", PROMPT,
                   "--generate", str(GENERATED), *options]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT)
        check(done.returncode == 0, f"{name}: the engine ends well {done.stderr[-800:]}".rstrip())
        self.answer = json.loads(done.stdout) if done.returncode == 0 else {}
        lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
        self.calls = [line for line in lines if "call" in line]
        self.executed = [line for line in lines if "exec" in line]
        self.logits = json.loads(logits.read_text()) if kernels and logits.exists() else None

    def of(self, *names):
        return [c for c in self.calls if c["call"] in names]

    def launches(self):
        return [c for c in self.calls if "kernel" in c]


def cpu(arguments):
    logits = arguments.work / "cpu.logits"
    done = subprocess.run(
        ["node", str(ENGINES / "llama.cpp/run.mjs"), "--model", str(arguments.model), "--prompt", PROMPT, "--exact",
         "--generate", str(GENERATED), "--logits", str(logits)], capture_output=True, text=True, timeout=LIMIT)
    check(done.returncode == 0, f"cpu: the engine ends well {done.stderr[-800:]}".rstrip())
    return json.loads(done.stdout)["tokens"], json.loads(logits.read_text())


def asks_of_cuda(arguments):
    run = Run(arguments, "counted", FAKE_CUDA_JOURNAL_EXEC="1")
    check(run.answer.get("gpu_layers") == LAYERS + 1, "every layer is on the device")
    check(len(run.answer.get("tokens", [])) == GENERATED, "it decodes")
    failed = [c for c in run.calls if c.get("result", 0) != 0]
    check(not failed, f"no call fails {failed[:2] or ''}".rstrip())

    prefill = [c for c in run.of("cublasSgemm_v2") if c["args"]["n"] == PROMPT_TOKENS]
    check(len(prefill) > 6 * (LAYERS - 1), f"the products of the prefill go to cuBLAS: {len(prefill)}")
    check(all(c["args"]["transa"] == 1 and c["args"]["transb"] == 0 for c in prefill), "weights are transposed")
    batched = run.of("cublasGemmBatchedEx")
    check(len(batched) == 2 * LAYERS, f"attention goes to cuBLAS in batches: {len(batched)}")

    seen = Counter(c["kernel"] for c in run.launches())
    check(KERNELS <= seen.keys(), f"kernels are launched by name; missing: {sorted(KERNELS - seen.keys())}")
    directions = Counter(c["direction"] for c in run.calls if "direction" in c)
    check(directions["H2D"] > 0, f"weights and inputs go to the device: {directions['H2D']} copies")
    # Once per pass; a pass more than tokens would be one that nobody asked for.
    logits = [c for c in run.calls if c.get("direction") == "D2H" and c["bytes"] == 4 * VOCABULARY]
    check(len(logits) == GENERATED, f"logits come back once per token: {len(logits)}")

    begun, ended = run.of("cudaStreamBeginCapture"), run.of("cudaStreamEndCapture")
    check(len(begun) == len(ended) >= 1, f"decoding is captured: {len(begun)}")
    for end in ended:
        nodes = [c for c in run.calls if "node" in c and c["captured"] and c["graph"] == end["graph"]]
        check(len(nodes) == end["nodes"] > 0, f"graph {end['graph']}: {end['nodes']} nodes are what was captured")
    launches = run.of("cudaGraphLaunch")
    check(len(launches) >= 2, f"and replayed: {len(launches)}")
    for launch in launches:
        of = [e for e in run.executed if e.get("graph_exec") == launch["graph_exec"] and e["replay"] == launch["replay"]]
        check(len(of) == launch["nodes"], f"replay {launch['replay']} runs its {launch['nodes']} nodes")
    live = [c for c in run.calls if "kernel" in c and not c["captured"]]
    ran = [e for e in run.executed if e["exec"] == "kernel" and "graph_exec" not in e]
    products = len(run.of("cublasSgemm_v2", "cublasGemmBatchedEx"))
    check(len(ran) == len(live) + products, f"what was launched ran: {len(ran)}")


def distance(run, reference, positions=None):
    """Of the logits of the first positions, as a share of their length: the worst."""
    a, b = (np.array(logits["logits"][:positions], float) for logits in (run, reference))
    return float(np.max(np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)))


def computes(arguments):
    tokens, reference = cpu(arguments)
    cases = {
        "graphs": {},
        "eager": {"GGML_CUDA_DISABLE_GRAPHS": "1"},
        "unfused": {"GGML_CUDA_DISABLE_FUSION": "1"},
        "protected": {"FAKE_CUDA_PROTECT": "1"},  # it may not touch device memory itself
    }
    for name, environment in cases.items():
        run = Run(arguments, name, EXACT, kernels=True, **environment)
        check(run.answer.get("tokens") == tokens, f"{name}: the tokens are the CPU build's")
        if run.logits is None:
            continue
        check(run.logits["tokens"] == reference["tokens"], f"{name}: the logits are of the same text")
        far = distance(run.logits, reference)
        check(far < 1e-5, f"{name}: logits are {far:.2g} from the CPU build's")
        replays = len(run.of("cudaGraphLaunch"))
        check((replays == 0) == (name == "eager"), f"{name}: {replays} graph launches")
    # As it comes: an f16 cache. Half precision parts from the CPU's, but not far.
    run = Run(arguments, "f16", kernels=True)
    if run.logits is not None:
        far = distance(run.logits, reference, PROMPT_TOKENS)
        check(far < 1e-2, f"f16 cache: logits of the prompt are {far:.2g} from the CPU build's")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--fakes", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    if platform.machine() != "x86_64":
        skip("the CUDA build of llama.cpp is for x86-64")
    if shutil.which("node") is None:
        skip("no node")
    for part in (BINARY, SCRIPT):
        if not (INSTALLED / part).exists():
            skip(f"no {part} under {INSTALLED}; run scripts/deps")
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.model = arguments.work / "tiny/model.gguf"
    subprocess.run([sys.executable, str(ENGINES / "make_model.py"), "--preset", "tiny", "--out",
                    str(arguments.model.parent)], check=True)
    asks_of_cuda(arguments)
    computes(arguments)
    return failures != 0


sys.exit(main())
