"""PyTorch: what it computes is its own, and its products and weights are those of llama.cpp."""
import re
from collections import defaultdict

from support import (
    HIDDEN, LAYERS, PRODUCTS, SPREAD, VOCABULARY, case, check, distance, equal, f32, near, nearest, np)


def torch_products(trace, passes):
    """{weight: [its product in each pass]}; what is used once is an activation of attention."""
    by_weight = defaultdict(list)
    for r in trace.gemms:
        by_weight[r["weight"]].append(r)
    return {w: records for w, records in by_weight.items() if len(records) == passes}


@case
def pytorch_computes_the_same_with_and_without(b):
    plain_dump, dump = b.file("plain.npz"), b.file("dump.npz")
    plain = b.torch("--dump", plain_dump, generate=8, lib=False)
    equal(b.torch(generate=8, log=False).tokens, plain.tokens, "untraced tokens")
    run = b.torch("--dump", dump, generate=8, ORCH_LOG_VALUES="320", ORCH_TRACE_ROWS="all")
    equal(run.tokens, plain.tokens, "tokens")
    a, c = np.load(plain_dump), np.load(dump)
    equal([n for n in a.files if a[n].tobytes() != c[n].tobytes()], [], "arrays that differ")
    trace = run.trace
    trace.check_whole()
    logits = []
    for r in trace.gemms:
        if r["y"]["cols"] == VOCABULARY and r["x"]["cols"] == HIDDEN:
            lines = trace.rows(r)
            logits += [f32(lines[i]["values"]) for i in sorted(lines)]
    check(np.array(logits).tobytes() == c["logits"].tobytes(), "the LM head's rows are not the logits")


@case
def every_weight_of_llama_is_found_in_pytorch(b):
    llama, torch = b.llama().trace, b.torch().trace
    torch.check_whole()
    matched = {}
    for name, weight in llama.weights.items():
        (d, found), runner_up = nearest(weight, torch.weights)
        check(d < 1e-5 and runner_up > 0.5, f"{name}: nearest {d:.3g}, next {runner_up:.3g}")
        matched[name] = found
    equal(len(set(matched.values())), PRODUCTS, "different matches")
    equal(set(matched.values()), set(torch_products(torch, 4)), "weights that PyTorch uses in each pass")


@case
def fused_weights_of_pytorch_are_the_sums_of_their_parts(b):
    llama = b.llama().trace.weights
    torch = b.torch("--fused")
    plain = b.torch("--fused", lib=False)
    equal(torch.tokens, plain.tokens, "tokens")
    left = torch_products(torch.trace, 4)
    equal(len(left), 4 * LAYERS + 1, "weights")
    for layer in range(LAYERS):
        for parts in (["attn_q", "attn_k", "attn_v"], ["ffn_gate", "ffn_up"], ["attn_output"], ["ffn_down"]):
            total = np.sum([llama[f"blk.{layer}.{p}.weight"]["sketch"] for p in parts], axis=0)
            energy = sum(llama[f"blk.{layer}.{p}.weight"]["energy"] for p in parts)
            candidates = [w for w in left if len(torch.trace.weights[w]["sketch"]) == len(total)]
            found = [w for w in candidates if distance(torch.trace.weights[w]["sketch"], total) < 1e-5]
            equal(len(found), 1, f"weights that are {parts} of layer {layer}")
            near(torch.trace.weights[found[0]]["energy"], energy, 1e-5, f"energy of {parts}")
            del left[found[0]]


def row_side(record, side):
    """Sketch and energy of the row that a line is about."""
    members = record[side].get("last_row", record[side])
    return members.get("sketch", members.get("mixed")), members["energy"]


@case
def products_of_llama_and_pytorch_agree(b):
    passes = 5
    llama = b.llama("--exact", generate=passes)
    torch = b.torch(generate=passes)
    equal(llama.tokens, torch.tokens, "tokens")
    theirs = torch_products(torch.trace, passes)
    weights = {w: torch.trace.weights[w] for w in theirs}
    compared = whole = 0
    for number, records in llama.trace.by_pass().items():
        for name, mine in records.items():
            if mine["kind"] != "gemm":
                continue
            (_, found), _ = nearest(llama.trace.weights[mine["weight"]], weights)
            other = theirs[found][number]
            # Hugging Face orders the rows of q and k in another way, so their outputs, too.
            permuted = re.search(r"attn_[qk]$", name) is not None
            a, c = llama.trace.rows(mine), torch.trace.rows(other)
            if mine["y"]["rows"] == other["y"]["rows"] == 1:  # PyTorch's has no position
                a, c = {0: mine}, {0: other}
            for position in set(a) & set(c):
                for side in ("x", "y"):
                    (s1, e1), (s2, e2) = row_side(a[position], side), row_side(c[position], side)
                    what = f"{side} of {name}, pass {number}, row {position}"
                    near(e1, e2, 1e-4, f"energy of {what}")
                    if not (permuted and side == "y"):
                        # One row's mixed sketch has the sign of its position.
                        alone = 1 in (mine["y"]["rows"], other["y"]["rows"])
                        d = distance(s1, s2)
                        d = min(d, distance(s1, -np.array(s2))) if alone else d
                        check(d < 1e-4, f"sketch of {what}: {d:.3g}")
                    compared += 1
            if mine["y"]["rows"] == other["y"]["rows"] > 1:
                for side in ("x",) if permuted else ("x", "y"):
                    near(mine[side]["mixed"], other[side]["mixed"], 1e-4, f"mixed {side} of {name}")
                    near(mine[side]["energy"], other[side]["energy"], 1e-4, f"energy of {side} of {name}")
                    whole += 1
    # 25 products of the prompt have all rows in both: six of the spread and the last.
    rows = len(SPREAD) + 1
    equal((compared, whole), (2 * (25 * rows + 4 + PRODUCTS * (passes - 1)), 2 * 25 - 8), "comparisons")
