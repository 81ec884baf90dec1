#!/usr/bin/python3
"""The CUDA probes in engines that do what nobody plans for, on the stand-ins: see hostile_cases.py."""
import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from checks import if_numpy, run_cases_with  # noqa: E402


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("library", "fakes", "kernels", "plugin"):
        ap.add_argument(f"--{name}", required=True)
    ap.add_argument("--static", help="a program with NVIDIA's own runtime inside")
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()

    def run():
        import hostile_bench
        import hostile_cases  # noqa: F401
        return run_cases_with(hostile_bench.Bench(args), args.cases)

    return if_numpy(run)


if __name__ == "__main__":
    sys.exit(main())
