"""What the hostile cases need besides calls_bench: engines that die, drivers that lack something, a hand on our threads."""
import ctypes as C
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import calls_bench
from calls_bench import CALLS, LIMIT, Skipped, check, clean_environment

SEIZE, INTERRUPT, DETACH, ALL_THREADS = 0x4206, 0x4207, 17, 0x40000000


class Bench(calls_bench.Bench):
    def environment(self, trace, **env):
        full = clean_environment("FAKE_") | {"FAKE_CUDA_KERNELS": self.args.kernels, "OPENBLAS_NUM_THREADS": "1",
                                             "FAKE_CUDA_JOURNAL": str(trace.with_suffix(".journal"))}
        if self.args.plugin:
            full["HOSTILE_PLUGIN"] = self.args.plugin
        return full | {"LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace), "ORCH_LOG_TEAM": "hostile",
                       "ORCH_TRACE_PROBES": "cublas,cuda"} | env

    def start(self, script, *, fakes=None, **env):
        """(the process, where its trace will be)"""
        self.made += 1
        trace = self.dir / f"{self.made}.jsonl"
        process = subprocess.Popen([sys.executable, CALLS, script, "--fakes", fakes or self.args.fakes], text=True,
                                   env=self.environment(trace, **env), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        return process, trace

    def die(self, script, status, **more):
        """(what it printed, its records, those in order of their calls)"""
        process, trace = self.start(script, **more)
        out, error = process.communicate(timeout=LIMIT)
        check(process.returncode == status, f"{script}: exit {process.returncode}: {error[-600:]}")
        journal = trace.with_suffix(".journal")
        self.journal = read_lines(journal) if journal.exists() else []
        return out, read_lines(trace) if trace.exists() else []

    def live(self, script, **more):
        out, records = self.die(script, 0, **more)
        return json.loads(out), in_order(records)

    def copy_of_the_stand_ins(self, name, without=(), leave_out=()):
        """A directory like --fakes whose libraries do not export some names, or are not there."""
        target = self.dir / name / "13"
        target.mkdir(parents=True)
        source = Path(self.args.fakes)
        for file in [source / "libfake_cuda_core.so", *(source / "13").iterdir()]:
            if file.name in leave_out:
                continue
            data = file.read_bytes()
            for symbol in without:
                data = data.replace(b"\0" + symbol + b"\0", b"\0?" + symbol[1:] + b"\0")
            (target / file.name).write_bytes(data)
        return str(target.parent)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def in_order(records):
    """Contexts have rings of their own, which are not emptied in the order of the calls."""
    return sorted(records, key=lambda r: r.get("call", -1))


def reasons(records):
    return {r["what"]: r["why"] for r in records if r["kind"] == "blind_spot"}


def told(process, word):
    line = process.stdout.readline().strip()
    check(line == word, f"the engine said {line!r} instead of {word!r}: {process.poll()}")


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for(condition, what):
    end = time.monotonic() + LIMIT
    while not condition():
        check(time.monotonic() < end, f"never: {what}")
        time.sleep(0.01)


class Held:
    """All threads of a process but its first are stopped: ours, because the engine has no others."""

    def __init__(self, pid):
        self.libc = C.CDLL(None, use_errno=True)
        self.threads = [int(task) for task in os.listdir(f"/proc/{pid}/task") if int(task) != pid]

    def ptrace(self, request, thread):
        ptrace = self.libc.ptrace
        ptrace.argtypes = [C.c_long, C.c_long, C.c_void_p, C.c_void_p]
        return ptrace(request, thread, None, None)

    def __enter__(self):
        for thread in self.threads:
            if self.ptrace(SEIZE, thread) != 0:
                raise Skipped(f"ptrace is not allowed here: {os.strerror(C.get_errno())}")
            self.ptrace(INTERRUPT, thread)
            os.waitpid(thread, ALL_THREADS)
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            self.ptrace(DETACH, thread)
