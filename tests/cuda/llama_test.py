#!/usr/bin/python3
"""The unmodified CUDA build of llama.cpp on the stand-ins, traced: its records against the stand-in's journal,
its tokens with and without us, and its trace against the CPU build's. No GPU is involved, and nothing is proved
of one."""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/support"))
from checks import SKIPPED, case, check, check_counts, clean_environment, equal, run_cases_with  # noqa: E402

ENGINES, INSTALLED = ROOT / "scripts/engines", ROOT / ".cache/engines"
PROMPT, STEPS, LIMIT = "The quick brown fox", 8, 240
SETTINGS = {"graphs": {}, "eager": {"GGML_CUDA_DISABLE_GRAPHS": "1"}}


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = Path(tempfile.mkdtemp(prefix="llama_cuda."))
        subprocess.run(["/usr/bin/python3", ENGINES / "make_model.py", "--preset", "tiny", "--out", self.dir / "model"],
                       check=True)
        self.model = self.dir / "model/model.gguf"
        self.made = 0

    def run(self, script, *words, traced=True, **env):
        """(tokens, records, calls of the journal, path of the trace)"""
        self.made += 1
        trace, journal = self.dir / f"{self.made}.jsonl", self.dir / f"{self.made}.journal"
        full = clean_environment("FAKE_", "GGML_")
        if traced:
            full |= {"LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace), "ORCH_LOG_TEAM": script}
        if script == "llama.cpp-cuda":
            full |= {"LD_LIBRARY_PATH": str(Path(self.args.fakes) / "13"), "FAKE_CUDA_JOURNAL": str(journal),
                     "FAKE_CUDA_KERNELS": self.args.kernels}
        done = subprocess.run(["node", ENGINES / script / "run.mjs", "--model", self.model, "--prompt", PROMPT,
                               "--generate", str(STEPS), *words], env=full | env, text=True, capture_output=True,
                              timeout=LIMIT)
        check(done.returncode == 0, f"{script}: exit {done.returncode}: {done.stderr[-400:]}")
        lines = journal.read_text().splitlines() if journal.exists() else []
        calls = [e for e in map(json.loads, lines) if "call" in e]
        records = [json.loads(line) for line in trace.read_text().splitlines()] if traced else []
        records.sort(key=lambda r: r.get("call", -1))  # threads write their lines each at its time
        return json.loads(done.stdout)["tokens"], records, calls, trace

    def cuda(self, traced=True, **env):
        return self.run("llama.cpp-cuda", traced=traced, **env)


@case
def its_tokens_are_the_same_with_us(bench):
    for name, env in SETTINGS.items():
        plain, _, _, _ = bench.cuda(traced=False, **env)
        traced, _, _, _ = bench.cuda(**env)
        equal(traced, plain, f"tokens, {name}")


@case
def its_products_and_copies_are_those_of_the_journal(bench):
    for name, env in SETTINGS.items():
        _, records, calls, _ = bench.cuda(ORCH_TRACE_PROBES="cublas,cuda", **env)
        single = [e for e in calls if e["call"] == "cublasSgemm_v2"]
        batches = [e for e in calls if e["call"] == "cublasGemmBatchedEx"]
        gemms = [r for r in records if r["kind"] == "gemm"]
        check(single and batches, "the engine did not call cuBLAS")
        equal(Counter(g["op"] for g in gemms), Counter({"cublasSgemm_v2": len(single), "cublasGemmBatchedEx":
                                                        sum(e["args"]["batch"] for e in batches)}), f"products, {name}")
        equal([[e["args"]["n"], e["args"]["m"], e["args"]["k"]] for e in single],
              [[g["y"]["rows"], g["y"]["cols"], g["x"]["cols"]] for g in gemms if g["op"] == "cublasSgemm_v2"],
              f"shapes, {name}")
        # It allows TF32 in its handle, and asks for sums of f16 where its cache is f16.
        equal({(g["op"], g.get("arithmetic")) for g in gemms}, {("cublasSgemm_v2", "tf32"), ("cublasGemmBatchedEx", "tf32"),
                                                                ("cublasGemmBatchedEx", "f16")}, f"arithmetic, {name}")
        # Its batches are attention's: keys and values behind lists, which are no weights.
        equal([g["weight"] for g in gemms if "batch" in g["op"].lower() and "weight" in g], [], f"ids behind lists, {name}")
        # The logits of each step: 320 of f32.
        copies = [r for r in records if r["kind"] == "copy"]
        equal([c["bytes"] for c in copies], [320 * 4] * STEPS, f"copies to the host, {name}")
        check_counts(next(r for r in records if r["kind"] == "ledger" and r["final"]))
        equal([r for r in records if r["kind"] == "blind_spot"], [], f"blind spots, {name}")


@case
def its_logits_leave_it_as_ggml_has_them(bench):
    """Two probes look at the same numbers: ggml's, and the copy's."""
    _, records, _, _ = bench.cuda()
    logits = [r for r in records if r["kind"] == "checkpoint" and r["checkpoint"] == "logits"]
    copies = [r for r in records if r["kind"] == "copy"]
    equal([c["values"] for c in copies], [l["values"] for l in logits], "values")
    equal([c["y"]["argmax"] for c in copies], [l["y"]["argmax"] for l in logits], "tokens")


@case
def its_trace_agrees_with_the_cpu_builds(bench):
    tokens, _, _, reference = bench.run("llama.cpp", "--threads", "1")
    for name, env in SETTINGS.items():
        mine, _, _, trace = bench.cuda(**env)
        equal(mine, tokens, f"tokens, {name}")
        done = subprocess.run([bench.args.orchtrace, "compare", reference, trace, "--format", "json"], text=True,
                              capture_output=True, timeout=LIMIT)
        report = json.loads(done.stdout)
        equal(report["verdict"], "parity", f"{name}: {report.get('first_divergence')}")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("orchtrace", "library", "fakes", "kernels"):
        ap.add_argument(f"--{name}", required=True)
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()
    engine = INSTALLED / "llama.cpp-cuda/node_modules/@node-llama-cpp/linux-x64-cuda"
    if shutil.which("node") is None or not engine.exists():
        print("skipped: the CUDA build of llama.cpp is not installed: run scripts/deps")
        return SKIPPED
    try:
        bench = Bench(args)
    except subprocess.CalledProcessError:
        print("skipped: no model can be made: this Python has no numpy")
        return SKIPPED
    return run_cases_with(bench, args.cases)


if __name__ == "__main__":
    sys.exit(main())
