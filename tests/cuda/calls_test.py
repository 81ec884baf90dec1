#!/usr/bin/python3
"""Every way to call cuBLAS and CUDA that the probes know, on the stand-ins: a child process calls through
ctypes (dlopen and dlsym, as Python engines do), and says what it computed; its trace must say the same."""
import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "tests/docs")]
from checks import (SKIPPED, Skipped, case, check, check_counts, clean_environment, equal,  # noqa: E402
                    run_cases_with)

try:
    import numpy as np
    from reference import Reference
except ImportError:
    np = None

CALLS = Path(__file__).with_name("calls.py")
LIMIT = 60
GENUINE = "/usr/local/cuda/lib64/libcudart.so.13"


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
        if "weight" in gemm:
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


for name in ("gemm_forms", "gemm_types", "batches", "vectors", "scalars_in_device_memory", "lt_in_columns",
             "lt_with_a_bias_is_no_bare_product", "nested_lt_is_part_of_cublas", "two_major_versions",
             "a_context_that_ends", "forks_after_cuda"):
    simple(name)


@case
def other_content_at_an_address_is_another_weight(bench):
    _, records = bench.run("contents_that_change")
    gemms = [r for r in records if r["kind"] == "gemm"]
    ids = [g["weight"] for g in gemms]
    equal((ids[0] == ids[1], ids[2] == ids[3], ids[4] == ids[5], len(set(ids))), (True, True, True, 3), f"weights {ids}")
    proofs = [g["proof"]["error"] for g in gemms if "proof" in g]
    check(proofs and max(proofs) < 1e-6, f"a product is checked with probes of another weight: {proofs}")
    check_counts(ledger_of(records))


@case
def threads_that_begin_at_once_lose_nothing(bench):
    for _ in range(3):
        said, records = bench.run("many_threads")
        gemms = [r for r in records if r["kind"] == "gemm"]
        sums = Counter(float(g["y"]["sum"]) for g in gemms)
        expected = Counter()
        for total in said["sums"]:
            expected[total] += said["each"]
        equal(sums, expected, "sums of the products")
        equal(len({g["weight"] for g in gemms}), len(said["sums"]), "weights")
        equal(len({g["call"] for g in gemms}), len(gemms), "numbers of calls")
        check_counts(ledger_of(records))


@case
def what_cannot_be_digested_is_counted(bench):
    _, records = bench.run("what_cannot_be_digested")
    counts = ledger_of(records)["classes"]["gemm"]
    equal(counts["recorded"], 0, "records")
    equal(counts["seen"], counts["filtered"] + counts["dropped"], "ledger")
    check(counts["seen"] >= 1, f"nothing was seen: {counts}")


@case
def copies_are_records(bench):
    said, records = bench.run("copies_to_the_host")
    copies = [r for r in records if r["kind"] == "copy"]
    equal([r["op"] for r in copies], said["copies"], "functions")
    reference = Reference(np.array([said["copied"]], np.float32))
    for copy in copies:
        equal(copy["y"]["hash"], f"{reference.hash:016x}", f"{copy['op']}: hash")
        equal(copy["bytes"], 800, f"{copy['op']}: bytes")
        equal(copy["values"], said["copied"][:10], f"{copy['op']}: values")
    check_counts(ledger_of(records))


@case
def the_genuine_runtime_finds_the_driver_through_us(bench):
    if not Path(GENUINE).exists():
        raise Skipped(f"there is no {GENUINE}")

    def lookups():
        return [(e["args"].get("symbol"), e["result"]) for e in bench.journal if e["call"].startswith("cuGetProcAddress")]

    plain, _ = bench.run("genuine_runtime", traced=False, LD_LIBRARY_PATH=str(Path(bench.args.fakes) / "13"))
    without = lookups()
    traced, _ = bench.run("genuine_runtime", LD_LIBRARY_PATH=str(Path(bench.args.fakes) / "13"))
    equal(traced, plain, "what the runtime says")
    equal(lookups(), without, "what it asks the driver for")
    check(len(without) > 400, f"only {len(without)} look-ups")


@case
def a_lost_context_is_reported(bench):
    plain, _ = bench.run("gemm_forms", traced=False)
    # Ours is the call that meets it: the child asserts that all of its own succeed, and reads nothing back.
    for call in ("cuLaunchKernel:1", "cuLaunchKernel:3"):
        said, records = bench.run("gemm_forms", FAKE_CUDA_FAIL=call)
        equal(said, plain, "what the engine did")
        counts = ledger_of(records)["classes"]
        check(counts["gemm"]["dropped"] + counts["weight"]["dropped"] >= 1, f"{call}: nothing was dropped: {counts}")
        equal(counts["gemm"]["seen"], 4, f"{call}: products seen")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--library", required=True)
    ap.add_argument("--fakes", required=True)
    ap.add_argument("--kernels", required=True)
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()
    if np is None:
        print("skipped: this Python has no numpy")
        return SKIPPED
    return run_cases_with(Bench(args), args.cases)


if __name__ == "__main__":
    sys.exit(main())
