#!/usr/bin/env python3
"""A small Llama on PyTorch, or on Hugging Face's transformers, with made-up weights: for scripts/gpu-check, which
runs it with and without a trace. Prints one JSON line: tokens, a hash of the last logits, and how many products its
linear layers asked for, eager and in replays of a CUDA graph."""
import argparse
import hashlib
import json
import sys

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, HIDDEN, HEADS, FFN, LAYERS = 320, 256, 8, 512, 4
PROMPT = [1, 87, 107, 104, 35, 116, 120, 108, 102, 110]
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    rows = q.shape[-2]
    hidden = torch.ones(rows, rows, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    return torch.softmax(scores.masked_fill(hidden, float("-inf")), -1) @ v


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(HIDDEN, FFN, bias=False) for _ in range(2))
        self.down = nn.Linear(FFN, HIDDEN, bias=True)  # a bias: cuBLASLt with an epilogue

    @staticmethod
    def norm(x):
        return (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)

    def forward(self, x):
        y = self.norm(x)
        heads = [p(y).view(y.shape[0], HEADS, -1).transpose(0, 1) for p in (self.q, self.k, self.v)]
        x = x + self.o(attention(*heads).transpose(0, 1).reshape(y.shape))
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.head = nn.Linear(HIDDEN, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def generate(model, device, steps):
    """The whole text anew for each token: tokens, and the last logits."""
    tokens = torch.tensor(PROMPT, device=device)
    for _ in range(steps):
        logits = model(tokens)[-1]
        tokens = torch.cat([tokens, logits.argmax().reshape(1)])
    return tokens[len(PROMPT):].tolist(), logits.float().cpu()


def replay(model, device, replays):
    """One pass as a CUDA graph, and as often replayed; the linear products in it."""
    tokens = torch.tensor(PROMPT, device=device)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        model(tokens)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = model(tokens)
    for _ in range(replays):
        graph.replay()
    torch.cuda.synchronize()
    return logits[-1].float().cpu()


def hash_of(values):
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()[:16]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    ap.add_argument("--precision", default="f32", choices=sorted(TYPES))
    ap.add_argument("--model", default="plain", choices=("plain", "transformers"))
    ap.add_argument("--generate", type=int, default=8)
    ap.add_argument("--replays", type=int, default=0)
    args = ap.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this PyTorch sees no GPU")
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    out = {"torch": torch.__version__}
    if args.model == "plain":
        model = Plain()
    else:
        import transformers
        out["transformers"] = transformers.__version__
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=256))
    model = model.to(args.device, TYPES[args.precision]).eval()
    count = [0]

    def counted(*_):
        count[0] += 1
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(counted)

    if args.model == "plain":
        out["tokens"], logits = generate(model, args.device, args.generate)
    else:
        ids = torch.tensor([PROMPT], device=args.device)
        done = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=args.generate, do_sample=False,
                              min_new_tokens=args.generate, pad_token_id=0, output_logits=True,
                              return_dict_in_generate=True)
        out["tokens"] = done.sequences[0, len(PROMPT):].tolist()
        logits = done.logits[-1][0].float().cpu()
    out["logits"] = hash_of(logits)
    out["linear_products"] = count[0]
    if args.replays:
        before = count[0]
        out["replayed_logits"] = hash_of(replay(model, args.device, args.replays))
        out["eager_before_replay"] = out["in_graph"] = (count[0] - before) // 2
        out["replays"] = args.replays
    print(json.dumps(out))


if __name__ == "__main__":
    main()
