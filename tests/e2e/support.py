"""What the cases share: a bench that runs real engines, and a reader of the traces they leave."""
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/support"))
from checks import CASES, Failure, Skipped, case, check, check_counts, equal, run_cases  # noqa: E402, F401

try:
    import numpy as np
except ImportError:  # then every case that needs it is skipped
    np = None

ENGINES = ROOT / "scripts/engines"
PYTHON = "/usr/bin/python3"  # the one that Debian's PyTorch is for
LAYERS, HEADS, HIDDEN, VOCABULARY = 4, 8, 128, 320
PROMPT = "The quick brown fox"
PROMPT_TOKENS = [1] + [byte + 3 for byte in PROMPT.encode()]
PRODUCTS = 7 * LAYERS + 1
SPREAD = [0, 1, 2, 4, 8, 16]
LIMIT = 300  # seconds; only what hangs gets there


def distance(a, b):
    """Relative to b, in the L2 norm."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    check(a.shape == b.shape, f"{a.shape} values against {b.shape}")
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300))


def near(a, b, limit, what):
    d = distance(a, b)
    check(d <= limit, f"{what}: relative distance {d:.3g}, more than {limit:g}")


def f32(values):
    """The text of a float32, read as a double, rounds back to that float32."""
    return np.array(values, np.float64).astype(np.float32)


class Trace:
    def __init__(self, path):
        text = path.read_bytes()
        check(text.endswith(b"\n"), "the trace does not end with a whole line")
        self.records = [json.loads(line) for line in text.splitlines()]
        self.calls = sorted((r for r in self.records if r["kind"] in ("gemm", "checkpoint")),
                            key=lambda r: r["call"])  # threads write their lines each at its time
        self.gemms = [r for r in self.calls if r["kind"] == "gemm"]
        self.passes = sorted(self.of("pass"), key=lambda r: r["pass"])
        self.weights = {r["weight"]: r for r in self.of("weight")}

    def of(self, kind):
        return [r for r in self.records if r["kind"] == kind]

    def blind_spots(self):
        return [r["what"] for r in self.of("blind_spot")]

    def by_pass(self):
        """{pass: {checkpoint: record}}; a checkpoint comes once per pass."""
        result = defaultdict(dict)
        for r in self.calls:
            check(r["checkpoint"] not in result[r["pass"]], f"{r['checkpoint']} twice in pass {r['pass']}")
            result[r["pass"]][r["checkpoint"]] = r
        return result

    @functools.cached_property
    def row_lines(self):
        result = defaultdict(list)
        for r in self.of("row"):
            result[r["call"]].append(r)
        return result

    def rows(self, record):
        """{position: line} of one call, its last row included."""
        lines = {r["token_idx"]: r for r in self.row_lines[record["call"]]}
        check(record["token_idx"] not in lines, "the last row has a line of its own")
        lines[record["token_idx"]] = record
        return lines

    def check_whole(self, blind_spots=()):
        """Nothing lost, the ledger adds up, nothing unreadable."""
        equal(self.records[0]["kind"], "header", "first line")
        ledger = self.records[-1]
        check(ledger["kind"] == "ledger" and ledger["final"], "the last line is not the final ledger")
        counts = ledger["classes"]
        check_counts(ledger)
        for name in ("gemm", "checkpoint", "weight", "pass"):
            equal(counts[name]["recorded"], len(self.of(name)), f"{name} records in the ledger")
        equal(ledger["row_lines"], len(self.of("row")), "rows in the ledger")
        equal(ledger["lines"], len(self.records) - len(self.of("ledger")), "lines in the ledger")
        equal((ledger["lost_lines"], ledger["dropped_rows"]), (0, 0), "lost lines and errors")
        equal(self.blind_spots(), list(blind_spots), "blind spots")


class Run:
    def __init__(self, status, stdout, stderr, path):
        self.status, self.stdout, self.stderr, self.path = status, stdout, stderr, path

    @property
    def tokens(self):
        return json.loads(self.stdout)["tokens"]

    @functools.cached_property
    def trace(self):
        check(self.path.exists(), f"no trace; stderr: {self.stderr[-500:]}")
        return Trace(self.path)


class Bench:
    def __init__(self, options, directory):
        self.options, self.directory, self.count = options, directory, 0

    def model(self, name):
        path = self.options.work / name
        if not (path / "model.gguf").exists():
            raise Skipped(f"there is no model {name}; see `engines_test.py --models`")
        return path

    def file(self, name):
        return self.directory / name

    def run(self, argv, lib=True, log=True, **environment):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "LD_"))}
        env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.count += 1
        path = self.directory / f"{self.count}.jsonl"
        if lib:
            env["LD_PRELOAD"] = str(self.options.lib)
        if lib and log:
            env["ORCH_LOG_FILE"] = str(path)
        done = subprocess.run([str(a) for a in argv], env=env | environment, capture_output=True,
                              text=True, timeout=LIMIT, cwd=self.directory)
        return Run(done.returncode, done.stdout, done.stderr, path)

    def good(self, argv, **rest):
        run = self.run(argv, **rest)
        check(run.status == 0, f"exit status {run.status}: {run.stderr[-500:]}")
        equal(run.stderr, "", "stderr")
        return run

    def llama(self, *arguments, model="tiny", generate=4, **rest):
        path = model if isinstance(model, Path) else self.model(model) / "model.gguf"
        return self.good(self.llama_command(path, generate, *arguments), **rest)

    def llama_command(self, path, generate, *arguments):
        if np is None:
            raise Skipped("this Python has no numpy")
        if shutil.which("node") is None:
            raise Skipped("there is no node")
        if not (ROOT / ".cache/engines/llama.cpp/node_modules/node-llama-cpp/dist").exists():
            raise Skipped("node-llama-cpp is not installed; run scripts/deps")
        words = list(arguments)
        if not {"--prompt", "--tokens"} & set(words):
            words += ["--prompt", PROMPT]
        if "--threads" not in words:
            words += ["--threads", "1"]  # llama.cpp's threads wait in a loop: slow on a busy machine
        return ["node", ENGINES / "llama.cpp/run.mjs", "--model", path, "--generate", generate, *words]

    def torch(self, *arguments, generate=4, **rest):
        if np is None:
            raise Skipped("this Python has no numpy")
        if importlib.util.find_spec("torch") is None:
            raise Skipped("this Python has no torch")
        return self.good([PYTHON, ENGINES / "torch/llama.py", "--model", self.model("tiny"), "--prompt",
                          PROMPT, "--generate", generate, *arguments], **rest)

    def fake(self, variant):
        """Without the library, with it but no trace asked for, traced: all print the same."""
        if self.options.apps is None:
            raise Skipped("without --apps there is no fake engine")
        app = self.options.apps / variant / "fake_ggml_app"
        plain, off, on = self.good([app], lib=False), self.run([app], log=False), self.run([app])
        equal(plain.stdout.count("\n"), 3, "lines of the engine")
        for name, run in (("untraced", off), ("traced", on)):
            equal((run.status, run.stdout, run.stderr), (0, plain.stdout, ""), f"{name} outcome")
        check(not off.path.exists(), "a file without ORCH_LOG_FILE")
        on.logits = [[float(x) for x in line.split()] for line in plain.stdout.splitlines()]
        return on


def positions_of(records):
    return [r["token_positions"] for r in records]


def nearest(weight, candidates):
    """(distance, id) of the nearest of that shape, and the distance of the next."""
    found = sorted((distance(c["sketch"], weight["sketch"]), i) for i, c in candidates.items()
                   if c["shape"] == weight["shape"])
    check(found, f"no weight of shape {weight['shape']}")
    return found[0], found[1][0] if len(found) > 1 else float("inf")
