#!/usr/bin/python3
"""Writes a Llama model, once for each engine: with random (seeded) weights, or those of another model.

DIR/model.gguf         for llama.cpp
DIR/model.safetensors  the same weights under the Hugging Face names, for PyTorch
DIR/config.json        the hyper-parameters, Hugging Face keys

The vocabulary is 0 <unk>, 1 <s>, 2 </s>, then the 256 bytes at 3.., so the
tokens of a text are 1 followed by byte + 3. Tokens after that are padding.
"""
import argparse
import ctypes
import glob
import json
import os
import struct
import sys

import numpy as np

PRESETS = {
    "tiny": dict(layers=4, hidden=128, heads=8, kv_heads=4, ffn=384, vocab=320),
    "100m": dict(layers=12, hidden=768, heads=12, kv_heads=12, ffn=2048, vocab=32000),
}
CONTEXT = 2048
EPS = 1e-5
ROPE_BASE = 10000.0
LOGIT_STD = 4.0  # wide enough that the best token wins by a clear margin
ALIGNMENT = 32

# name: (ggml type, general.file_type, values per block, bytes per block)
GGML = {"f32": (0, 0, 1, 4), "f16": (1, 1, 1, 2), "q4_0": (2, 2, 32, 18), "q8_0": (8, 7, 32, 34)}


def tensors(p):
    """Lists (GGUF name, Hugging Face name, shape, std, heads to permute).

    std 0 marks a norm, which is near 1. Every product keeps the scale of its
    input (std = 1 / sqrt(inputs)).
    """
    d, f, v = p["hidden"], p["ffn"], p["vocab"]
    kv = d // p["heads"] * p["kv_heads"]
    out = [("token_embd", "model.embed_tokens", (v, d), 0.5, 0)]
    for i in range(p["layers"]):
        g, h = f"blk.{i}.", f"model.layers.{i}."
        a, m = h + "self_attn.", h + "mlp."
        out += [
            (g + "attn_norm", h + "input_layernorm", (d,), 0, 0),
            (g + "attn_q", a + "q_proj", (d, d), d**-0.5, p["heads"]),
            (g + "attn_k", a + "k_proj", (kv, d), d**-0.5, p["kv_heads"]),
            (g + "attn_v", a + "v_proj", (kv, d), d**-0.5, 0),
            (g + "attn_output", a + "o_proj", (d, d), d**-0.5, 0),
            (g + "ffn_norm", h + "post_attention_layernorm", (d,), 0, 0),
            (g + "ffn_gate", m + "gate_proj", (f, d), d**-0.5, 0),
            (g + "ffn_up", m + "up_proj", (f, d), d**-0.5, 0),
            (g + "ffn_down", m + "down_proj", (d, f), f**-0.5, 0),
        ]
    out.append(("output_norm", "model.norm", (d,), 0, 0))
    out.append(("output", "lm_head", (v, d), LOGIT_STD * d**-0.5, 0))
    return [(g + ".weight", h + ".weight", *rest) for g, h, *rest in out]


def random_tensor(shape, std, seed, index):
    rng = np.random.Generator(np.random.SFC64([seed, index]))
    w = rng.standard_normal(shape, dtype=np.float32)
    return 1 + np.float32(0.05) * w if std == 0 else w * np.float32(std)


def read_safetensors(path):
    """{name: f32 array}"""
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    types = {"F32": np.float32, "F16": np.float16}
    out = {}
    for name, info in header.items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            w = np.frombuffer(data[begin:end], types[info["dtype"]]).reshape(info["shape"])
            out[name] = w.astype(np.float32)
    return out


def sizes_of(config):
    return {ours: config[theirs] for ours, theirs in {
        "layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads", "ffn": "intermediate_size", "vocab": "vocab_size"}.items()}


def interleave_rope_rows(w, heads):
    """Hugging Face rotates row j of a head with row j + half, llama.cpp rotates
    neighbours: bring the two rows of each pair together."""
    rows, cols = w.shape
    return w.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def load_ggml_base(path):
    if path is None:
        arch = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}.get(os.uname().machine, "linux-*")
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        found = glob.glob(os.path.join(root, ".cache/engines/llama.cpp/node_modules/@node-llama-cpp",
                                       arch, "bins", arch, "libggml-base.so"))
        if not found:
            sys.exit("make_model: --quant needs libggml-base.so; run scripts/deps or give --ggml-base")
        path = found[0]
    lib = ctypes.CDLL(os.path.abspath(path))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    return lib


def gguf_size(shape, kind):
    _, _, block, size = GGML[kind]
    return int(np.prod(shape)) // block * size


def gguf_bytes(w, kind, ggml):
    w = np.ascontiguousarray(w, dtype=np.float32)
    if kind == "f32":
        return w
    if kind == "f16":
        return w.astype(np.float16)
    out = np.empty(gguf_size(w.shape, kind), dtype=np.uint8)
    written = ggml.ggml_quantize_chunk(GGML[kind][0], w.ctypes.data, out.ctypes.data, 0, *w.shape, None)
    assert written == out.size, (written, out.size)
    return out


