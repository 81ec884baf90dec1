#!/usr/bin/python3
"""A model for minillama: random weights, in the engines' formats too.

usage: weights.py DIRECTORY     writes DIRECTORY/weights.bin beside model.gguf, model.safetensors and config.json
"""
import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size",
         "vocab_size")


def make(directory):
    """Returns weights.bin; needs numpy in this Python, or in Debian's."""
    python = sys.executable if importlib.util.find_spec("numpy") else "/usr/bin/python3"
    subprocess.run([python, ROOT / "scripts/engines/make_model.py", "--preset", "tiny", "--out", directory],
                   check=True)
    config = json.loads((directory / "config.json").read_text())
    tensors = (directory / "model.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", tensors[:8])
    weights = directory / "weights.bin"
    weights.write_bytes(struct.pack("<6i", *(config[size] for size in SIZES)) + tensors[8 + header:])
    return weights


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make(Path(sys.argv[1])))
