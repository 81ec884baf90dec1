"""Runs the scripts of calls.py, traced, and holds the trace against what they say they computed."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "tests/docs")]
import numpy as np  # noqa: E402
from checks import Skipped, case, check, check_counts, clean_environment, equal  # noqa: E402, F401
from reference import Reference  # noqa: E402

CALLS = Path(__file__).with_name("calls.py")
LIMIT = 60


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = Path(tempfile.mkdtemp(prefix="cuda_calls."))
        self.made = 0

    def run(self, script, traced=True, **env):
        self.made += 1
        trace = self.dir / f"{self.made}.jsonl"
        full = clean_environment("FAKE_")
        full |= {"FAKE_CUDA_KERNELS": self.args.kernels, "FAKE_CUDA_JOURNAL": str(self.dir / f"{self.made}.journal")}
        if traced:
            full |= {"LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace), "ORCH_LOG_TEAM": "calls",
                     "ORCH_TRACE_PROBES": "cublas,cuda"}
        done = subprocess.run([sys.executable, CALLS, script, "--fakes", self.args.fakes], env=full | env,
                              text=True, capture_output=True, timeout=LIMIT)
        check(done.returncode == 0, f"{script}: exit {done.returncode}: {done.stderr[-600:]}")
        said = json.loads(done.stdout)
        self.journal = [json.loads(line) for line in (self.dir / f"{self.made}.journal").read_text().splitlines()]
        return said, [json.loads(line) for line in trace.read_text().splitlines()] if traced and trace.exists() else []


def ledger_of(records):
    return [r for r in records if r["kind"] == "ledger"][-1]


def expect_products(said, records):
    gemms = [r for r in records if r["kind"] == "gemm"]
    weights = {r["weight"]: r for r in records if r["kind"] == "weight"}
    equal([g["op"] for g in gemms], [e["op"] for e in said["products"]], "functions")
    for gemm, wanted in zip(gemms, said["products"]):
        what = f"{gemm['op']} {gemm['checkpoint']}"
        y = np.array(wanted["y"])
        reference = Reference(y.astype(np.float32))
        equal((gemm["y"]["rows"], gemm["y"]["cols"]), y.shape, f"{what}: shape")
        equal(np.float32(gemm["y"]["energy"]), np.float32(reference.energy), f"{what}: energy")
        equal(np.array(gemm["y"]["mixed"], np.float32).tolist(), reference.mixed.astype(np.float32).tolist(),
              f"{what}: mixed sketch")
        equal(gemm["y"]["argmax"], reference.argmax, f"{what}: argmax")
        equal([float(v) for v in gemm["values"]], y[-1].tolist()[:10], f"{what}: values")
        if gemm["y"]["dtype"] == "f32":
            equal(gemm["y"]["hash"], f"{reference.hash:016x}", f"{what}: hash")
        equal(gemm.get("batch_index"), wanted.get("batch_index"), f"{what}: batch_index")
        equal(gemm.get("scalars"), wanted.get("scalars"), f"{what}: scalars")
        if "scalars" not in wanted:
            equal((gemm.get("alpha", 1), gemm.get("beta", 0)), (wanted.get("alpha", 1), wanted.get("beta", 0)), what)
        bare = wanted.get("beta", 0) == 0 and not wanted.get("no_proof") and "scalars" not in wanted
        equal(gemm.get("arithmetic"), wanted.get("arithmetic"), f"{what}: arithmetic")
        # Behind a list the probes may be another weight's: then there is no proof.
        if "weight" in gemm and not wanted.get("listed"):
            equal("proof" in gemm, bare, f"{what}: is proved")
        if "proof" in gemm:
            check(gemm["proof"]["error"] < 1e-6, f"{what}: proof {gemm['proof']}")
        if "w" in wanted:
            w = Reference(np.array(wanted["w"], np.float32), signed=False)
            record = weights[gemm["weight"]]
            equal(np.array(record["sketch"], np.float32).tolist(), w.mixed.astype(np.float32).tolist(), f"{what}: weight")
            equal(record["hash"], f"{w.hash:016x}", f"{what}: hash of the weight")


def simple(script):
    def run(bench):
        said, records = bench.run(script, **({"FAKE_CUBLAS_NESTS": "1"} if "nested" in script else {}))
        expect_products(said, records)
        check_counts(ledger_of(records))
        equal([r for r in records if r["kind"] == "blind_spot"], [], "blind spots")
    run.__name__ = script
    return case(run)
