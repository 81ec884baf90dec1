#!/usr/bin/python3
"""Which weights two traces share, by their sketches alone: no names are compared.

usage: match_weights.py NAMED.jsonl NAMELESS.jsonl

A weight's sketch does not depend on the order of its output rows, so that Hugging Face's and
GGUF's Q and K match although their rows are permuted.
"""
import json
import math
import sys


def weights(path):
    with open(path, encoding="utf-8") as lines:
        records = (json.loads(line) for line in lines)
        return {r.get("name", r["weight"]): r["sketch"] for r in records if r.get("kind") == "weight"}


def distance(a, b):
    return math.dist(a, b) / max(math.hypot(*b), 1e-30)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    named, nameless = weights(sys.argv[1]), weights(sys.argv[2])
    matched = 0
    worst = 0.0
    runner_up = math.inf
    for name, sketch in named.items():
        near = sorted((distance(other, sketch), who) for who, other in nameless.items())
        if near and near[0][0] < 1e-2:
            matched += 1
            worst = max(worst, near[0][0])
            runner_up = min([runner_up] + [d for d, _ in near[1:2]])
            if matched <= 5:
                print(f"  {name:28} is {near[0][1]:6} (distance {near[0][0]:.1e}; next best {near[1][0]:.2f})")
    if matched > 5:
        print(f"  … and {matched - 5} more")
    print(f"{matched} of {len(named)} weights found in the other engine; worst distance {worst:.1e}, "
          f"nearest wrong candidate {runner_up:.2f}")
    sys.exit(0 if named and matched == len(named) else 1)


main()
