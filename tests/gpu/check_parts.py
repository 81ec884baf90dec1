"""The parts of scripts/gpu-check. Each is a function of Here that returns a Part: what failed, and what its section of
the page says. What a machine lacks is said, and is no failure."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/support"))
from checks import SKIPPED, clean_environment  # noqa: E402

STAND_INS = "stand-ins: no number means anything"


@dataclass
class Part:
    title: str
    lines: list = field(default_factory=list)  # of Markdown
    failures: list = field(default_factory=list)
    summary: str = ""

    def fail(self, text):
        self.failures.append(text)

    def say(self, *lines):
        self.lines += lines

    def table(self, head, rows):
        self.say("", f"| {' | '.join(head)} |", "|" + "---|" * len(head),
                 *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows), "")


@dataclass
class Here:
    """The machine and the build."""
    build: Path
    stand_ins: bool
    libraries: str  # LD_LIBRARY_PATH of an engine on CUDA
    work: Path
    log: Path  # of every command, with what it printed
    end: float = 0  # of the part that runs, by time.monotonic()

    @property
    def patience(self):
        """The stand-ins share a machine with other tests, and their speed is no question."""
        return 5 if self.stand_ins else 1

    def goal(self, reached):
        return "not measured" if self.stand_ins else "reached" if reached else "**missed**"

    def left(self):
        return max(self.end - time.monotonic(), 1)

    def program(self, name):
        return self.build / "bin" / name

    @property
    def tracer(self):
        return str((self.build / "lib/liborchtrace.so").resolve())

    @property
    def kernels(self):
        return ":".join(str(self.build / path) for path in
                        ("lib/libminillama_host.so", "lib/liborch_device_host.so", "fake_cuda/libfake_ggml_kernels.so"))

    def environment(self, **more):
        env = clean_environment("FAKE_", "MINILLAMA_", "CUBLAS") | {"LD_LIBRARY_PATH": self.libraries}
        return env | ({"FAKE_CUDA_KERNELS": self.kernels} if self.stand_ins else {}) | more

    def traced(self, env, trace, **more):
        return env | {"LD_PRELOAD": self.tracer, "ORCH_LOG_FILE": str(trace)} | more

    def run(self, words, env=None, most=None):
        """subprocess.run; a run that takes too long has the return code 124."""
        limit = min(self.left(), self.patience * most if most else self.left())
        words = [str(word) for word in words]
        try:
            done = subprocess.run(words, env=env or self.environment(), text=True, capture_output=True, timeout=limit,
                                  errors="replace")
        except subprocess.TimeoutExpired as late:
            text = [t.decode(errors="replace") if isinstance(t, bytes) else t or "" for t in (late.stdout, late.stderr)]
            done = subprocess.CompletedProcess(words, 124, text[0], f"{text[1]}stopped after {limit:.0f} s")
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}exit {done.returncode}\n\n")
        return done


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def end_of(done):
    return f"exit {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-300:]}"


# ---- What the digest kernel does, and how fast. -----------------------------------------------------------------------

def tests(here):
    part = Part("The digest kernel against the CPU")
    result = here.work / "gpu_tests.json"
    done = here.run([here.program("gpu_tests"), f"--gtest_output=json:{result}"])
    if done.returncode == SKIPPED or not result.exists():
        part.fail(f"gpu_tests: {end_of(done)}")
        return part
    rows, passed, count = [], 0, 0
    for suite in json.loads(result.read_text())["testsuites"]:
        bad = [t for t in suite["testsuite"] if t.get("failures")]
        part.failures += [f"{suite['name']}.{t['name']}: {t['failures'][0]['failure'][:300]}" for t in bad]
        rows.append([suite["name"], len(suite["testsuite"]) - len(bad), len(suite["testsuite"])])
        passed, count = passed + rows[-1][1], count + rows[-1][2]
    if done.returncode not in (0, 1):
        part.fail(f"gpu_tests: {end_of(done)}")
    part.summary = f"{passed} of {count} tests passed"
    part.say("Types, shapes, strides, pointers, NaN and infinities, proofs and probes, replays, full rings, overlapping streams. "
             "Hashes, counts, extremes and their places bit for bit; sums and sketches to 1e-6 of the sum of magnitudes.")
    part.table(["suite", "passed", "of"], rows)
    return part


def bench(here):
    part = Part("What a digest takes")
    done = here.run([here.program("gpu_bench"), *(["--quick"] if here.stand_ins else [])])
    found = json_lines(done.stdout)
    if done.returncode != 0:
        part.fail(f"gpu_bench: {end_of(done)}")
    for line in found:
        if line.get("records") != line.get("expected"):
            part.fail(f"gpu_bench: {line['records']} of {line['expected']} records: {line}")
    latency = [x for x in found if x["bench"] == "latency"]
    part.say("*alone*: two events around one launch, less two around nothing. *singly*: a launch in a row of 200 in a stream. "
             "*node*: one in a chain of 200 in a graph. *host*: the call of cuLaunchKernel. Microseconds, medians of 25.")
    part.table(["of", "blocks", "alone", "singly (expected: 3.3)", "node (expected: 0.9)", "host",
                "goal for the kernel: 3.5, as a node"],
               [[x["what"], x["grid"], x["alone_us"], x["singly_us"], x["node_us"], x["host_us"],
                 here.goal(x["node_us"] <= 3.5)] for x in latency])
    for x in (x for x in found if x["bench"] == "replay"):
        part.say(f"A graph of {x['operations']} copies of 16 KB: {x['without_us']} us; with a product's digest behind each: "
                 f"{x['with_us']} us. A digest adds {x['added_us']} us to a replay.")
    band = [x for x in found if x["bench"] == "bandwidth"]
    part.say("", "Bandwidth. The copy's bytes are counted twice, read and written; the digest's once, as it only reads. Each "
             "launch takes another part of 2 GB, which no cache holds. The goal is 80 % of the copy.")
    share = [100 * x["digest_gb_s"] / max(x["copy_gb_s"], 1) for x in band]
    part.table(["type", "MB", "copy GB/s", "digest GB/s", "share", "goal"],
               [[x["type"], x["bytes"] >> 20, x["copy_gb_s"], x["digest_gb_s"], f"{s:.0f} %", here.goal(s >= 80)]
                for x, s in zip(band, share)])
    if band and latency:
        part.summary = (f"{min(share):.0f} to {max(share):.0f} % of a copy's bandwidth; nodes of "
                        f"{min(x['node_us'] for x in latency)} to {max(x['node_us'] for x in latency)} us")
    return part


# ---- What is asked of a driver. ---------------------------------------------------------------------------------------

def state_of_the_gpu():
    """(question, answer), as nvidia-smi has it."""
    def ask(*words):
        try:
            done = subprocess.run(["nvidia-smi", *words], text=True, capture_output=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired) as why:
            return f"nvidia-smi: {why}"
        return " ".join((done.stdout if done.returncode == 0 else done.stderr or done.stdout).split())[:200]
    fields = "mig.mode.current,compute_mode,persistence_mode,ecc.mode.current,clocks.max.sm,clocks.max.memory"
    yield "MIG, compute mode, persistence, ECC, clocks", ask(f"--query-gpu={fields}", "--format=csv,noheader")
    yield "confidential computing", ask("conf-compute", "-f")
    running = subprocess.run(["ps", "-e", "-o", "comm="], text=True, capture_output=True).stdout if shutil.which("ps") else ""
    mps = "nvidia-cuda-mps" in running or "CUDA_MPS_PIPE_DIRECTORY" in os.environ
    yield "MPS", ("in use" if mps else "not seen") if running else "there is no ps to look with"


def questions(here):
    part = Part("Answers of the driver")
    hooks = (ROOT / "preload/hooks.toml").read_text()
    names = sorted(set(re.findall(r'"int (cu[A-Z]\w+)\(', hooks)))
    needed = re.findall(r'find\(library, "(\w+)"', (ROOT / "preload/cuda/driver.cpp").read_text())
    done = here.run([here.program("gpu_questions"), *names, "--needed", *needed])
    rows = [[x["question"], x.get("answer") or f"**not answered**: {x['failed']}"] for x in json_lines(done.stdout)]
    if done.returncode != 0 or not rows:
        part.fail(f"gpu_questions: {end_of(done)}")
    if not here.stand_ins:
        rows += [list(pair) for pair in state_of_the_gpu()]
    part.table(["question", "answer"], rows)
    part.summary = f"{sum('not answered' not in answer for _, answer in rows)} of {len(rows)} questions answered"
    return part


# ---- Engines. ---------------------------------------------------------------------------------------------------------

QUICK_CASES = ["it_prints_what_it_prints_without_us", "replays_have_their_graph_and_number"]


def minillama(here):
    part = Part("minillama, with and without a trace")
    where = ["--fakes", here.libraries, "--kernels", here.kernels] if here.stand_ins else ["--hardware", here.libraries]
    done = here.run([sys.executable, ROOT / "tests/cuda/minillama_test.py", *where, "--orchtrace", here.program("orchtrace"),
                     "--library", here.tracer, "--minillama", here.program("minillama"),
                     *(QUICK_CASES if here.stand_ins else [])], env=clean_environment("FAKE_"))
    rows = []
    for line in done.stdout.splitlines():
        result, _, rest = line.partition(" ")
        if result in ("ok", "FAIL", "skipped") and rest:
            rows.append([rest, result])
            if result == "FAIL":
                part.fail(rest)
    if done.returncode not in (0, 1):
        part.fail(f"minillama_test: {end_of(done)}")
    elif not rows:
        part.fail("minillama_test ran no case")
    part.table(["case of tests/cuda/minillama_test.py", "result"], rows)
    part.summary = done.stdout.splitlines()[-1] if done.stdout else ""
    return part


def final_ledger(trace):
    """The last ledger, out of the end of a file that may be large."""
    with trace.open("rb") as file:
        file.seek(max(trace.stat().st_size - (4 << 20), 0))
        lines = file.read().splitlines()
    for line in reversed(lines):
        if b'"ledger"' in line:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if record.get("kind") == "ledger":
                return record
    return None


LOGGED = re.compile(r"function\s.*?\b(cublas\w*[gG]emm\w*)\(.*called")


def logged_products(text):
    return sum(bool(LOGGED.search(line)) for line in text.splitlines())


def oracle(here):
    """cuBLAS's own log counts the calls; on the stand-ins, which have none, their journal does."""
    part = Part("Products that cuBLAS itself counted")
    log, lt_log, journal = (here.work / name for name in ("cublas.log", "cublaslt.log", "oracle.journal"))
    rows = []
    for name, words in {"eager": [], "graphs": ["--graphs"], "bf16, fused": ["--precision", "bf16", "--fused"]}.items():
        trace = here.work / "oracle.jsonl"
        for path in (log, lt_log, journal, trace):  # a trace is written on
            path.unlink(missing_ok=True)
        env = here.environment(CUBLAS_LOGINFO_DBG="1", CUBLAS_LOGDEST_DBG=str(log), CUBLASLT_LOG_LEVEL="5",
                               CUBLASLT_LOG_FILE=str(lt_log), **({"FAKE_CUDA_JOURNAL": str(journal)} if here.stand_ins else {}))
        done = here.run([here.program("minillama"), "random:3,256,4,2,512,500", "--tokens", "1,2,3", "--generate", "5", *words],
                        here.traced(env, trace), most=60)
        if done.returncode != 0:
            part.fail(f"minillama, {name}: {end_of(done)}")
            continue
        records = [json.loads(line) for line in trace.read_text().splitlines()]
        gemms = [r for r in records if r["kind"] == "gemm"]
        # A capture is one call of cuBLAS for each node, however often it replays.
        recorded = sum("graph" not in r or r["replay"] == 0 for r in gemms)
        if here.stand_ins:
            counted = sum('"call":"cublas' in line and "emm" in line for line in journal.read_text().splitlines())
        else:
            text = log.read_text(errors="replace") if log.exists() else ""
            counted = logged_products(text)
            if counted == 0:
                rows.append([name, recorded, "no log was written" if not text else f"not understood: {text[:120]!r}", "not checked"])
                continue
        inside = lt_log.read_text(errors="replace").count("cublasLtMatmul") if lt_log.exists() else 0
        rows.append([name, recorded, f"{counted}" + (f", and {inside} lines of cuBLASLt" if inside else ""),
                     "equal" if counted == recorded else "**not equal**"])
        if counted != recorded:
            part.fail(f"{name}: {recorded} products were recorded, {counted} counted by cuBLAS")
    part.table(["run", "calls recorded (a node once)", "calls counted by " + ("the stand-in" if here.stand_ins else "cuBLAS"), ""], rows)
    part.summary = f"{sum(row[-1] == 'equal' for row in rows)} of {len(rows)} runs equal"
    return part


