"""The faults themselves: what each changes in the engine. What they should look like is catalogue.py's."""
import math

import torch
import torch.nn.functional as F

from faulty_llama import NoPlant, Settings


def rounded_to_fp8(x):
    """Four significant bits, as e4m3 has, without its limits."""
    mantissa, exponent = torch.frexp(x.float())
    return torch.ldexp(torch.round(mantissa * 16) / 16, exponent).to(x.dtype)


def rounded_to_4_bits(w):
    """Blocks of 32 inputs with one scale each."""
    blocks = w.reshape(-1, 32)
    scale = blocks.abs().amax(dim=1, keepdim=True) / 7
    return (torch.round(blocks / scale) * scale).reshape(w.shape)


def with_element(x, row, value):
    x = x.clone()
    x[row, x.shape[1] // 3] = value
    return x


def swap_columns(x, a, b):
    x = x.clone()
    x[:, [a, b]] = x[:, [b, a]]
    return x


def swap_heads(x, engine):
    heads = x.view(len(x), engine.heads, -1).clone()
    heads[:, [1, 4]] = heads[:, [4, 1]]
    return heads.view(x.shape)


def uninitialised(x):
    x = x.clone()
    x[-1, :8] = 1.5e18
    return x


# name: settings at the layer
SETTINGS = {
    "rope_style": {"rope_other_style": True},
    "rope_base_50x": {"rope_base": 50.0},
    "rope_base_1.25x": {"rope_base": 1.25},
    "rope_missing": {"rope": False},
    "rope_half_dims": {"rope_dims": 0.5},
    "rope_backwards": {"rope_backwards": True},
    "rope_q_offset": {"rope_q_offset": 1},
    "rope_decode_offset": {"rope_decode_offset": 1},
    "scale_missing": {"scale": 4.0},  # head_dim is 16
    "scale_other_dim": {"scale": math.sqrt(0.5)},
    "scores_softcap": {"softcap": 1.0},
    "mask_missing": {"mask": "none"},
    "mask_sees_next": {"mask": "sees_next"},
    "mask_not_self": {"mask": "not_self"},
    "mask_chunk_from_0": {"mask": "chunk_from_0"},
    "window_4": {"window": 4},
    "gqa_repeat": {"gqa": "repeat"},
    "cache_not_written": {"cache": "not_written"},
    "cache_one_stale": {"cache": "one_stale"},
    "cache_v_delayed": {"cache": "v_delayed"},
    "cache_v_overwritten": {"cache": "v_overwritten"},
    "cache_other_layer": {"cache": "other_layer"},
    "cache_unrotated": {"cache": "unrotated"},
    "gelu": {"activation": staticmethod(lambda gate, up: F.gelu(gate) * up)},
    "relu": {"activation": staticmethod(lambda gate, up: F.relu(gate) * up)},
    "quick_gelu": {"activation": staticmethod(lambda gate, up: gate * torch.sigmoid(1.702 * gate) * up)},
    "no_activation": {"activation": staticmethod(lambda gate, up: gate * up)},
    "gate_up_swapped": {"activation": staticmethod(lambda gate, up: F.silu(up) * gate)},
    "up_missing": {"activation": staticmethod(lambda gate, up: F.silu(gate))},
    "final_norm_missing": {"final_norm": "none"},
    "final_norm_eps_1e-2": {"final_eps": 1e-2},
    "final_norm_no_weight": {"final_norm": "no_weight"},
}
for _part in ("attn", "ffn"):
    SETTINGS |= {
        f"{_part}_norm_eps_1e-2": {f"{_part}_eps": 1e-2},
        f"{_part}_norm_eps_1e-3": {f"{_part}_eps": 1e-3},
        f"{_part}_norm_eps_1e-6": {f"{_part}_eps": 1e-6},
        f"{_part}_norm_no_weight": {f"{_part}_norm": "no_weight"},
        f"{_part}_norm_one_plus_weight": {f"{_part}_norm": "one_plus_weight"},
        f"{_part}_norm_mean_subtracted": {f"{_part}_norm": "layer"},
        f"{_part}_norm_missing": {f"{_part}_norm": "none"},
        f"{_part}_residual_missing": {f"{_part}_residual": "missing"},
        f"{_part}_residual_twice": {f"{_part}_residual": "twice"},
        f"{_part}_residual_scaled": {f"{_part}_residual": "scaled"},
        f"{_part}_residual_of_normed": {f"{_part}_residual": "normed"},
    }
SETTINGS["ffn_residual_of_block_input"] = {"ffn_residual": "block_input"}


# name: (site, change of the value, only in: prefill, decode or both)
VALUES = {
    "embedding_scaled": ("embedding", lambda x, e: x * math.sqrt(x.shape[1]), "both"),
    "embedding_next_row": ("tokens", lambda t, e: t + 1, "both"),
    "embedding_delayed": ("tokens", lambda t, e: torch.cat((t[:1], t[:-1])), "prefill"),
    "embedding_one_wrong": ("tokens", lambda t, e: torch.cat((t[:3], t[3:4] + 1, t[4:])), "prefill"),
    "embedding_fp8": ("embedding", lambda x, e: rounded_to_fp8(x), "both"),
    "attn_norm_scaled": ("attn_norm", lambda x, e: x * 1.05, "both"),
    "attn_norm_delayed": ("attn_norm", lambda x, e: torch.cat((x[:1], x[:-1])), "prefill"),
    "attn_norm_columns_swapped": ("attn_norm", lambda x, e: swap_columns(x, 1, 70), "both"),
    # 16 divides the distance and the signs are equal: no number of the trace's x can tell
    "attn_norm_columns_swapped_unseen": ("attn_norm", lambda x, e: swap_columns(x, 1, 65), "both"),
    "attn_norm_bf16": ("attn_norm", lambda x, e: x.bfloat16().to(x.dtype), "both"),
    "attn_norm_fp8": ("attn_norm", lambda x, e: rounded_to_fp8(x), "both"),
    "q_doubled": ("q", lambda x, e: x * 2, "both"),
    "k_negated": ("k", lambda x, e: -x, "both"),
    "k_bias": ("k", lambda x, e: x + torch.linspace(-1, 1, x.shape[1]).to(x.dtype), "both"),
    "v_bias": ("v", lambda x, e: x + 0.5, "both"),
    "v_fp8": ("v", lambda x, e: rounded_to_fp8(x), "both"),
    "v_columns_reversed": ("v", lambda x, e: x.flip(-1), "both"),
    "heads_swapped": ("attention", swap_heads, "both"),
    "attention_transposed": ("attention", lambda x, e: x.t().reshape(x.shape), "prefill"),
    "attention_zeros": ("attention", lambda x, e: x * 0, "both"),
    "attention_negated": ("attention", lambda x, e: -x, "both"),
    "attention_nan": ("attention", lambda x, e: with_element(x, -1, float("nan")), "both"),
    "o_doubled": ("o", lambda x, e: x * 2, "both"),
    "o_delayed": ("o", lambda x, e: torch.cat((x[:1], x[:-1])), "prefill"),
    "ffn_norm_scaled": ("ffn_norm", lambda x, e: x * 1.05, "both"),
    "ffn_norm_reversed": ("ffn_norm", lambda x, e: x.flip(0), "prefill"),
    "ffn_norm_fp8": ("ffn_norm", lambda x, e: rounded_to_fp8(x), "both"),
    "ffn_norm_uninitialised": ("ffn_norm", lambda x, e: uninitialised(x), "both"),
    "activation_scaled": ("activation", lambda x, e: x * 2, "both"),
    "activation_fp8": ("activation", lambda x, e: rounded_to_fp8(x), "both"),
    "activation_zeros": ("activation", lambda x, e: x * 0, "decode"),
    "activation_inf": ("activation", lambda x, e: with_element(x, -1, float("inf")), "both"),
    "down_negated": ("down", lambda x, e: -x, "both"),
    "down_bias": ("down", lambda x, e: x + 0.25, "both"),
    "final_norm_scaled": ("final_norm", lambda x, e: x * 1.05, "both"),
    "final_norm_reversed": ("final_norm", lambda x, e: x.flip(-1), "both"),
    "final_norm_bf16": ("final_norm", lambda x, e: x.bfloat16().to(x.dtype), "both"),
}


class Stale:
    """The value of the pass before instead of this one's."""
    def __init__(self):
        self.last = None

    def __call__(self, x, engine):
        fresh = x[-1:].clone()
        if self.last is not None and not engine.prefill:
            x = self.last
        self.last = fresh
        return x


STALE = {"attn_norm_stale": "attn_norm", "attention_stale": "attention", "ffn_norm_stale": "ffn_norm",
         "activation_stale": "activation"}


def changed_row(w, change):
    w = w.clone()
    row = len(w) // 3
    w[row] = change(w[row])
    return w


# name: (what, the new matrix from the old one, all matrices and the layer)
WEIGHTS = {
    "o_transposed": ("o", lambda w, m, i: w.t().contiguous()),
    "o_row_scaled": ("o", lambda w, m, i: changed_row(w, lambda r: r * 1.25)),
    "down_row_zeroed": ("down", lambda w, m, i: changed_row(w, torch.zeros_like)),
    "v_row_replaced": ("v", lambda w, m, i: changed_row(w, lambda r: r.flip(0))),
    "gate_negated": ("gate", lambda w, m, i: -w),
    "up_scaled": ("up", lambda w, m, i: w * 1.05),
    "head_is_embedding": ("head", lambda w, m, i: m[-1]["embedding"]),
    "head_row_scaled": ("head", lambda w, m, i: changed_row(w, lambda r: r * 1.25)),
}
for _op in ("q", "k", "v", "o", "gate", "up", "down"):
    WEIGHTS[f"{_op}_of_other_layer"] = (_op, lambda w, m, i, op=_op: m[(i + 1) % (len(m) - 1)][op])
    WEIGHTS[f"{_op}_4_bits"] = (_op, lambda w, m, i: rounded_to_4_bits(w))

# name: (a, b): each takes the other's matrix
EXCHANGED = {"k_v_exchanged": ("k", "v"), "gate_up_exchanged": ("gate", "up")}

# name: the norm that takes the next layer's weight
NORMS = {"attn_norm_of_other_layer": "attn_norm", "ffn_norm_of_other_layer": "ffn_norm"}

# Products that faulty_blas.cpp spoils: how, and which.
PRODUCTS = {f"{op}_product_{how}": (op, how) for op, how in [
    ("q", "k_tail"), ("k", "swap"), ("v", "k_tail"), ("o", "k_tail"), ("gate", "k_tail"), ("up", "feature"),
    ("down", "k_tail"), ("head", "k_tail"), ("q", "double"), ("k", "negate"), ("v", "zeros"), ("o", "bias"),
    ("o", "transpose"), ("gate", "tile"), ("gate", "bf16"), ("up", "delay"), ("up", "fp8"), ("down", "stale"),
    ("down", "feature"), ("down", "uninitialised"), ("o", "nan"), ("v", "inf"), ("q", "feature"), ("q", "stale"),
    ("o", "double"), ("head", "feature"), ("head", "swap"), ("head", "negate"), ("down", "bias")]}

NAMES = [*SETTINGS, *VALUES, *STALE, *WEIGHTS, *EXCHANGED, *NORMS, *PRODUCTS]


class Plant(NoPlant):
    """One fault at one layer, or at every layer (None)."""
    def __init__(self, name, layer):
        self.name, self.layer = name, layer
        self.changed = type("Changed", (Settings,), SETTINGS.get(name, {}))
        self.site, self.change, self.when = VALUES.get(name, (None, None, None))
        if name in STALE:
            self.site, self.change, self.when = STALE[name], Stale(), "both"
        if name not in NAMES:
            raise SystemExit(f"no fault is called {name}")

    def here(self, layer):
        return self.layer is None or layer == self.layer

    def settings(self, layer):
        return self.changed if self.here(layer) else Settings

    def value(self, site, layer, value, engine):
        if site != self.site or not self.here(layer):
            return value
        if self.when not in ("both", "prefill" if engine.prefill else "decode"):
            return value
        return self.change(value, engine)

    def weights(self, matrices, norms):
        old = [dict(m) for m in matrices]
        for i, m in enumerate(matrices):
            last = i + 1 == len(matrices)
            if self.name in WEIGHTS and (WEIGHTS[self.name][0] == "head" if last else self.here(i)):
                op, change = WEIGHTS[self.name]
                if op in m:
                    m[op] = change(m[op], old, i)
            if self.name in EXCHANGED and not last and self.here(i):
                a, b = EXCHANGED[self.name]
                m[a], m[b] = old[i][b], old[i][a]
        if self.name in NORMS:
            fresh = [n[NORMS[self.name]] for n in norms[:-1]]
            for i, n in enumerate(norms[:-1]):
                if self.here(i):
                    n[NORMS[self.name]] = fresh[(i + 1) % len(fresh)]

    def product(self, op, layer):
        wanted, how = PRODUCTS.get(self.name, (None, None))
        return how.encode() if op == wanted and self.here(layer) else None
