"""The Llama of scripts/engines/torch/llama.py in several forms, with places where a fault can be planted.

A plant (plants.py) answers three questions: what a setting is at a layer, what becomes of a value
between two products, and whether a product is to be spoiled. Without one the engine is right.
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/engines/torch"))
from llama import Llama, set_threads  # noqa: E402

ROUND = {"": lambda x: x, "f16": lambda x: x.half().float(), "bf16": lambda x: x.bfloat16().float()}


class Settings:
    """What an engine's author can get wrong without writing a wrong loop."""
    rope = True
    rope_base = 1.0  # times the model's
    rope_dims = 1.0  # share of a head's dimensions that are rotated
    rope_other_style = False
    rope_backwards = False
    rope_q_offset = 0
    rope_decode_offset = 0
    scale = 1.0  # of the attention scores, times the right one
    softcap = 0.0  # of the attention scores
    mask = "causal"
    window = 0  # tokens that attention sees; 0: all
    gqa = "interleave"
    attn_norm = ffn_norm = "rms"
    attn_eps = ffn_eps = 0.0  # 0: the model's
    activation = staticmethod(lambda gate, up: F.silu(gate) * up)
    attn_residual = ffn_residual = "right"
    final_norm = "rms"
    final_eps = 0.0
    cache = "right"


class NoPlant:
    def settings(self, layer):
        return Settings

    def weights(self, matrices, norms):
        pass

    def value(self, site, layer, value, engine):
        return value

    def product(self, op, layer):
        return None