@dataclass
class Variant:
    name: str
    sizes: str
    words: list
    settings: dict | None  # None: without us
    base: str = ""
    goals: tuple = ()  # eager, graphs: percent


def variants(here):
    if here.stand_ins:
        small, deep = "random:2,64,4,2,96,300", "random:3,64,4,2,96,300"
    else:
        small, deep = "random:32,2048,16,8,5632,32000", "random:60,2048,16,8,5632,32000"
    fused = ["--fused"]
    return [Variant("fused, without us", small, fused, None),
            Variant("fused, hooked, nothing selected", small, fused, {"ORCH_TRACE_CHECKPOINTS": "none"}, "fused, without us"),
            Variant("fused, one product per layer, logits", small, fused, {"ORCH_TRACE_CHECKPOINTS": "layers,logits"},
                    "fused, without us", (5, 2)),
            Variant("fused, default selection", small, fused, {}, "fused, without us", (10, 5)),
            Variant("deeper and not fused, without us", deep, [], None),
            Variant("deeper and not fused, default selection", deep, [], {}, "deeper and not fused, without us", (10, 5))]


def run_variant(here, variant, mode, steps):
    """(printed tokens and hash, microseconds per token, digests per token, share dropped); or what went wrong."""
    env, trace = here.environment(), here.work / "overhead.jsonl"
    if variant.settings is not None:
        env = here.traced(env, trace, **variant.settings)
    done = here.run([here.program("minillama"), variant.sizes, "--tokens", "1,2,3,4,5,6,7,8", "--generate", steps, "--precision",
                     "bf16", "--time", *variant.words, *(["--graphs"] if mode == "graphs" else [])], env, most=90)
    if done.returncode != 0:
        return end_of(done)
    lines = done.stdout.splitlines()
    taken = float(re.search(r"median ([\d.]+) us", lines[2])[1])
    digests = dropped = 0
    if variant.settings is not None:
        ledger = final_ledger(trace)
        trace.unlink()
        if ledger is None:
            return "the trace has no ledger"
        counts = [ledger["classes"][name] for name in ("gemm", "copy") if name in ledger["classes"]]
        dropped = sum(c["dropped"] for c in counts)
        digests = sum(c["recorded"] for c in counts) + dropped
    return lines[:2], taken, digests / steps, dropped / digests if digests else 0


