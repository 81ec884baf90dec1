#!/usr/bin/python3
"""Writes a GGUF of a given size with Llama-7B's shapes, to measure `orchtrace index` with.

usage: make_big_gguf.py TYPE OUT.gguf [BYTES]

The bits of a block type's quants are random, its scales are 0.01: speed does not depend on them.
"""
import struct
import sys

import numpy as np

# name: ggml type, values and bytes of a block, where it has its scales (halves)
TYPES = {"f32": (0, 1, 4, []), "f16": (1, 1, 2, []), "q4_0": (2, 32, 18, [0]), "q8_0": (8, 32, 34, [0]),
         "q4_K": (12, 256, 144, [0, 2]), "q5_K": (13, 256, 176, [0, 2]), "q6_K": (14, 256, 210, [208])}
SHAPES = [("attn_q", 4096, 4096), ("ffn_gate", 11008, 4096), ("ffn_down", 4096, 11008)]
ALIGNMENT = 32
TEXT = 8  # type of a string in the metadata


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def padding(size):
    return bytes(-size % ALIGNMENT)


def data(kind, size, rng):
    _, _, block, scales = TYPES[kind]
    if kind in ("f32", "f16"):
        values = rng.standard_normal(size // block, dtype=np.float32) * np.float32(0.02)
        return values.astype({"f32": np.float32, "f16": np.float16}[kind])
    blocks = np.frombuffer(rng.bytes(size), np.uint8).copy().reshape(-1, block)
    for at in scales:
        blocks[:, at:at + 2] = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
    return blocks


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in TYPES:
        sys.exit(__doc__)
    kind, out = sys.argv[1:3]
    wanted = int(sys.argv[3]) if len(sys.argv) == 4 else 1_000_000_000
    number, values, block, _ = TYPES[kind]
    infos, sizes, offset = b"", [], 0
    while offset < wanted:
        part, rows, cols = SHAPES[len(sizes) % len(SHAPES)]
        name = f"blk.{len(sizes) // len(SHAPES)}.{part}.weight"
        infos += string(name) + struct.pack("<IQQIQ", 2, cols, rows, number, offset)
        sizes.append(rows * cols // values * block)
        offset += sizes[-1] + len(padding(sizes[-1]))
    header = b"GGUF" + struct.pack("<IQQ", 3, len(sizes), 1)
    header += string("general.architecture") + struct.pack("<I", TEXT) + string("llama") + infos
    rng = np.random.Generator(np.random.SFC64(1))
    with open(out, "wb") as file:
        file.write(header + padding(len(header)))
        for size in sizes:
            file.write(data(kind, size, rng))
            file.write(padding(size))


main()
