#!/usr/bin/python3
"""An index of a GGUF against the trace of a llama.cpp that loaded it, and against the index of the
same weights as safetensors.

usage: index_against_trace.py --orchtrace PROGRAM --lib LIBORCHTRACE.SO --models DIR
"""
import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/support"))
from checks import Failure, Skipped, check, check_counts, equal  # noqa: E402

SKIPPED = 77  # exit status, known to ctest
LAYERS = 4
TYPES = {"tiny": "f32", "f16": "f16", "q8_0": "q8_0", "q4_0": "q4_0"}
# Relative distance of two sketches of one weight, one of them stored in that type.
ROUNDING = {"f32": 1e-6, "f16": 1e-3, "q8_0": 2e-2, "q4_0": 3e-1}


def records(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def weights(path):
    return {r["weight"]: r for r in records(path) if r.get("kind") == "weight"}


def run(command, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "LD_"))}
    done = subprocess.run([str(word) for word in command], env=env | environment,
                          capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, f"{command[0]}: exit status {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def index_of(options, model, output):
    run([options.orchtrace, "index", model, "-o", output])
    lines = records(output)
    equal((lines[0]["kind"], lines[0]["backend"]), ("header", "index"), "first line")
    ledger = lines[-1]
    equal((ledger["kind"], ledger["final"]), ("ledger", True), "last line")
    check_counts(ledger)
    equal(ledger["classes"]["weight"]["recorded"], len(weights(output)), "weights in the ledger")
    equal(ledger["lines"], len(lines) - 1, "lines in the ledger")
    return weights(output)


def llama_trace(options, model, output):
    if shutil.which("node") is None:
        raise Skipped("there is no node")
    if not (ROOT / ".cache/engines/llama.cpp/node_modules/node-llama-cpp/dist").exists():
        raise Skipped("node-llama-cpp is not installed; run scripts/deps")
    run(["node", ROOT / "scripts/engines/llama.cpp/run.mjs", "--model", model, "--prompt", "The fox",
         "--generate", "1"], LD_PRELOAD=str(options.lib), ORCH_LOG_FILE=str(output))
    return weights(output)


def same_to_the_last_digit(traced, indexed):
    check(len(traced) >= 7 * LAYERS + 1, f"only {len(traced)} weights in the trace")
    for name, record in traced.items():
        own = dict(indexed[name])
        for key in ("ts", "team"):
            own[key] = record[key]
        equal(own.pop("role")["layer"] if "blk." in name else -1,
              int(name.split(".")[1]) if "blk." in name else -1, f"layer of {name}")
        own.pop("role", None)
        equal(own, record, name)


def distance(a, b):
    return math.dist(a, b) / max(math.hypot(*b), 1e-30)


def role(record):
    found = record["role"]
    return found.get("layer", -1), found["part"]


def same_weights(gguf, hugging_face, kind):
    """By their roles; the rows of q and k stand in another order."""
    theirs = {role(r): r for r in hugging_face.values()}
    equal(len(theirs), len(hugging_face), "roles of the safetensors")
    equal(sorted(role(r) for r in gguf.values()), sorted(theirs), "roles of both")
    for record in gguf.values():
        other = theirs[role(record)]
        equal(record["shape"], other["shape"], f"shape of {record['name']}")
        d = distance(record["sketch"], other["sketch"])
        check(d <= ROUNDING[kind], f"{record['name']}: sketches are {d:.3g} apart")
        permuted = record["role"]["part"] in ("q", "k")
        if kind == "f32":
            equal(record["hash"] == other["hash"], not permuted, f"same bits of {record['name']}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    for name in ("--orchtrace", "--lib", "--models"):
        parser.add_argument(name, type=lambda text: Path(text).resolve(), required=True)
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="index.") as place:
            place = Path(place)
            for name, kind in TYPES.items():
                model = options.models / name
                if not (model / "model.gguf").exists():
                    raise Skipped(f"there is no model {name}; see tests/e2e/engines_test.py --models")
                indexed = index_of(options, model / "model.gguf", place / f"{name}.idx")
                whole = index_of(options, model, place / f"{name}.directory.idx")
                same_weights(indexed, whole, kind)
                traced = llama_trace(options, model / "model.gguf", place / f"{name}.jsonl")
                same_to_the_last_digit(traced, indexed)
                print(f"ok {name}: {len(traced)} weights of the trace to the last digit, "
                      f"{len(indexed)} of both files alike")
    except Skipped as why:
        print(f"skipped: {why}")
        return SKIPPED
    except Failure as why:
        print(f"FAIL: {why}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
