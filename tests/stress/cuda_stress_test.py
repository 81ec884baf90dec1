#!/usr/bin/python3
"""Runs cuda_stress in every way that it knows, traced, and holds the traces against what it says. In a sanitized build the
program is linked with the library, and a report of the sanitizer is a failure."""
import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from checks import case, check, clean_environment, equal, run_cases_with  # noqa: E402

LIMIT = 120


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = Path(tempfile.mkdtemp(prefix="cuda_stress."))
        self.made = 0

    def run(self, mode, status=0):
        """(what it printed, its records)"""
        self.made += 1
        trace = self.dir / f"{self.made}.jsonl"
        env = clean_environment("FAKE_") | {
            "ORCH_LOG_FILE": str(trace), "ORCH_LOG_TEAM": "stress", "ORCH_TRACE_PROBES": "cublas,cuda",
            "LD_LIBRARY_PATH": self.args.fakes, "FAKE_CUDA_KERNELS": self.args.kernels,
            # A child of many threads that traces starts a thread; ThreadSanitizer would rather kill it.
            "TSAN_OPTIONS": "halt_on_error=1 die_after_fork=0 report_thread_leaks=0"}
        if mode == "forks":
            # A child has none of its parent's threads, whose memory then looks leaked.
            env["ASAN_OPTIONS"] = "detect_leaks=0"
        if self.args.library:
            env["LD_PRELOAD"] = self.args.library
        done = subprocess.run([self.args.program, mode], env=env, text=True, capture_output=True, timeout=LIMIT)
        equal(done.stderr, "", f"{mode}: on stderr")
        equal(done.returncode, status, f"{mode}: exit status")
        return done.stdout, [json.loads(line) for line in trace.read_text().splitlines()]


def classes(records):
    ledger = [r for r in records if r["kind"] == "ledger"][-1]
    check(ledger["final"], "no final ledger")
    equal(ledger["lost_lines"], 0, "lost lines")
    return ledger["classes"]


def holds_the_ledger(said, records):
    counts = classes(records)
    for name, c in counts.items():
        equal(c["seen"], c["recorded"] + c["filtered"] + c["dropped"], f"ledger of {name}")
    gemms = [r for r in records if r["kind"] == "gemm"]
    equal(counts["gemm"]["seen"], int(said), "products seen")
    equal(counts["gemm"]["dropped"], 0, "products dropped")
    equal(len(gemms), int(said), "products recorded")
    equal(len({g["call"] for g in gemms} | {r["call"] for r in records if r["kind"] == "copy"}),
          len(gemms) + counts["copy"]["recorded"], "numbers of calls")
    equal([r for r in records if r["kind"] == "blind_spot"], [], "blind spots")


@case
def threads_captures_and_contexts_lose_nothing(bench):
    holds_the_ledger(*bench.run("threads"))


@case
def forks_in_the_middle_lose_nothing(bench):
    holds_the_ledger(*bench.run("forks"))


def ends(mode, status=0):
    def run(bench):
        _, records = bench.run(mode, status)
        counts = classes(records)
        check(any(r["kind"] == "gemm" for r in records), "no product in the trace")
        for name, c in counts.items():
            check(c["recorded"] <= c["seen"], f"more {name} recorded than seen: {c}")
    run.__name__ = f"it_may_end_in_the_middle_by_{mode.strip('_')}{'_at_once' if mode.startswith('_') else ''}"
    return case(run)


ends("exit")
ends("_exit")
ends("quick_exit")
ends("abort", -signal.SIGABRT)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("program", "fakes", "kernels"):
        ap.add_argument(f"--{name}", required=True)
    ap.add_argument("--library", help="to be preloaded; a sanitized program is linked with it")
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()
    return run_cases_with(Bench(args), args.cases)


if __name__ == "__main__":
    sys.exit(main())
