#!/usr/bin/python3
"""Every way to call cuBLAS and CUDA that the probes know, on the stand-ins: a child process calls through
ctypes (dlopen and dlsym, as Python engines do), and says what it computed; its trace must say the same."""
import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from checks import if_numpy, run_cases_with  # noqa: E402


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--library", required=True)
    ap.add_argument("--fakes", required=True)
    ap.add_argument("--kernels", required=True)
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()

    def run():
        # Each of these adds its cases.
        import calls_bench
        import copies_cases  # noqa: F401
        import graphs_cases  # noqa: F401
        import lists_cases  # noqa: F401
        import memory_cases  # noqa: F401
        import products_cases  # noqa: F401
        import worlds_cases  # noqa: F401
        return run_cases_with(calls_bench.Bench(args), args.cases)

    return if_numpy(run)


if __name__ == "__main__":
    sys.exit(main())
