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
from pathlib import Path

# Each of these adds its cases.
import fake_ggml_cases
import full_cases
import llama_cases
import proof_cases
import torch_cases
from support import CASES, ENGINES, PYTHON, Bench, run_cases

MODELS = {"tiny": [], "f16": ["--dtype", "f16"], "q8_0": ["--quant", "q8_0"], "q4_0": ["--quant", "q4_0"]}


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

    def run(function):
        with tempfile.TemporaryDirectory(prefix="engines.") as directory:
            function(Bench(options, Path(directory)))

    return run_cases(run, [options.only] if options.only else ())


if __name__ == "__main__":
    sys.exit(main())
