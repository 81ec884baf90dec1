#!/usr/bin/python3
"""A trace that lost records is told as incomplete, whichever records they are.

usage: lost_records_test.py --orchtrace PROGRAM --engine {selftest,llama.cpp} [--library LIBRARY]

Takes a whole trace, of `orchtrace selftest` or of llama.cpp, and removes one line in a hundred at
random, 100 times; then its first line, its last, and one of each kind. `info` and `compare` must
call each of these incomplete, and the whole trace complete. Exit code 77: no such engine here.
"""
import argparse
import json
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN_LLAMA = ROOT / "scripts/engines/llama.cpp/run.mjs"
MAKE_MODEL = ROOT / "scripts/engines/make_model.py"
PYTHON = "/usr/bin/python3"
ROUNDS = 100
SHARE = 0.01


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def must(*command):
    done = run(*command)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def trace_of_selftest(options, directory):
    must(options.orchtrace, "selftest", "--keep", directory / "cases")
    return directory / "cases/reference.jsonl"


def trace_of_llama(options, directory):
    if not (ROOT / ".cache/engines/llama.cpp/node_modules").exists():
        print("skipped: llama.cpp is not installed; scripts/deps installs it")
        sys.exit(77)
    must(PYTHON, MAKE_MODEL, "--preset", "tiny", "--out", directory / "model")
    trace = directory / "llama.jsonl"
    must(options.orchtrace, "run", "--quiet", "--library", options.library, "-o", trace, "--", "node", RUN_LLAMA,
         "--model", directory / "model/model.gguf", "--prompt", "The quick brown fox", "--generate", 4)
    return trace


def losses(lines):
    """What to remove, with a name: sets of line numbers."""
    for seed in range(ROUNDS):
        count = max(1, round(SHARE * len(lines)))
        yield f"seed {seed}", set(random.Random(seed).sample(range(len(lines)), count))
    yield "the first line", {0}
    yield "the last line", {len(lines) - 1}
    middle_of = {}
    for number, line in enumerate(lines):
        middle_of.setdefault(json.loads(line).get("kind", "log"), []).append(number)
    for kind, numbers in middle_of.items():
        yield f"a {kind} line", {numbers[len(numbers) // 2]}


def check(options, whole, directory):
    lines = whole.read_bytes().splitlines(keepends=True)
    traces = {}
    for number, (name, gone) in enumerate(losses(lines)):
        path = directory / f"lost-{number}.jsonl"
        path.write_bytes(b"".join(line for i, line in enumerate(lines) if i not in gone))
        traces[name] = path

    problems = []
    info = json.loads(run(options.orchtrace, "info", "--format", "json", whole, *traces.values()).stdout)
    told = [file["completeness"] for file in info["files"]]
    if told[0] != "complete":
        problems.append(f"info calls the whole trace {told[0]}")
    problems += [f"info, {name} lost: {what}" for name, what in zip(traces, told[1:]) if what != "incomplete"]

    def compared(path):
        done = run(options.orchtrace, "compare", "--format", "json", whole, path)
        return done.returncode, json.loads(done.stdout)["engines"][1]["completeness"] if done.stdout else done.stderr

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(compared, [whole, *traces.values()]))
    if outcomes[0] != (0, "complete"):
        problems.append(f"compare calls the whole trace {outcomes[0]}")
    problems += [f"compare, {name} lost: {what}" for name, what in zip(traces, outcomes[1:])
                 if what != (2, "incomplete")]
    print(f"{len(lines)} lines, {len(traces)} ways to lose some: {len(problems)} not told")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orchtrace", required=True, type=Path)
    parser.add_argument("--engine", required=True, choices=["selftest", "llama.cpp"])
    parser.add_argument("--library", type=Path, help="liborchtrace.so, for llama.cpp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make = trace_of_selftest if options.engine == "selftest" else trace_of_llama
        problems = check(options, make(options, directory), directory)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
