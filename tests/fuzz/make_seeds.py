#!/usr/bin/python3
"""Writes the seeds that are no text: corpus/gguf, corpus/safetensors, corpus/archive.

usage: make_seeds.py      after a change of what it writes; the seeds are kept in the repository
"""
import gzip
import json
import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = dict(enumerate("BbHhIif?  Qqd"))
TYPES = {"f32": (0, 1, 4), "f16": (1, 1, 2), "q4_0": (2, 32, 18), "q8_0": (8, 32, 34), "q4_K": (12, 256, 144),
         "q5_K": (13, 256, 176), "q6_K": (14, 256, 210), "i32": (26, 1, 4), "f64": (28, 1, 8), "bf16": (30, 1, 2),
         "unknown": (999, 1, 0)}


def put(target, name, data):
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / name).write_bytes(data)


def noise(size):
    return bytes((i * i * 37 + i * 11) % 251 for i in range(size))


# ---- GGUF ----------------------------------------------------------------------------------------

def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return text(content)
    if kind == ARRAY:
        element, items = content
        return struct.pack("<IQ", element, len(items)) + b"".join(value(element, item) for item in items)
    return struct.pack("<" + FORMATS[kind], content)


def gguf(metadata, tensors, version=3, alignment=32):
    """tensors: (name, extents with the innermost first, type)"""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, (kind, content) in metadata.items():
        out += text(key) + struct.pack("<I", kind) + value(kind, content)
    data = b""
    for name, extents, type_name in tensors:
        number, block, size = TYPES[type_name]
        out += text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, number, len(data))
        count = 1
        for extent in extents:
            count *= extent
        data += noise(count // block * size)
        data += bytes(-len(data) % alignment)
    return out + bytes(-len(out) % alignment) + data


LLAMA = {"general.architecture": (STRING, "llama"), "general.name": (STRING, "tiny"), "llama.block_count": (U32, 1),
         "llama.embedding_length": (U32, 32), "llama.attention.head_count": (U32, 4),
         "llama.attention.head_count_kv": (ARRAY, (I32, [2, 2])), "llama.rope.freq_base": (F32, 10000.0),
         "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
         "tokenizer.ggml.tokens": (ARRAY, (STRING, ["<unk>", "<s>", "</s>", "é"]))}
EVERY_VALUE = {f"a.{kind}": (kind, 1) for kind in (U8, I8, U16, I16, U32, I32, F32, BOOL, U64, I64, F64)} | {
    "nested": (ARRAY, (ARRAY, [(U8, [1, 2]), (ARRAY, [(STRING, ["x"])])])), "empty": (ARRAY, (U32, [])),
    "general.alignment": (U32, 64), "split.count": (U16, 2)}
WEIGHTS = [("token_embd.weight", [32, 4], "f32"), ("blk.0.attn_q.weight", [32, 32], "q8_0"),
           ("blk.0.attn_norm.weight", [32], "f32"), ("output.weight", [32, 4], "q4_0")]

put("gguf", "llama", gguf(LLAMA, WEIGHTS))
put("gguf", "version_2", gguf({}, [("a.weight", [8, 3], "f16")], version=2))
put("gguf", "every_value", gguf(EVERY_VALUE, [("a.weight", [4, 2], "bf16")], alignment=64))
put("gguf", "k_quants", gguf({}, [(f"{t}.weight", [256, 1], t) for t in ("q4_K", "q5_K", "q6_K")]))
put("gguf", "experts", gguf({}, [("blk.0.ffn_up_exps.weight", [4, 3, 5], "f32")]))
put("gguf", "other_types", gguf({}, [("i", [4], "i32"), ("d", [3, 2], "f64"), ("n", [3], "unknown"), ("e", [0, 4], "f32")]))
put("gguf", "no_tensors", gguf(LLAMA, []))
put("gguf", "cut", gguf(LLAMA, WEIGHTS)[:900])
put("gguf", "impossible", gguf({}, [("a", [2], "f32")]).replace(struct.pack("<IQ", 1, 2), struct.pack("<IQ", 1, 1 << 62)))

# ---- safetensors ---------------------------------------------------------------------------------

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "U8": 1, "BOOL": 1}


def safetensors(tensors, **more):
    header, data = dict(more), b""
    for name, (dtype, shape) in tensors.items():
        size = SIZES.get(dtype, 1)
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += noise(size)
    head = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(head)) + head + data


put("safetensors", "llama", safetensors(
    {"model.embed_tokens.weight": ("F32", [4, 8]), "model.layers.0.self_attn.q_proj.weight": ("BF16", [8, 8]),
     "model.norm.weight": ("F16", [8])}, __metadata__={"format": "pt"}))
put("safetensors", "every_type", safetensors({t: (t, [2, 3]) for t in SIZES} | {"new": ("F4", [2])}))
put("safetensors", "shapes", safetensors({"scalar": ("F32", []), "empty": ("F32", [0, 3]), "four": ("F32", [2, 1, 2, 1]),
                                          "model.layers.0.mlp.experts.gate_up_proj": ("F32", [3, 4, 2])}))
put("safetensors", "scaled", safetensors({"a.weight": ("F8_E4M3", [2, 2]), "a.weight_scale_inv": ("F32", [1])}))
put("safetensors", "odd_start", safetensors({"a.weight": ("F32", [3, 3])}, __metadata__={"x": "y" * 3}))
put("safetensors", "cut", safetensors({"a.weight": ("F32", [30, 30])})[:500])
put("safetensors", "no_header", struct.pack("<Q", 1 << 40) + b"{}")
put("safetensors", "empty", struct.pack("<Q", 2) + b"{}")

# ---- archives: a byte that says what the rest is (archive.cpp), and the rest without its magic ------

TRACE = (CORPUS / "trace_lines/seven_keys").read_bytes()
GZIP = gzip.compress(TRACE, mtime=0)
# One raw block, as no compressor of Python's own writes zstd: RFC 8878, 3.1.1.
ZSTD = b"\x28\xb5\x2f\xfd" + b"\x60" + struct.pack("<H", len(TRACE) - 256) + struct.pack("<I", len(TRACE) << 3 | 1)[:3] + TRACE
put("archive", "gzip", b"\0" + GZIP[2:])
put("archive", "two_members", b"\0" + GZIP[2:] + GZIP)
put("archive", "gzip_and_rest", b"\0" + GZIP[2:] + b"rest")
put("archive", "zstd", b"\1" + ZSTD[4:])
put("archive", "two_frames", b"\1" + ZSTD[4:] + b"\x50\x2a\x4d\x18\x03\0\0\0abc" + ZSTD)
put("archive", "to_gzip", b"\x82" + TRACE)
put("archive", "to_zstd", b"\x83" + TRACE)