def gguf_string(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_header(p, infos, kind, name):
    """infos: (name, shape, tensor kind, offset)"""
    U32, F32, BOOL, STR, ARR, I32 = 4, 6, 7, 8, 9, 5

    def key(k, t):
        return gguf_string(k) + struct.pack("<I", t)

    def value(k, v):
        if isinstance(v, bool):
            return key(k, BOOL) + struct.pack("<B", v)
        if isinstance(v, int):
            return key(k, U32) + struct.pack("<I", v)
        if isinstance(v, float):
            return key(k, F32) + struct.pack("<f", v)
        return key(k, STR) + gguf_string(v)

    v = p["vocab"]
    texts = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    texts += [f"<pad_{i}>" for i in range(v - len(texts))]
    # token types: 2 unknown, 3 control, 6 byte, 5 unused
    types = [2, 3, 3] + [6] * 256 + [5] * (v - 259)
    head_dim = p["hidden"] // p["heads"]
    keys = [value(k, x) for k, x in {
        "general.architecture": "llama",
        "general.name": name,
        "general.alignment": ALIGNMENT,
        "general.file_type": GGML[kind][1],
        "llama.vocab_size": v,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": p["hidden"],
        "llama.block_count": p["layers"],
        "llama.feed_forward_length": p["ffn"],
        "llama.attention.head_count": p["heads"],
        "llama.attention.head_count_kv": p["kv_heads"],
        "llama.attention.layer_norm_rms_epsilon": EPS,
        "llama.rope.dimension_count": head_dim,
        "llama.rope.freq_base": ROPE_BASE,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }.items()]
    keys.append(key("tokenizer.ggml.tokens", ARR) + struct.pack("<IQ", STR, v)
                + b"".join(map(gguf_string, texts)))
    keys.append(key("tokenizer.ggml.scores", ARR) + struct.pack("<IQ", F32, v) + bytes(4 * v))
    keys.append(key("tokenizer.ggml.token_type", ARR) + struct.pack(f"<IQ{v}i", I32, v, *types))

    out = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(keys)) + b"".join(keys)
    for tensor, shape, tensor_kind, offset in infos:
        out += gguf_string(tensor) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *reversed(shape))  # fastest dimension first
        out += struct.pack("<IQ", GGML[tensor_kind][0], offset)
    return out + bytes(-len(out) % ALIGNMENT)


def safetensors_header(listing, dtype):
    itemsize = {"f32": 4, "f16": 2}[dtype]
    header, offset = {}, 0
    for _, name, shape, _, _ in listing:
        end = offset + int(np.prod(shape)) * itemsize
        header[name] = {"dtype": dtype.upper(), "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def config(p, dtype):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": p["hidden"],
        "intermediate_size": p["ffn"],
        "num_hidden_layers": p["layers"],
        "num_attention_heads": p["heads"],
        "num_key_value_heads": p["kv_heads"],
        "vocab_size": p["vocab"],
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPS,
        "rope_theta": ROPE_BASE,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": {"f32": "float32", "f16": "float16"}[dtype],
    }


def write_model(out, p, weight, title, dtype="f32", quant=None, ggml_base=None):
    """weight(index, Hugging Face name, shape, std) is called once per tensor, in the order of the files."""
    kind = quant or dtype
    ggml = load_ggml_base(ggml_base) if quant else None
    listing = tensors(p)

    infos, offset = [], 0
    for name, _, shape, _, _ in listing:
        tensor_kind = kind if len(shape) == 2 else "f32"  # llama.cpp wants its norms in f32
        infos.append((name, shape, tensor_kind, offset))
        offset += gguf_size(shape, tensor_kind)
        offset += -offset % ALIGNMENT

    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config(p, dtype), f, indent=2)
        f.write("\n")
    # Written beside and renamed at the end, so a broken run leaves no half model.
    names = [os.path.join(out, n) for n in ("model.gguf", "model.safetensors")]
    with open(names[0] + ".tmp", "wb") as gguf, open(names[1] + ".tmp", "wb") as st:
        gguf.write(gguf_header(p, infos, kind, title))
        st.write(safetensors_header(listing, dtype))
        for index, ((_, name, shape, std, heads), (_, _, tensor_kind, _)) in enumerate(zip(listing, infos)):
            w = weight(index, name, shape, std)
            st.write(w.astype({"f32": np.float32, "f16": np.float16}[dtype], copy=False))
            data = gguf_bytes(interleave_rope_rows(w, heads) if heads else w, tensor_kind, ggml)
            gguf.write(data)
            gguf.write(bytes(-data.nbytes % ALIGNMENT))
    for name in names:
        os.replace(name + ".tmp", name)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = ap.add_mutually_exclusive_group(required=True)
    what.add_argument("--preset", choices=PRESETS, help="random weights")
    what.add_argument("--weights", metavar="DIR", help="those of DIR/model.safetensors")
    ap.add_argument("--out", metavar="DIR", required=True)
    ap.add_argument("--dtype", choices=["f32", "f16"], default="f32", help="of the 2-D weights in both files")
    ap.add_argument("--quant", choices=["q8_0", "q4_0"], help="of the 2-D weights in model.gguf alone")
    ap.add_argument("--ggml-base", metavar="FILE", help="libggml-base.so, for --quant")
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()

    if args.weights:
        with open(os.path.join(args.weights, "config.json")) as f:
            p = sizes_of(json.load(f))
        weights = read_safetensors(os.path.join(args.weights, "model.safetensors"))
        title = os.path.basename(os.path.abspath(args.weights))

        def weight(index, name, shape, std):
            return weights[name]
    else:
        p, title = PRESETS[args.preset], f"random-{args.preset}"

        def weight(index, name, shape, std):
            return random_tensor(shape, std, args.seed, index)

    write_model(args.out, p, weight, title, args.dtype, args.quant, args.ggml_base)


if __name__ == "__main__":
    main()
