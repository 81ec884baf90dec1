#!/usr/bin/python3
"""Plain Llama inference in PyTorch, greedy, with a KV cache.

Prints one JSON line. The matrix products are ordinary torch calls, so they
reach the system BLAS (f32) or oneDNN (bf16).
"""
import argparse
import ctypes
import json
import math
import os
import struct
import time

# Torch's OpenMP threads would otherwise spin on the cores that OpenBLAS, with
# threads of its own, needs. Read when libgomp is loaded, so set first.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F


def read_safetensors(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + size)
    types = {"F32": np.float32, "F16": np.float16}
    out = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        a = data[begin:end].view(types[info["dtype"]]).reshape(info["shape"])
        out[name] = torch.from_numpy(np.array(a, dtype=np.float32))
    return out


class Llama:
    def __init__(self, path, dtype, fused, capacity):
        with open(os.path.join(path, "config.json")) as f:
            c = json.load(f)
        self.heads = c["num_attention_heads"]
        self.kv_heads = c["num_key_value_heads"]
        self.head_dim = c["hidden_size"] // self.heads
        self.eps = c["rms_norm_eps"]
        self.fused = fused

        w = read_safetensors(os.path.join(path, "model.safetensors"))

        def take(*names):
            parts = [w.pop(n + ".weight") for n in names]
            return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(dtype)

        self.embedding = take("model.embed_tokens")
        self.norm = take("model.norm")
        self.head = take("lm_head")
        self.layers = []
        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            qkv = [p + f"self_attn.{n}_proj" for n in "qkv"]
            gate_up = [p + f"mlp.{n}_proj" for n in ("gate", "up")]
            self.layers.append({
                "norm1": take(p + "input_layernorm"),
                "norm2": take(p + "post_attention_layernorm"),
                "qkv": [take(*qkv)] if fused else [take(n) for n in qkv],
                "o": take(p + "self_attn.o_proj"),
                "gate_up": [take(*gate_up)] if fused else [take(n) for n in gate_up],
                "down": take(p + "mlp.down_proj"),
            })

        half = self.head_dim // 2
        freq = c["rope_theta"] ** (-torch.arange(half, dtype=torch.float32) / half)
        angle = torch.outer(torch.arange(capacity, dtype=torch.float32), freq)
        self.cos, self.sin = angle.cos(), angle.sin()

        shape = (self.kv_heads, capacity, self.head_dim)
        self.cache = [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in self.layers]
        self.length = 0

    def clear(self):
        self.length = 0

    def rms_norm(self, x, weight):
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        return y.to(x.dtype) * weight

    def rope(self, x, begin):
        """x: [heads, tokens, head_dim]; pairs dimension j with j + half."""
        cos, sin = (t[begin:begin + x.shape[1]] for t in (self.cos, self.sin))
        a, b = x.float().chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)

    def split(self, x, heads):
        return x.view(x.shape[0], heads, self.head_dim).transpose(0, 1)

    def attention(self, x, layer, cache):
        begin, n = self.length, x.shape[0]
        end = begin + n
        if self.fused:
            kv = self.kv_heads * self.head_dim
            q, k, v = F.linear(x, layer["qkv"][0]).split((self.heads * self.head_dim, kv, kv), dim=-1)
            q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        else:
            q, k, v = (F.linear(x, w) for w in layer["qkv"])
        q = self.rope(self.split(q, self.heads), begin)
        cache[0][:, begin:end] = self.rope(self.split(k, self.kv_heads), begin)
        cache[1][:, begin:end] = self.split(v, self.kv_heads)
        k, v = (t[:, :end] for t in cache)
        group = self.heads // self.kv_heads
        if group > 1:
            k, v = (t.repeat_interleave(group, dim=0) for t in (k, v))
        scores = torch.matmul(q, k.transpose(1, 2)) / math.sqrt(self.head_dim)
        if n > 1:
            future = torch.ones(n, end, dtype=torch.bool).triu(begin + 1)
            scores = scores.masked_fill(future, float("-inf"))
        out = torch.matmul(torch.softmax(scores.float(), dim=-1).to(v.dtype), v)
        return F.linear(out.transpose(0, 1).reshape(n, -1), layer["o"])

    def feed_forward(self, x, layer):
        if self.fused:
            gate, up = F.linear(x, layer["gate_up"][0]).chunk(2, dim=-1)
        else:
            gate, up = (F.linear(x, w) for w in layer["gate_up"])
        return F.linear(F.silu(gate) * up, layer["down"])

    def forward(self, tokens, keep=None):
        """Logits of the last token; with keep, a dict that collects every
        position's activations, of all tokens."""
        def save(name, value):
            if keep is not None:
                keep.setdefault(name, []).append(value.float().numpy().copy())

        x = F.embedding(torch.tensor(tokens), self.embedding)
        save("embedding", x)
        for i, (layer, cache) in enumerate(zip(self.layers, self.cache)):
            x = x + self.attention(self.rms_norm(x, layer["norm1"]), layer, cache)
            x = x + self.feed_forward(self.rms_norm(x, layer["norm2"]), layer)
            save(f"layer_{i}_output", x)
        self.length += len(tokens)
        if keep is None:
            x = x[-1:]
        x = self.rms_norm(x, self.norm)
        save("final_norm", x)
        logits = F.linear(x, self.head).float()
        save("logits", logits)
        return logits[-1]