def overhead(here):
    part = Part("What decoding takes with a trace")
    steps, most_rounds = (24, 1) if here.stand_ins else (200, 3)
    found, outputs, rounds = {}, {}, 0
    begin = time.monotonic()
    while rounds < most_rounds:
        if rounds and here.left() < 1.2 * (time.monotonic() - begin) / rounds:
            break
        for mode in ("eager", "graphs"):
            for variant in variants(here):
                result = run_variant(here, variant, mode, steps)
                if isinstance(result, str):
                    part.fail(f"{variant.name}, {mode}: {result}")
                    continue
                output, *numbers = result
                first = outputs.setdefault((variant.sizes, mode), output)
                if output != first:
                    part.fail(f"{variant.name}, {mode}: its tokens or logits are others than without us")
                found.setdefault((variant.name, mode), []).append(numbers)
        rounds += 1
    rows, worst = [], []
    for mode_number, mode in enumerate(("eager", "graphs")):
        for variant in variants(here):
            runs = found.get((variant.name, mode), [])
            if not runs:
                continue
            taken, digests, dropped = (statistics.median(column) for column in zip(*runs))
            base = found.get((variant.base, mode))
            percent = 100 * (taken / statistics.median(run[0] for run in base) - 1) if base else None
            verdict = ""
            if percent is not None and variant.goals:
                verdict = f"≤ {variant.goals[mode_number]} %: {here.goal(percent <= variant.goals[mode_number])}"
                worst.append(percent)
            spread = (max(run[0] for run in runs) - min(run[0] for run in runs)) / taken * 100
            rows.append([variant.name, mode, f"{1e6 / taken:.0f}", f"{spread:.1f} %", f"{digests:.0f}",
                         "" if percent is None else f"{percent:+.1f} %", f"{100 * dropped:.1f} %", verdict])
    part.say(f"minillama in bf16, hidden size {2048 if not here.stand_ins else 64}, {steps} steps, {rounds} rounds of every variant in "
             "turn; the median step without the first 16. *one product per layer*: `layers,logits`. "
             "*dropped*: digests that the ring had no room for, counted in the trace.")
    part.table(["engine and selection", "mode", "tokens/s", "spread of rounds", "digests per token", "slower by", "dropped", "goal"], rows)
    if worst:
        part.summary = f"{min(worst):+.1f} to {max(worst):+.1f} % per token"
    return part


