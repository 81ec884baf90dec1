"""Compares what the judge says with what was planted."""
from dataclasses import dataclass

from catalogue import CATALOGUE

WHERE = ("exact", "bracket", "wrong", "missed", "not comparable")
LOCALISED = WHERE[:2]
FUSED = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}


@dataclass
class Score:
    where: str  # one of WHERE
    signature_right: bool
    said: str  # for people
    signature: str
    blamed_reference: bool = False  # the right engine was called wrong


def places(op, layer, layers):
    """The op itself and the bracket that it lies in."""
    last = layers - 1
    if op == "embedding":
        return ("embedding", None), ("before qkv", 0)
    if op == "attn_norm":
        return (op, layer), ("before qkv", layer)
    if op == "attn_residual" or op == "ffn_norm":
        return (op, layer), ("before gate", layer)
    if op == "ffn_residual":
        return (op, layer), ("before head", None) if layer == last else ("before qkv", layer + 1)
    if op == "final_norm":
        return (op, None), ("before head", None)
    if op == "head":
        return (op, None), (op, None)
    return (op, layer), (op, layer)


def found_places(first, layers, fused):
    """What the judge's words stand for: a list of (op, bracket), the likeliest first."""
    op, layer, checkpoint = first["op"], first["layer"], first["checkpoint"]
    if op == "residual":
        if checkpoint.endswith("attn_residual"):
            return [places("attn_residual", layer, layers)]
        if checkpoint.endswith("ffn_residual"):
            return [places("ffn_residual", layer, layers)]
        return [places("attn_residual", layer, layers), places("ffn_residual", layer, layers)]
    if op in FUSED:
        return [places(part, layer, layers) for part in FUSED[op]]
    for parts in FUSED.values():
        if fused and op in parts:  # any part may stand for the one product that they are
            return [places(part, layer, layers) for part in (op, *(p for p in parts if p != op))]
    return [places(op, layer, layers)]


def score(report, name, layer, layers, form):
    if report["verdict"] == "not_comparable":
        return Score("not comparable", False, report.get("headline", ""), "")
    first = report.get("first_divergence")
    if not first:
        return Score("missed", False, report["verdict"], "")
    fault = CATALOGUE[name]
    wanted = [places(op, layer, layers) for op in (fault.op, *fault.same_as)]
    fused = form.fused_qkv if fault.op in FUSED["qkv"] else form.fused_gate_up
    found = found_places(first, layers, fused)
    if any(f[0] == w[0] for f in found for w in wanted):
        where = "exact"
    elif any(f[1] == w[1] for f in found for w in wanted):
        where = "bracket"
    else:
        where = "wrong"
    said = first["checkpoint"] or first["op"]
    return Score(where, first["signature"] in fault.signatures, said, first["signature"],
                 first.get("team") not in (None, "", "pytorch"))
