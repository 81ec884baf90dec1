"""How much a fault changes in the engine itself, and how much correct engines differ there.

A faulty run is compared with the right run of the same form, product by product: both are of one
engine, so every difference is the fault's. A fault whose first difference is smaller than what
correct engines differ by at that place cannot be asked of a judge that must not blame correct ones.
"""
import json
import math

# by llama.cpp's names
OPS = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o", "ffn_gate": "gate", "ffn_up": "up",
       "ffn_down": "down"}
HEAD = -1  # its layer


def read(path):
    gemms, rows = [], {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            kind = line.find('"kind":"')
            if line.startswith('gemm"', kind + 8):
                gemms.append(json.loads(line))
            elif line.startswith('row"', kind + 8):
                record = json.loads(line)
                rows.setdefault(record["call"], []).append(record)
    gemms.sort(key=lambda r: r["call"])
    return gemms, rows


def numbers(sketch):
    return [math.inf if v is None else v for v in sketch]


def position_sign(p):
    """As docs/FORMAT.md defines it."""
    whole = (1 << 64) - 1
    x = p + 0x51ed2701a5f1c4b7 & whole
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & whole
    x = (x ^ x >> 27) * 0x94d049bb133111eb & whole
    return -1 if (x ^ x >> 31) >> 63 else 1


def last_sketch(record, digest):
    if "last_row" in digest:
        return numbers(digest["last_row"]["sketch"])
    return [position_sign(record["token_idx"]) * v for v in numbers(digest["mixed"])]


def side(record, rows, which):
    """What can be compared of x or y: {metric: (numbers, their size)}; energies are sizes of themselves."""
    digest = record[which]
    found = {"last": last_sketch(record, digest), "last energy": [digest.get("last_row", digest)["energy"]]}
    if digest["rows"] > 1:
        found |= {"mixed": digest["mixed"], "energy": [digest["energy"]]}
        found |= {f"row {r['token_idx']}": r[which]["sketch"] for r in rows.get(record["call"], [])}
    if any(digest.get(k, 0) for k in ("nan", "pos_inf", "neg_inf")):
        found["finite"] = [math.inf]
    return {name: numbers(values) for name, values in found.items()}


def difference(a, b):
    """{metric: relative distance of b from a}"""
    out = {}
    for name in a.keys() & b.keys():
        distance, size = math.dist(a[name], b[name]), math.hypot(*a[name])
        out[name] = 0.0 if a[name] == b[name] else distance / max(size, 1e-30) if math.isfinite(distance) else math.inf
    if ("finite" in a) != ("finite" in b):
        out["finite"] = math.inf
    return out


def model_calls(path, facts, layers):
    """[(layer, ops, record)] in the order of the work, and the row lines. The calls are matched by shape with what
    the engine says it multiplied; what is left over are the products of attention itself."""
    gemms, rows = read(path)
    calls, out = iter(gemms), []
    for layer, ops, inputs, outputs in facts["products"]:
        record = next((r for r in calls if (r["x"]["cols"], r["y"]["cols"]) == (inputs, outputs)), None)
        if record is None:
            raise SystemExit(f"{path}: the trace lacks a product of layer {layer}: {ops}")
        out.append((HEAD if layer == layers else layer, tuple(ops), record))
    return out, rows


def torch_products(path, facts, layers):
    """[(layer, ops, which, side)]"""
    calls, rows = model_calls(path, facts, layers)
    return [(layer, ops, which, side(record, rows, which)) for layer, ops, record in calls for which in "xy"]


def until_tokens_differ(products, a, b):
    """After the first other token the two runs do not compute the same thing any more."""
    same = next((i for i, (t, u) in enumerate(zip(a["tokens"], b["tokens"])) if t != u), len(a["tokens"]))
    out, heads = [], 0
    for p in products:
        out.append(p)
        heads += p[0] == HEAD and p[2] == "y"
        if heads > same:
            break
    return out


def place_of(checkpoint):
    """(layer, op) of one of llama.cpp's products."""
    name = checkpoint.split(".")
    return (HEAD, "head") if name[1] == "output" else (int(name[2]), OPS[name[3]])


def llama_products(path):
    gemms, rows = read(path)
    passes = {}
    for record in gemms:
        passes.setdefault(record["pass"], {})[place_of(record["checkpoint"])] = record
    return [passes[p] for p in sorted(passes)], rows


def identified(alignment, torch_path, facts, layers):
    """(right, all) of the model's products in PyTorch's trace: aligned with the products of the same parameters in
    llama.cpp's. Those that the aligner leaves out because the engines chose different tokens are not counted."""
    calls, _ = model_calls(torch_path, facts, layers)
    aligned = {}
    for site in alignment["sites"]:
        for pair in site.get("products", []):
            names = {place_of(call["checkpoint"]) for call in pair["a"]}
            for call in pair["b"]:
                aligned[call["call"]] = names
    last = max(aligned, default=-1)
    left_out = any("different tokens" in reason for reason in alignment["ledgers"][1]["dropped"])
    counted = [c for c in calls if c[2]["call"] <= last or not left_out]
    right = sum(aligned.get(record["call"]) == {(layer, op) for op in ops} for layer, ops, record in counted)
    return right, len(counted)


def noise(llama_path, torch_path, facts, layers):
    """{(layer, op, which): {kind of metric: the largest relative difference}} of two correct engines."""
    passes, rows = llama_products(llama_path)
    found, at = {}, -1
    for layer, ops, which, mine in torch_products(torch_path, facts, layers):
        at += layer == 0 and ops[0] == "q" and which == "x"
        record = passes[at].get((layer, ops[0]))
        if record is None or len(ops) > 1:
            continue
        theirs = side(record, rows, which)
        if which == "y" and ops[0] in "qk":  # their rows have another order
            mine, theirs = ({k: v for k, v in s.items() if "energy" in k} for s in (mine, theirs))
        if record[which]["rows"] == 1:
            mine = {k: v for k, v in mine.items() if k.startswith("last")}
        worst = found.setdefault((layer, ops[0], which), {})
        for name, value in difference(theirs, mine).items():
            kind = name.split()[0] if name.startswith("row") else name
            worst[kind] = max(worst.get(kind, 0.0), value)
    return {place: steady(found, *place) for place in found}


def steady(found, layer, op, which):
    """One run's differences are luck: takes the worst of all layers but the first, before which nothing rounds."""
    layers = [layer] if layer in (0, HEAD) else [i for i, o, w in found if i > 0 and (o, w) == (op, which)]
    worst = {}
    for i in layers:
        for kind, value in found[i, op, which].items():
            worst[kind] = max(worst.get(kind, 0.0), value)
    return {kind: worst[kind] for kind in found[layer, op, which]}


def shows_at(op, layer, layers):
    """(layer, op, which) of the first side that shows a fault of op."""
    if op == "ffn_residual":
        return (HEAD, "head", "x") if layer == layers - 1 else (layer + 1, "q", "x")
    if op in ("final_norm", "head"):
        return (HEAD, "head", "x" if op == "final_norm" else "y")
    behind = {"embedding": "q", "attn_norm": "q", "attention": "o", "attn_residual": "gate", "ffn_norm": "gate",
              "activation": "down"}
    return (layer, behind[op], "x") if op in behind else (layer, op, "y")


def first_effect(clean, faulty, facts_clean, facts_faulty, noise_table):
    """The first side that the fault changes, as (layer, ops, which, largest change, its ratio to the noise),
    among the numbers that llama.cpp computes too. None: it changes none of them."""
    a = until_tokens_differ(clean, facts_clean, facts_faulty)
    for (layer, ops, which, right), (_, _, _, wrong) in zip(a, faulty):
        change, ratio = 0.0, 0.0
        for name, value in difference(right, wrong).items():
            kind = name.split()[0] if name.startswith("row") else name
            for op in ops:
                table = noise_table.get((layer, op, which), {})
                base = noise_table.get((layer, "v", which), {}) if op in "qk" and which == "y" else table
                if kind != "finite" and kind not in table and kind not in base:
                    continue
                floor = max(table.get(kind, base.get(kind, 0.0)), 1e-6)
                change, ratio = max(change, value), max(ratio, value / floor)
        if ratio > 1e-3:
            return layer, ops, which, change, ratio
    return None