def count_records(trace):
    """(products, of graphs among them, dropped, blind spots)"""
    products = in_graphs = 0
    blind, dropped = set(), "no ledger"
    for line in trace.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "gemm":
            products += 1
            in_graphs += "graph" in record
        elif record["kind"] == "blind_spot":
            blind.add(record["what"])
        elif record["kind"] == "ledger":
            dropped = sum(c["dropped"] for c in record["classes"].values())
    return products, in_graphs, dropped, ", ".join(sorted(blind)) or "none"


def compare_runs(here, part, rows, name, words, env, expected=None):
    """The same with a trace as without; twice without first, because some engines differ from themselves."""
    outputs = []
    trace = here.work / "engine.jsonl"
    trace.unlink(missing_ok=True)
    for run_env in (env, env, here.traced(env, trace)):
        done = here.run(words, run_env, most=120)
        printed = json_lines(done.stdout)
        if done.returncode != 0 or not printed:
            part.fail(f"{name}: {end_of(done)}")
            return
        outputs.append(printed[-1])
    plain, again, traced = outputs
    products, in_graphs, dropped, blind = count_records(trace) if trace.exists() else (0, 0, "no trace", "")
    same = "the same" if traced == plain else "differs, as it does without us" if plain != again else "**differs**"
    if traced != plain and plain == again:
        part.fail(f"{name}: prints {traced} instead of {plain}")
    if products == 0:
        part.fail(f"{name}: no product was recorded")
    wanted = expected(traced) if expected else None
    if wanted is not None and products < wanted:
        part.fail(f"{name}: {products} products recorded, and its layers asked for {wanted}")
    rows.append([name, same, products, in_graphs, wanted if wanted is not None else "", dropped, blind])


