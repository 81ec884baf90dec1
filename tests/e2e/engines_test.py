#!/usr/bin/python3
"""Real engines with and without liborchtrace.so: llama.cpp, PyTorch, and a fake ggml of other layouts.

usage: engines_test.py --lib LIBORCHTRACE.SO --work DIR [--apps DIR] [--only CASE]
       engines_test.py --models --work DIR     makes the models under DIR
       engines_test.py --list
"""
import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

# Each of these adds its cases.
import fake_ggml_cases
import llama_cases
import proof_cases
import torch_cases
from support import CASES, ENGINES, PYTHON, Bench, Failure, Skipped

MODELS = {"tiny": [], "f16": ["--dtype", "f16"], "q8_0": ["--quant", "q8_0"], "q4_0": ["--quant", "q4_0"]}
SKIPPED = 77  # exit status, known to ctest


def make_models(work):
    for name, options in MODELS.items():
        done = subprocess.run([PYTHON, str(ENGINES / "make_model.py"), "--preset", "tiny", "--out",
                               str(work / name), *options], capture_output=True, text=True)
        said = done.stderr.strip().splitlines()
        print(f"model {name}: {'made' if done.returncode == 0 else said[-1] if said else 'failed'}")
    return 0  # a case without its model says 'skipped'


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--lib", type=Path)
    parser.add_argument("--work", type=Path, help="directory of the models")
    parser.add_argument("--apps", type=Path, help="directory of the fake engines")
    parser.add_argument("--only")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--models", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    if options.work is None or (options.lib is None and not options.models):
        parser.error("--lib and --work are needed")
    options.work = options.work.resolve()
    if options.models:
        return make_models(options.work)
    if options.only is not None and options.only not in CASES:
        parser.error(f"no such case: {options.only}")
    options.lib = options.lib.resolve()
    options.apps = options.apps and options.apps.resolve()
    counts = Counter()
    for name, function in CASES.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="engines.") as directory:
            try:
                function(Bench(options, Path(directory)))
                print(f"ok {name}", flush=True)
                counts["passed"] += 1
            except Skipped as why:
                print(f"skipped {name}: {why}", flush=True)
                counts["skipped"] += 1
            except Exception as why:  # a runner's own error is a failure of the case
                kind = "" if isinstance(why, Failure) else f"{type(why).__name__}: "
                print(f"FAIL {name}: {kind}{why}", flush=True)
                counts["failed"] += 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    if counts["failed"]:
        return 1
    return SKIPPED if counts["skipped"] and not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
