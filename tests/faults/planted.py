#!/usr/bin/python3
"""PyTorch with one fault planted in it, by itself: what scripts/demo traces.

usage: planted.py --model DIR --prompt TEXT [--generate N] [--form NAME] --fault NAME@LAYER
"""
import argparse
import json

import faulty_llama
import plants
from forms import FORMS


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", metavar="DIR", required=True)
    ap.add_argument("--prompt", metavar="TEXT", required=True)
    ap.add_argument("--generate", type=int, metavar="N", default=8)
    ap.add_argument("--form", choices=FORMS, default="unfused")
    ap.add_argument("--fault", metavar="NAME@LAYER", required=True)
    args = ap.parse_args()
    name, _, layer = args.fault.partition("@")
    if name not in plants.NAMES or name in plants.PRODUCTS or not layer.isdigit():
        ap.error(f"--fault wants NAME@LAYER; names: {', '.join(n for n in plants.NAMES if n not in plants.PRODUCTS)}")
    prompt = [1] + [byte + 3 for byte in args.prompt.encode()]
    tokens, _ = faulty_llama.run(args.model, FORMS[args.form], prompt, args.generate, plants.Plant(name, int(layer)))
    print(json.dumps({"engine": "pytorch", "fault": args.fault, "tokens": tokens}))


if __name__ == "__main__":
    main()
