#!/usr/bin/python3
"""Runs small engines with and without liborchtrace.so and compares what they do.

usage: run.py --lib LIBORCHTRACE.SO --apps DIRECTORY [--only CASE]
       run.py --list
"""
import argparse
import sys
import tempfile
from pathlib import Path

# Each of these adds its cases.
import libraries
import logs
import normal_form
import processes
import worlds
from support import CASES, Bench, run_cases


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--lib", type=Path)
    parser.add_argument("--apps", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    if options.lib is None or options.apps is None:
        parser.error("--lib and --apps are needed")
    if options.only is not None and options.only not in CASES:
        parser.error(f"no such case: {options.only}")

    def run(function):
        with tempfile.TemporaryDirectory(prefix="lifecycle.") as directory:
            bench = Bench(options.lib.resolve(), options.apps.resolve(), Path(directory))
            function(bench)
            return "".join(f" ({note})" for note in bench.notes)

    return run_cases(run, [options.only] if options.only else ())


if __name__ == "__main__":
    sys.exit(main())
