#!/usr/bin/python3
"""Trains a character-level Llama of under a million parameters on the repository's own text.

Writes the same three files as make_model.py, in the same vocabulary. A trained model has what random
weights lack: confident and doubtful tokens, outlier channels, heads that attend to something.

The cost is a number of steps, not a time, so that every machine makes the same effort: 300 steps take
about a minute. The result is kept in .cache/models/trained, under a hash of this script,
make_model.py and the number of steps; a change of the texts alone trains nothing anew.

Prints the directory of the model.
"""
import argparse
import glob
import hashlib
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import make_model

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
from llama import set_threads  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TEXTS = ["README.md", "docs/DESIGN.md", "docs/FORMAT.md", "docs/BENCHMARKS.md", "include/*", "core/*",
         "preload/*.[ch]pp"]
SIZES = dict(layers=4, hidden=128, heads=8, kv_heads=4, ffn=320, vocab=320)
BATCH, LENGTH, RATE, SEED = 16, 96, 4e-3, 1


def read_text():
    files = sorted(f for pattern in TEXTS for f in glob.glob(os.path.join(ROOT, pattern)))
    data = b"\n".join(open(f, "rb").read() for f in files)
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).astype(np.int64)) + 3


def unigram_entropy(tokens):
    p = torch.bincount(tokens).double() / len(tokens)
    p = p[p > 0]
    return float(-(p * p.log()).sum())


def fresh_weights(p):
    """{Hugging Face name: parameter}"""
    torch.manual_seed(SEED)
    weights = {}
    for _, name, shape, std, _ in make_model.tensors(p):
        if std == 0:
            w = torch.ones(shape)
        else:
            w = torch.randn(shape) * (0.02 if name in ("lm_head.weight", "model.embed_tokens.weight") else std)
        weights[name] = torch.nn.Parameter(w)
    return weights


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + make_model.EPS) * weight


def rotated(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def forward(w, p, tokens, cos, sin, hidden):
    """Logits of a batch: [batch, length, vocab]"""
    batch, length = tokens.shape
    head_dim = p["hidden"] // p["heads"]
    group = p["heads"] // p["kv_heads"]

    def heads(x, count):
        return x.view(batch, length, count, head_dim).transpose(1, 2)

    x = F.embedding(tokens, w["model.embed_tokens.weight"])
    for i in range(p["layers"]):
        def part(name):
            return w[f"model.layers.{i}.{name}.weight"]

        h = rms_norm(x, part("input_layernorm"))
        q = rotated(heads(F.linear(h, part("self_attn.q_proj")), p["heads"]), cos, sin)
        k = rotated(heads(F.linear(h, part("self_attn.k_proj")), p["kv_heads"]), cos, sin)
        v = heads(F.linear(h, part("self_attn.v_proj")), p["kv_heads"])
        k, v = (t.repeat_interleave(group, dim=1) for t in (k, v))
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(head_dim) + hidden
        out = (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(batch, length, -1)
        x = x + F.linear(out, part("self_attn.o_proj"))
        h = rms_norm(x, part("post_attention_layernorm"))
        gated = F.silu(F.linear(h, part("mlp.gate_proj"))) * F.linear(h, part("mlp.up_proj"))
        x = x + F.linear(gated, part("mlp.down_proj"))
    return F.linear(rms_norm(x, w["model.norm.weight"]), w["lm_head.weight"])


def train(p, text, steps):
    """Returns the weights and the loss, a running mean, in nats per byte."""
    w = fresh_weights(p)
    half = p["hidden"] // p["heads"] // 2
    angle = torch.outer(torch.arange(LENGTH).float(), make_model.ROPE_BASE ** (-torch.arange(half) / half))
    cos, sin = angle.cos(), angle.sin()
    hidden = torch.full((LENGTH, LENGTH), -math.inf).triu(1)
    decayed = [t for t in w.values() if t.dim() == 2]
    plain = [t for t in w.values() if t.dim() == 1]
    adam = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
                             lr=RATE, betas=(0.9, 0.98))
    pick = torch.Generator().manual_seed(SEED)
    recent = 0.0
    start = time.perf_counter()
    for step in range(steps):
        rate = RATE * min(1, (step + 1) / 20) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for g in adam.param_groups:
            g["lr"] = rate
        at = torch.randint(len(text) - LENGTH, (BATCH,), generator=pick)
        rows = torch.stack([text[a:a + LENGTH + 1] for a in at])
        inputs = rows[:, :-1].clone()
        inputs[:, 0] = 1  # a prompt starts with <s>
        logits = forward(w, p, inputs, cos, sin, hidden)
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
        adam.step()
        recent = float(loss) if step == 0 else 0.95 * recent + 0.05 * float(loss)
        if step % 50 == 49:
            print(f"train_model: step {step + 1} of {steps}, loss {recent:.2f}, {time.perf_counter() - start:.0f} s",
                  file=sys.stderr, flush=True)
    return {name: t.detach().numpy() for name, t in w.items()}, recent


def trained(steps):
    """The directory of the model, trained now if need be."""
    key = hashlib.sha256(str(steps).encode())
    for script in (__file__, make_model.__file__):
        with open(script, "rb") as f:
            key.update(f.read())
    out = os.path.abspath(os.path.join(ROOT, ".cache/models/trained", key.hexdigest()[:16]))
    if os.path.exists(os.path.join(out, "training.json")):
        return out
    text = read_text()
    weights, loss = train(SIZES, text, steps)
    facts = {"parameters": sum(w.size for w in weights.values()), "bytes_of_text": len(text), "steps": steps,
             "loss": round(loss, 3), "unigram_entropy": round(unigram_entropy(text), 3)}
    print(f"train_model: {facts}", file=sys.stderr)
    make_model.write_model(out, SIZES, lambda index, name, shape, std: weights[name], "trained")
    with open(os.path.join(out, "training.json"), "w") as f:  # last: it says that the rest is there
        json.dump(facts, f)
        f.write("\n")
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--steps", type=int, default=300)
    ap.add_argument("--threads", type=int, default=1, help="more wait for each other on a busy machine")
    args = ap.parse_args()
    set_threads(args.threads)
    print(trained(args.steps))


if __name__ == "__main__":
    main()