def set_threads(count):
    torch.set_num_threads(count)
    try:  # torch does not tell OpenBLAS, which would take every core
        ctypes.CDLL("libopenblas.so.0").openblas_set_num_threads(count)
    except (OSError, AttributeError):
        pass  # another BLAS


def generate(model, prompt, count, keep=None):
    """Greedy, never stops at EOS. The last token is not fed back, so
    len(prompt) + count - 1 positions are evaluated."""
    model.clear()
    start = time.perf_counter()
    tokens = [int(model.forward(prompt, keep).argmax())]
    first = time.perf_counter()
    while len(tokens) < count:
        tokens.append(int(model.forward(tokens[-1:], keep).argmax()))
    end = time.perf_counter()
    rate = (count - 1) / (end - first) if count > 1 else None
    return tokens, (first - start) * 1e3, rate


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", metavar="DIR", required=True)
    what = ap.add_mutually_exclusive_group(required=True)
    what.add_argument("--prompt", metavar="TEXT")
    what.add_argument("--tokens", metavar="1,2,3")
    ap.add_argument("--generate", type=int, metavar="N", default=16)
    ap.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    ap.add_argument("--fused", action="store_true", help="one product for Q, K and V, one for gate and up")
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--json", metavar="FILE", help="write the result line here too")
    ap.add_argument("--dump", metavar="FILE", help="write the activations of every evaluated position (.npz)")
    ap.add_argument("--bench", type=int, metavar="R", default=0, help="repeat R times after a warm-up")
    ap.add_argument("--prefill-only", action="store_true")
    args = ap.parse_args()
    if args.prompt is not None:
        prompt = [1] + [b + 3 for b in args.prompt.encode()]
    else:
        prompt = [int(t) for t in args.tokens.split(",")]
    count = 1 if args.prefill_only else args.generate
    if not prompt or count < 1:
        ap.error("needs at least one prompt token and --generate 1")

    set_threads(args.threads)
    torch.set_grad_enabled(False)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    with torch.inference_mode():
        model = Llama(args.model, dtype, args.fused, len(prompt) + count)
        keep = {} if args.dump else None
        tokens, prefill, rate = generate(model, prompt, count, keep)
        result = {"engine": "pytorch", "tokens": tokens, "prefill_ms": prefill, "decode_tokens_per_s": rate}
        if args.bench:
            # per repeat: prefill milliseconds with --prefill-only, else decoded tokens per second
            runs = [generate(model, prompt, count) for _ in range(args.bench)]
            result["prefill_ms"] = float(np.median([r[1] for r in runs]))
            if not args.prefill_only and count > 1:
                result["decode_tokens_per_s"] = float(np.median([r[2] for r in runs]))
            result["runs"] = [r[1] if args.prefill_only else r[2] for r in runs]

    if args.dump:
        arrays = {name: np.concatenate(parts) for name, parts in keep.items()}
        np.savez(args.dump, tokens=np.array(prompt + tokens[:-1], dtype=np.int32), **arrays)
    line = json.dumps(result)
    if args.json:
        with open(args.json, "w") as f:
            f.write(line + "\n")
    print(line, flush=True)


if __name__ == "__main__":
    main()
