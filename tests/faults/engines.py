"""Runs the engines: models, the traces of llama.cpp and of PyTorch in every form, with or without a fault."""
import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENGINES = ROOT / "scripts/engines"
PYTHON = "/usr/bin/python3"  # the one that Debian's PyTorch is for

PROMPTS = {"usual": "The quick brown fox", "short": "A row", "code": "static constexpr int s",
           "long": "A record does not hold a tensor: it holds the first values of a row, and sums."}
LLAMA = {"llama": [], "llama-again": [], "llama-exact": ["--exact"], "llama-2-threads": ["--threads", "2"],
         "llama-chunked": ["--batch", "8"]}


def tokens_of(text):
    return [1] + [byte + 3 for byte in text.encode()]


@dataclass(frozen=True)
class Run:
    """One traced run of PyTorch."""
    model: str
    form: str = "unfused"
    fault: str = ""
    layer: int = -1  # of the fault; -1: every layer
    prompt: str = "usual"
    generate: int = 4
    again: int = 0  # tells repetitions apart

    def name(self):
        text = json.dumps(asdict(self), sort_keys=True)
        return "t" + hashlib.sha256(text.encode()).hexdigest()[:15]


@dataclass(frozen=True)
class LlamaRun:
    model: str
    options: str = "llama"
    prompt: str = "usual"
    generate: int = 4

    def name(self):
        text = json.dumps(asdict(self), sort_keys=True)
        return "l" + hashlib.sha256(text.encode()).hexdigest()[:15]


MAKERS = [ENGINES / "make_model.py", ENGINES / "train_model.py"]
SCRIPTS = [ENGINES / "torch/llama.py", ENGINES / "llama.cpp/run.mjs", ENGINES / "llama.cpp/package.json",
           *(HERE / f"{name}.py" for name in ("engines", "faulty_llama", "forms", "plants", "zygote"))]


def directory_for(parent, files):
    """A directory whose name stands for the content of the files; those of other contents are removed."""
    key = hashlib.sha256()
    for path in files:
        key.update(hashlib.sha256(Path(path).read_bytes()).digest())
    out = Path(parent).resolve() / key.hexdigest()[:16]
    out.mkdir(parents=True, exist_ok=True)
    for other in out.parent.iterdir():
        if other != out and re.fullmatch("[0-9a-f]{16}", other.name):
            shutil.rmtree(other)
    return out


class Engines:
    """Models and traces, kept in directory work until what makes them changes. Traces have names that tell nothing;
    beside each lies a .json of what really happened."""
    def __init__(self, library, blas, work, at_once=2):
        self.library, self.blas, self.at_once = Path(library).resolve(), Path(blas).resolve(), at_once
        self.models = directory_for(Path(work) / "models", MAKERS)
        self.directory = directory_for(Path(work) / "traces", [*MAKERS, *SCRIPTS, library, blas])

    @staticmethod
    def missing():
        """What is not installed, in words; empty: all there."""
        if shutil.which("node") is None:
            return "there is no node"
        if not (ROOT / ".cache/engines/llama.cpp/node_modules/node-llama-cpp/dist").exists():
            return "node-llama-cpp is not installed; run scripts/deps"
        if subprocess.run([PYTHON, "-c", "import numpy, torch"], capture_output=True).returncode:
            return "this Python has no numpy or no torch"
        return ""

    def path(self, run):
        return self.directory / f"{run.name()}.jsonl"

    def facts(self, run):
        return json.loads(self.path(run).with_suffix(".json").read_text())

    def have(self, run):
        return self.path(run).with_suffix(".json").exists() and self.path(run).exists()

    def remove(self, run):
        for path in (self.path(run), self.path(run).with_suffix(".json")):
            path.unlink(missing_ok=True)

    def environment(self, trace, team, preload=()):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "LD_"))}
        return env | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORCH_LOG_FILE": str(trace),
                      "ORCH_LOG_TEAM": team, "LD_PRELOAD": ":".join(map(str, (self.library, *preload)))}

    # ---- models

    def model(self, name):
        """tiny, trained, and either with -q8_0 or -q4_0 for llama.cpp alone."""
        out = self.models / name
        if (out / "model.gguf").exists():
            return out
        base, _, quant = name.partition("-")
        if quant:
            source = ["--weights", self.model(base), "--quant", quant]
        elif base == "trained":
            found = subprocess.run([PYTHON, ENGINES / "train_model.py"], check=True, text=True, stdout=subprocess.PIPE)
            shutil.copytree(found.stdout.strip(), out, dirs_exist_ok=True)
            return out
        else:
            source = ["--preset", base]
        subprocess.run([PYTHON, ENGINES / "make_model.py", *source, "--out", out], check=True)
        return out

    # ---- traces

    def llama(self, run):
        if self.have(run):
            return
        path = self.path(run)
        path.unlink(missing_ok=True)
        words = [*LLAMA[run.options]]
        if "--threads" not in words:
            words += ["--threads", "1"]
        done = subprocess.run(
            ["node", ENGINES / "llama.cpp/run.mjs", "--model", self.model(run.model) / "model.gguf", "--prompt",
             PROMPTS[run.prompt], "--generate", str(run.generate), *words],
            env=self.environment(path, "llama.cpp"), text=True, capture_output=True, timeout=120)
        if done.returncode:
            raise SystemExit(f"llama.cpp failed: {done.stderr[-500:]}")
        path.with_suffix(".json").write_text(json.dumps({**asdict(run), "tokens": json.loads(done.stdout)["tokens"]}))

    def torch(self, runs, products):
        """Yields each run when its trace is there. products: names of the faults that need the wrong BLAS."""
        for with_blas in (False, True):
            todo = [r for r in runs if (r.fault in products) == with_blas]
            yield from (r for r in todo if self.have(r))
            todo = [r for r in todo if not self.have(r)]
            if todo:
                yield from self.zygote(todo, with_blas)

    def zygote(self, runs, with_blas):
        by_path, jobs = {}, []
        for run in runs:
            path = self.path(run)
            path.unlink(missing_ok=True)
            by_path[str(path)] = run
            jobs.append(json.dumps({
                "trace": str(path), "model": str(self.model(run.model)), "form": run.form, "fault": run.fault,
                "layer": None if run.layer < 0 else run.layer, "prompt": tokens_of(PROMPTS[run.prompt]),
                "generate": run.generate, "blas": str(self.blas) if with_blas else ""}))
        jobs_file = self.directory / f"jobs-{os.getpid()}"
        jobs_file.write_text("\n".join(jobs) + "\n")
        env = self.environment(self.directory / "%p.jsonl", "pytorch", [self.blas] if with_blas else [])
        words = [PYTHON, HERE / "zygote.py", self.directory, str(self.at_once)]
        with open(jobs_file) as lines, subprocess.Popen(words, stdin=lines, text=True, stdout=subprocess.PIPE,
                                                        cwd=self.directory, env=env) as child:
            for line in child.stdout:
                answer = json.loads(line)
                run = by_path.pop(answer.pop("trace"))
                if answer.pop("status"):
                    raise SystemExit(f"the engine failed: {run}")
                self.path(run).with_suffix(".json").write_text(json.dumps({**asdict(run), **answer}))
                yield run
        jobs_file.unlink()
        if child.returncode or by_path:
            raise SystemExit(f"the engine ended with {child.returncode}, {len(by_path)} traces missing")
