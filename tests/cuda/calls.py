#!/usr/bin/python3
"""What the child processes of calls_test.py do: each script prints what it computed.

usage: calls.py SCRIPT --fakes DIRECTORY
"""
import argparse
import json

# Each of these adds its scripts.
import calls_copies  # noqa: F401
import calls_graphs  # noqa: F401
import calls_lists  # noqa: F401
import calls_lt  # noqa: F401
import calls_memory  # noqa: F401
import calls_products  # noqa: F401
import calls_worlds  # noqa: F401
import hostile_scripts  # noqa: F401
from cuda_engine import SCRIPTS, Cuda


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("script", choices=SCRIPTS)
    ap.add_argument("--fakes", required=True)
    args = ap.parse_args()
    Cuda.fakes = args.fakes
    cuda = Cuda(args.fakes)
    more = SCRIPTS[args.script](cuda)
    if not cuda.ended:
        cuda.sync()
    print(json.dumps({"products": cuda.expected, **more}))


if __name__ == "__main__":
    main()