HEAD = ["engine", "tokens and logits with us", "products", "of them in replays", "its linear layers'", "dropped", "blind spots"]


def llama(here):
    part = Part("llama.cpp's CUDA build")
    engine = ROOT / ".cache/engines/llama.cpp-cuda/node_modules/@node-llama-cpp/linux-x64-cuda"
    if shutil.which("node") is None or not engine.exists():
        part.say("Not there: " + ("no node" if shutil.which("node") is None else "scripts/deps installs it") + ".")
        part.summary = "not there"
        return part
    sys.path.append(str(ROOT / "tests/apps/minillama"))
    import weights
    model = weights.make(here.work / "llama_model").with_name("model.gguf")
    rows = []
    for name, settings in {"graphs": {}, "eager": {"GGML_CUDA_DISABLE_GRAPHS": "1"}}.items():
        words = ["node", ROOT / "scripts/engines/llama.cpp-cuda/run.mjs", "--model", model, "--prompt", "The quick brown fox",
                 "--generate", "8"]
        compare_runs(here, part, rows, f"llama.cpp, {name}", words, here.environment(**settings, ORCH_TRACE_PROBES="cublas,cuda"))
    part.table(HEAD, rows)
    part.summary = f"{len(rows)} of 2 settings ran"
    return part


def torch(here):
    part = Part("PyTorch and transformers")
    script = ROOT / "tests/gpu/torch_engine.py"
    python = "/usr/bin/python3" if here.stand_ins else sys.executable
    # PyTorch brings CUDA with it: nothing of ours in its library path.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "LD_PRELOAD", "FAKE_"))}
    rows, absent = [], []
    for model in ("plain", "transformers"):
        package = {"plain": "torch", "transformers": "transformers"}[model]
        device = "cpu" if here.stand_ins else "cuda"
        try_it = f"import torch, {package}; print(torch.cuda.is_available())"
        there = here.run([python, "-c", try_it], env, most=60)
        if there.returncode != 0 or (device == "cuda" and "True" not in there.stdout):
            absent.append(package if there.returncode != 0 else f"a GPU, says {package}")
            continue
        for precision in ("f32", "bf16") if not here.stand_ins else ("f32",):
            replays = 5 if model == "plain" and device == "cuda" else 0
            words = [python, script, "--device", device, "--precision", precision, "--model", model, "--replays", replays]
            compare_runs(here, part, rows, f"{package}, {precision}, {device}", words, env, expected=lambda out:
                         out["linear_products"] + out.get("eager_before_replay", 0) + out.get("in_graph", 0) * out.get("replays", 0))
    if rows:
        part.table(HEAD, rows)
    if absent:
        part.say(f"Not there: {', '.join(absent)}.")
    if here.stand_ins:
        part.say("On the CPU: PyTorch's CUDA build does not run on the stand-ins.")
    part.summary = f"{len(rows)} runs" + (f"; not there: {', '.join(absent)}" if absent else "")
    return part


# name: (function, seconds that it may take)
PARTS = {"tests": (tests, 90), "bench": (bench, 60), "questions": (questions, 60), "minillama": (minillama, 90),
         "oracle": (oracle, 40), "overhead": (overhead, 150), "torch": (torch, 100), "llama": (llama, 60)}


def work_directory():
    return Path(tempfile.mkdtemp(prefix="gpu_check."))