class FaultyLlama(Llama):
    def __init__(self, path, form, capacity, plant=NoPlant(), blas=None):
        dtype = torch.bfloat16 if form.dtype == "bf16" else torch.float32
        super().__init__(path, dtype, False, capacity)
        self.form, self.plant, self.blas, self.prefill = form, plant, blas, True
        self.round = ROUND[form.rounded]
        with open(os.path.join(path, "config.json")) as f:
            self.base = json.load(f)["rope_theta"]
        self.products = []  # what was multiplied, in order: (layer, ops, inputs, outputs)
        matrices, norms = [], []
        for layer in self.layers:
            q, k, v = layer.pop("qkv")
            gate, up = layer.pop("gate_up")
            matrices.append({"q": q, "k": k, "v": v, "o": layer["o"], "gate": gate, "up": up, "down": layer["down"]})
            norms.append({"attn_norm": layer["norm1"], "ffn_norm": layer["norm2"]})
        matrices.append({"head": self.head, "embedding": self.embedding})
        norms.append({"final_norm": self.norm})
        plant.weights(matrices, norms)
        self.matrices = [self.arrange({op: self.round(w) for op, w in m.items()}) for m in matrices]
        self.norms = norms

    # ---- weights

    def arrange(self, m):
        form = self.form
        if "q" in m and form.gguf_order:
            m["q"], m["k"] = self.interleave(m["q"], self.heads), self.interleave(m["k"], self.kv_heads)
        if "q" in m and form.fused_qkv:
            parts = [m.pop(op) for op in "qkv"]
            if form.grouped:
                parts = [w.view(self.kv_heads, -1, w.shape[1]) for w in parts]
                m["qkv"] = torch.cat(parts, dim=1).flatten(0, 1)
            else:
                m["qkv"] = torch.cat(parts)
        if "gate" in m and form.fused_gate_up:
            m["gate_up"] = torch.cat([m.pop("gate"), m.pop("up")])
        return m

    def interleave(self, w, heads):
        return w.view(heads, 2, self.head_dim // 2, -1).transpose(1, 2).reshape(w.shape).contiguous()

    # ---- products

    def project(self, layer, ops, x):
        """x times the weights of ops, one product or several."""
        x, m = self.round(x), self.matrices[layer]
        sizes = {"q": self.heads * self.head_dim, "k": self.kv_heads * self.head_dim,
                 "v": self.kv_heads * self.head_dim}
        fused = "".join(ops) if ops[0] == "q" else "_".join(ops)
        if fused in m and len(ops) > 1:
            rows = [sizes.get(op, m[fused].shape[0] // len(ops)) for op in ops]
            y = self.product(layer, ops, rows, x, m[fused])
            if self.form.grouped and fused == "qkv":
                y = y.view(len(x), self.kv_heads, -1)
                rows = [n // self.kv_heads for n in rows]
            parts = [part.reshape(len(x), -1).contiguous() for part in y.split(rows, dim=-1)]
        else:
            parts = [self.product(layer, [op], [len(m[op])], x, m[op]) for op in ops]
        site = layer if layer < len(self.layers) else 0
        return [self.plant.value(op, site, self.round(y), self) for op, y in zip(ops, parts)]

    def product(self, layer, ops, rows, x, w):
        begin = 0
        for op, count in zip(ops, rows):
            fault = self.plant.product(op, layer if op != "head" else 0)
            if fault is not None:
                self.blas.faulty_blas_plan(fault, begin, begin + count)
            begin += count
        self.products.append((layer, ops, w.shape[1], w.shape[0]))
        y = F.linear(x, w)
        if self.blas is not None:
            self.blas.faulty_blas_plan(b"", 0, 0)
        return y

    # ---- between products

    def normed(self, site, layer, kind, eps, x, weight):
        y = x.float()
        if kind == "layer":
            y = y - y.mean(-1, keepdim=True)
        if kind != "none":
            y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + (eps or self.eps))
        y = y.to(x.dtype)
        if kind == "one_plus_weight":
            y = y * (1 + weight)
        elif kind not in ("no_weight", "none"):
            y = y * weight
        return self.round(self.plant.value(site, layer, y, self))

    def angles(self, s, first, count):
        dims = int(self.head_dim * s.rope_dims)
        base = self.base * s.rope_base
        freq = base ** (-torch.arange(0, dims, 2, dtype=torch.float32) / dims)
        angle = torch.outer(torch.arange(first, first + count, dtype=torch.float32), freq)
        angle = -angle if s.rope_backwards else angle
        return angle.cos(), angle.sin(), dims

    def rotated(self, s, x, first):
        """x: [heads, tokens, head_dim]"""
        if not s.rope:
            return x
        cos, sin, dims = self.angles(s, first, x.shape[1])
        y, rest = x.float()[..., :dims], x[..., dims:]
        if self.form.gguf_order != s.rope_other_style:
            a, b = y[..., 0::2], y[..., 1::2]
            y = torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)
        else:
            a, b = y.chunk(2, dim=-1)
            y = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
        return torch.cat((y.to(x.dtype), rest), dim=-1)

    def hidden(self, s, begin, n, end):
        """What a query must not see: [n, end]"""
        query = torch.arange(begin, end).unsqueeze(1)
        key = torch.arange(end).unsqueeze(0)
        hidden = {"causal": key > query, "none": key > end, "sees_next": key > query + 1,
                  "not_self": (key >= query) & (key > 0), "chunk_from_0": key > query - begin}[s.mask]
        return hidden | (key <= query - s.window) if s.window else hidden

    def cached(self, s, layer, k, v, begin, end):
        keys, values = self.cache[layer]
        n = end - begin
        if s.cache == "not_written" and not self.prefill:
            n = 0
        keys[:, begin:begin + n], values[:, begin:begin + n] = k[:, :n], v[:, :n]
        if s.cache == "one_stale" and not self.prefill:
            keys[:, 5], values[:, 5] = keys[:, 4], values[:, 4]
        if s.cache == "v_delayed" and self.prefill:
            values[:, begin + 1:end] = v[:, :-1]
        if s.cache == "v_overwritten" and not self.prefill:
            values[:, begin - 1] = v[:, 0]
        if s.cache == "other_layer" and not self.prefill:
            keys, values = self.cache[layer - 1]
        return keys[:, :end], values[:, :end]

    def attention(self, x, layer):
        s = self.plant.settings(layer)
        begin, n = self.length, len(x)
        end = begin + n
        q, k, v = self.project(layer, ("q", "k", "v"), x)
        first = begin + (0 if self.prefill else s.rope_decode_offset)
        q = self.rotated(s, self.split(q, self.heads), first + s.rope_q_offset)
        plain, k = self.split(k, self.kv_heads), self.rotated(s, self.split(k, self.kv_heads), first)
        k, v = self.cached(s, layer, self.round(k), self.split(v, self.kv_heads), begin, end)
        if s.cache == "unrotated" and self.prefill:  # this pass used them rotated, the next ones will not
            k = k.clone()
            self.cache[layer][0][:, begin:end] = plain
        group = self.heads // self.kv_heads
        if group > 1:
            k, v = (t.repeat_interleave(group, dim=0) if s.gqa == "interleave" else t.repeat(group, 1, 1)
                    for t in (k, v))
        scores = torch.matmul(self.round(q), k.transpose(1, 2)) * (s.scale / math.sqrt(self.head_dim))
        if s.softcap:
            scores = s.softcap * torch.tanh(scores / s.softcap)
        scores = scores.float().masked_fill(self.hidden(s, begin, n, end), float("-inf"))
        out = torch.matmul(self.round(torch.softmax(scores, dim=-1)).to(v.dtype), v)
        out = out.transpose(0, 1).reshape(n, -1)
        return self.project(layer, ("o",), self.plant.value("attention", layer, out, self))[0]

    def feed_forward(self, x, layer):
        s = self.plant.settings(layer)
        gate, up = self.project(layer, ("gate", "up"), x)
        y = s.activation(gate, up)
        return self.project(layer, ("down",), self.plant.value("activation", layer, y, self))[0]

    def added(self, how, x, normed, y, block_input):
        return self.round({"right": lambda: x + y, "missing": lambda: y, "twice": lambda: x + x + y,
                           "normed": lambda: normed + y, "block_input": lambda: block_input + y,
                           "scaled": lambda: x + 0.9 * y}[how]())

    def forward(self, tokens, logits=True):
        tokens = self.plant.value("tokens", 0, torch.tensor(tokens), self)
        x = F.embedding(tokens, self.matrices[-1]["embedding"])
        x = self.round(self.plant.value("embedding", 0, x, self))
        for i in range(len(self.layers)):
            s, norms, block_input = self.plant.settings(i), self.norms[i], x
            h = self.normed("attn_norm", i, s.attn_norm, s.attn_eps, x, norms["attn_norm"])
            x = self.added(s.attn_residual, x, h, self.attention(h, i), block_input)
            x = self.plant.value("attn_residual", i, x, self)
            h = self.normed("ffn_norm", i, s.ffn_norm, s.ffn_eps, x, norms["ffn_norm"])
            x = self.added(s.ffn_residual, x, h, self.feed_forward(h, i), block_input)
            x = self.plant.value("ffn_residual", i, x, self)
        self.length += len(tokens)
        if not logits:
            return None
        if not self.form.all_logits:
            x = x[-1:]
        s = self.plant.settings(0)
        x = self.normed("final_norm", 0, s.final_norm, s.final_eps, x, self.norms[-1]["final_norm"])
        return self.project(len(self.layers), ("head",), x)[0].float()[-1]


def generate(engine, prompt, count):
    """Greedy; the last token is not fed back."""
    engine.clear()
    chunk = engine.form.chunk or len(prompt)
    for at in range(0, len(prompt), chunk):
        last = at + chunk >= len(prompt)
        logits = engine.forward(prompt[at:at + chunk], last)
    tokens = [int(logits.argmax())]
    engine.prefill = False
    while len(tokens) < count:
        tokens.append(int(engine.forward(tokens[-1:]).argmax()))
    return tokens


def run(model, form, prompt, count, plant=NoPlant(), blas=None):
    """Returns the tokens and the products."""
    set_threads(form.threads)
    torch.set_grad_enabled(False)
    with torch.inference_mode():
        engine = FaultyLlama(model, form, len(prompt) + count, plant, blas)
        return generate(engine, prompt, count), engine.products
