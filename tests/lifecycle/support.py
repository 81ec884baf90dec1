"""What the cases share: a bench that runs engines, and a reader of the traces they leave."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from checks import CASES, Failure, Skipped, case, check, check_counts, equal, run_cases  # noqa: E402, F401

LIMIT = 60  # seconds; only what hangs gets there


class Outcome:
    def __init__(self, status, stdout, stderr):
        self.status, self.stdout, self.stderr = status, stdout, stderr


class Segment:
    """What one process wrote into one file: its header and all that follows."""

    def __init__(self, lines):
        self.lines = lines
        self.header = lines[0]
        self.gemms = self.of("gemm")
        self.pid = self.header["pid"]

    def of(self, kind):
        return [line for line in self.lines if line.get("kind") == kind]

    def check_ledger(self):
        finals = [line for line in self.of("ledger") if line["final"]]
        check(finals, f"process {self.pid}: no final ledger")
        ledger = finals[-1]
        check(self.lines[-1] is ledger, f"process {self.pid}: lines behind the final ledger")
        check_counts(ledger)
        equal(ledger["classes"]["gemm"]["recorded"], len(self.gemms), "recorded products in the ledger")
        equal(ledger["classes"]["weight"]["recorded"], len(self.of("weight")), "recorded weights")
        equal(ledger["row_lines"], len(self.of("row")), "rows in the ledger")
        equal(ledger["lost_lines"], 0, "lost lines")
        equal(ledger["lines"], len(self.lines) - len(self.of("ledger")), "lines in the ledger")
        return ledger


def segments_of(path, torn_first=False):
    data = path.read_bytes()
    check(data.endswith(b"\n") or not data, f"{path.name} does not end with a whole line")
    result = []
    for number, text in enumerate(data.splitlines(), 1):
        if torn_first and number == 1:
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise Failure(f"{path.name}:{number}: {error}: {text[:200]!r}") from None
        for key in ("ts", "team", "checkpoint", "token_idx", "dtype", "shape", "values"):
            check(key in line, f"{path.name}:{number}: no {key}")
        if line.get("kind") == "header":
            result.append([])
        check(result, f"{path.name}:{number}: a line before the header")
        result[-1].append(line)
    return [Segment(lines) for lines in result]


def let_run_until(process, condition, what):
    """For an engine that writes as it gets on: reads what it writes until `condition` holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        check(os.read(process.stdout.fileno(), 4096), f"the engine ended by itself before {what}")
        check(time.monotonic() < end, f"no {what} within {LIMIT} seconds")


class Bench:
    """One case's directory, and the ways to run something in it."""

    def __init__(self, lib, apps, directory):
        self.lib, self.apps, self.directory = lib, apps, directory
        self.count = directory / "count"
        self.notes = []

    def app(self, name):
        path = self.apps / name
        if not path.exists():
            raise Skipped(f"{name} was not built")
        return str(path)

    def fresh(self, name="traces"):
        path = self.directory / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        path.chmod(0o777)
        return path

    def environment(self, lib=True, log=None, extra=None):
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_COUNT": str(self.count),
               "OPENBLAS_NUM_THREADS": "1"}
        if lib:
            env["LD_PRELOAD"] = str(self.lib)
        if log is not None:
            env["ORCH_LOG_FILE"] = str(log)
        env.update(extra or {})
        return env

    def run(self, argv, lib=True, log=None, extra=None, prepare=None, cwd=None):
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment(lib, log, extra),
                                   preexec_fn=prepare, cwd=cwd or self.directory)
        try:
            stdout, stderr = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure(f"{Path(argv[0]).name} {' '.join(argv[1:])} hangs "
                          f"{'with' if lib else 'without'} the library"
                          f"{', tracing on' if log else ''}") from None
        return Outcome(process.returncode, stdout.decode(), stderr.decode())

    @contextlib.contextmanager
    def endless(self, log):
        """An engine that has computed, goes on as its output is read, and is killed in the end."""
        process = subprocess.Popen([self.app("lc_engine"), "endless", "1"], stdout=subprocess.PIPE,
                                   pipesize=4096, env=self.environment(log=log))
        try:
            check(os.read(process.stdout.fileno(), 1), "the engine ended by itself")
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def compare(self, argv, gemms=None, stderr=None, complete=True, extra=None, prepare=None,
                files=None, status=None, log="t.jsonl", before=None):
        """Three runs: without the library, with it but no trace asked for, traced. Returns the
        last one's segments. `stderr` of None: as without the library."""
        argv = [self.app(argv[0]) if "/" not in argv[0] else argv[0], *argv[1:]]
        outcomes = []
        for lib, trace in ((False, None), (True, None), (True, log)):
            traces = self.fresh()
            if before:
                before()
            kept = list(traces.iterdir())
            outcomes.append(self.run(argv, lib, traces / trace if trace else None, extra, prepare))
            if not trace:
                equal(list(traces.iterdir()), kept, "files of an untraced run")
        plain, off, on = outcomes
        if status is not None:
            equal(plain.status, status, "exit status without the library")
        for name, run in (("tracing off", off), ("tracing on", on)):
            equal(run.status, plain.status, f"exit status, {name}")
            equal(run.stdout, plain.stdout, f"stdout, {name}")
            if stderr is None or run is off:
                equal(run.stderr, plain.stderr, f"stderr, {name}")
        if stderr is not None:
            lines = on.stderr.splitlines()
            equal(len(lines), len(stderr), f"lines on stderr {lines}")
            for line, words in zip(lines, stderr):
                for word in words:
                    check(word in line, f"{word!r} is not in {line!r}")
        found = self.segments(complete)
        if gemms is not None:
            equal(sum(len(s.gemms) for s in found), gemms, "gemm records")
        if files is not None:
            equal(len(list(traces.iterdir())), files, "trace files")
        self.last = plain
        return found

    def segments(self, complete=True):
        found = []
        for path in sorted((self.directory / "traces").iterdir()):
            if path.suffix == ".jsonl":
                found += segments_of(path)
        if complete:
            for segment in found:
                segment.check_ledger()
        calls = [(s.pid, g["call"]) for s in found for g in s.gemms]
        equal(len(set(calls)), len(calls), "different gemm records")
        return found

    def counted(self):
        return int(self.count.read_text())
