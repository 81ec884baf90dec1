"""llama.cpp: what it computes is its own, and what a trace of it holds."""
import json
import re
from collections import Counter
from pathlib import Path

from support import (
    HEADS, HIDDEN, LAYERS, PRODUCTS, PROMPT_TOKENS, SPREAD, VOCABULARY, case, check, equal, f32, near,
    nearest, np, positions_of)

# ---- llama.cpp: what the engine computes is its own -----------------------------------------------

MODES = {
    "logits": {"ORCH_TRACE_CHECKPOINTS": "logits"},
    "layers": {"ORCH_TRACE_CHECKPOINTS": "layers"},
    "default": {},
    "all": {"ORCH_TRACE_CHECKPOINTS": "all", "ORCH_TRACE_ROWS": "all"},
    "globs": {"ORCH_TRACE_CHECKPOINTS": "layer_?_output,gemm.blk.1.*,ffn_inp-2"},
    "callback": {"ORCH_TRACE_CAPTURE": "callback"},
    "all by callback": {"ORCH_TRACE_CAPTURE": "callback", "ORCH_TRACE_CHECKPOINTS": "all"},
    "little memory": {"ORCH_TRACE_MEMORY": "20K"},
    "no memory": {"ORCH_TRACE_MEMORY": "0"},
    "no weights": {"ORCH_TRACE_WEIGHTS": "off"},
    "blas alone": {"ORCH_TRACE_PROBES": "blas"},
}
GEMMS = {f"gemm.blk.{i}.{n}" for i in range(LAYERS) for n in
         ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")} | {"gemm.output"}
LAYER_NAMES = {"embedding", "final_norm"} | {f"layer_{i}_output" for i in range(LAYERS)}
SELECTED = {
    "logits": {"logits"}, "layers": LAYER_NAMES,
    "globs": {n for n in GEMMS if ".1." in n} | {n for n in LAYER_NAMES if "output" in n} | {"layer_2_ffn_inp"},
}


def same_logits(b, arguments, modes):
    out = b.file("logits.json")

    def outcome(**rest):
        run = b.llama("--logits", out, *arguments, generate=6, **rest)
        text = out.read_text()
        out.unlink()
        return run, (run.tokens, text)

    _, plain = outcome(lib=False)
    off, untraced = outcome(log=False)
    check(untraced == plain, "off: other tokens or logits")
    check(not off.path.exists(), "off: a trace file")
    for name in modes:
        run, traced = outcome(**MODES[name])
        check(traced == plain, f"{name}: other tokens or logits")
        if name == "blas alone":  # this llama.cpp calls none
            check(not run.path.exists(), f"{name}: a trace file")
            continue
        run.trace.check_whole()
        if "all" not in name:
            found = {r["checkpoint"] for r in run.trace.calls}
            equal(found, SELECTED.get(name, GEMMS | LAYER_NAMES | {"logits"}), f"{name}: checkpoints")


@case
def llama_computes_the_same_bits_in_every_mode(b):
    same_logits(b, [], MODES)


@case
def llama_computes_the_same_bits_without_flash_attention(b):
    same_logits(b, ["--exact"], ["default", "all", "all by callback"])


@case
def llama_computes_the_same_tokens_with_two_threads(b):
    plain = b.llama("--threads", "2", lib=False, generate=3)
    run = b.llama("--threads", "2", generate=3)
    equal(run.tokens, plain.tokens, "tokens")
    run.trace.check_whole()
    equal(len(run.trace.of("gemm")), 3 * PRODUCTS, "products")


@case
def a_model_that_cannot_be_loaded_fails_as_without_us(b):
    broken = b.file("broken.gguf")
    broken.write_bytes((b.model("tiny") / "model.gguf").read_bytes()[:300000])

    def outcome(**rest):
        run = b.run(b.llama_command(broken, 3), **rest)
        # llama.cpp's own messages come from another thread and may or may not beat the exit.
        return run.status, run.stdout, [s for s in run.stderr.splitlines() if "[node-llama-cpp]" not in s]

    plain = outcome(lib=False)
    equal(plain[0], 1, "exit status without the library")
    equal(outcome(log=False), plain, "untraced outcome")
    equal(outcome(), plain, "traced outcome")


# ---- llama.cpp: what a trace holds ---------------------------------------------------------------

@case
def a_default_trace_has_every_product_layer_and_weight(b):
    run = b.llama(generate=5)
    trace = run.trace
    trace.check_whole()
    header = trace.records[0]
    equal((header["team"], header["config"]["checkpoints"]), ("node", "gemm,layers,logits"), "header")
    equal(header["problems"], [], "problems")
    equal([p["pass"] for p in trace.passes], list(range(5)), "pass numbers")
    equal([p["op"] for p in trace.passes], ["llama_decode"] * 5, "pass operations")
    equal([p["tokens"] for p in trace.passes], [PROMPT_TOKENS] + [[t] for t in run.tokens[:-1]], "token ids")
    n = len(PROMPT_TOKENS)
    equal(positions_of(trace.passes), [list(range(n))] + [[n + i] for i in range(4)], "positions")
    by_pass = trace.by_pass()
    equal(sorted(by_pass), list(range(5)), "passes with records")
    for number, records in by_pass.items():
        equal(set(records), GEMMS | LAYER_NAMES | {"logits"}, f"checkpoints of pass {number}")
        for name, r in records.items():
            what = f"{name} of pass {number}"
            last = n - 1 + number
            equal((r["token_idx"], r["positions"]), (last, "token"), f"position of {what}")
            rows, cols = json.loads(r["shape"])
            # llama.cpp narrows the last layer to the rows whose logits are wanted.
            ends = r"gemm\.output|gemm\.blk\.3\.ffn|layer_3_output|final|logits"
            narrow = number > 0 or re.match(ends, name)
            equal(rows, 1 if narrow else n, f"rows of {what}")
            equal((r["y"]["rows"], r["y"]["cols"], len(r["values"])), (rows, cols, 10), f"y of {what}")
            equal(sorted(trace.rows(r)), SPREAD + [last] if rows > 1 else [last], f"rows of {what}")
            if r["kind"] == "gemm":
                equal((r["weight"], r["x"]["rows"]), (name[5:] + ".weight", rows), f"operands of {what}")
            wide = 384 if re.search("gate|up", name) else 64 if re.search("attn_[kv]", name) else HIDDEN
            equal(cols, VOCABULARY if name in ("logits", "gemm.output") else wide, f"columns of {what}")
    equal(len(trace.of("weight")), PRODUCTS, "weight records")
    equal({f"gemm.{w[:-7]}" for w in trace.weights}, GEMMS, "weights")
    for w in trace.weights.values():
        equal([r["row"] for r in w["row_digests"]][:6], SPREAD, "rows of a weight")


@case
def traced_logits_are_those_of_the_engine_bit_for_bit(b):
    out = b.file("logits.json")
    run = b.llama("--logits", out, generate=6, ORCH_LOG_VALUES="320", ORCH_TRACE_ROWS="all",
                  ORCH_TRACE_CHECKPOINTS="logits")
    trace = run.trace
    trace.check_whole()
    engine = json.loads(out.read_text())
    equal(engine["tokens"], PROMPT_TOKENS + run.tokens[:-1], "evaluated tokens")
    last = trace.passes[-1]["pass"]
    equal(trace.passes[-1]["tokens"], engine["tokens"], "tokens of the last pass")
    (record,) = [r for r in trace.calls if r["pass"] == last]
    rows = trace.rows(record)
    equal(sorted(rows), list(range(len(engine["tokens"]))), "positions")
    for position, wanted in enumerate(engine["logits"]):
        found = f32(rows[position]["values"])
        check(found.tobytes() == f32(wanted).tobytes(), f"other logits at position {position}")
        if rows[position]["kind"] == "row":
            equal(rows[position]["y"]["argmax"], int(np.argmax(found)), f"argmax at {position}")
    # The tokens that it generated are those that the trace of each step says.
    for step, record in enumerate(r for r in trace.calls if r["pass"] < last):
        equal(int(np.argmax(f32(record["values"]))), run.tokens[step], f"token of step {step}")


@case
def layer_outputs_are_those_of_pytorch(b):
    traced = b.llama("--exact", generate=8, ORCH_LOG_VALUES="320", ORCH_TRACE_ROWS="all",
                     ORCH_TRACE_CHECKPOINTS="layers,logits")
    dump = b.file("dump.npz")
    torch = b.torch("--dump", dump, generate=8, lib=False)
    equal(traced.tokens, torch.tokens, "tokens")
    traced.trace.check_whole()
    wanted = np.load(dump)
    seen = Counter()
    for record in traced.trace.calls:
        for position, row in traced.trace.rows(record).items():
            name = row["checkpoint"]
            near(row["values"], wanted[name][position], 1e-5, f"{name} at {position}")
            seen[name] += 1
    n = len(PROMPT_TOKENS)
    full = {"embedding"} | {f"layer_{i}_output" for i in range(LAYERS - 1)}
    equal(dict(seen), {name: (n if name in full else 1) + 7 for name in LAYER_NAMES | {"logits"}}, "rows")


def softmax_scores(trace, records, layer, position):
    """What head 0 of `position` gives each position before it, from the traced q and k."""
    q = np.array(trace.rows(records[f"layer_{layer}_q_rope"])[position]["values"]).reshape(HEADS, -1)
    k = trace.rows(records[f"layer_{layer}_k_rope"])
    keys = np.array([k[p]["values"] for p in range(position + 1)]).reshape(position + 1, HEADS // 2, -1)
    scores = keys[:, 0] @ q[0] / np.sqrt(q.shape[1])
    e = np.exp(scores - scores.max())
    return e / e.sum()


@case
def inner_checkpoints_of_llama_exist_with_their_shapes(b):
    run = b.llama("--exact", generate=2, ORCH_LOG_VALUES="2048", ORCH_TRACE_ROWS="all",
                  ORCH_TRACE_CHECKPOINTS="all")
    trace = run.trace
    trace.check_whole()
    n = len(PROMPT_TOKENS)
    for number, records in trace.by_pass().items():
        rows = n if number == 0 else 1
        for layer in range(LAYERS):
            last = 1 if layer == LAYERS - 1 else rows
            for part, shape in {
                    "q": [rows, 128], "k": [rows, 64], "v": [rows, 64], "q_rope": [rows, 8, 16],
                    "k_rope": [rows, 4, 16], "attn_scores": [8, rows, 256], "kqv": [8, rows, 16],
                    "attn_context": [rows, 128], "attn_out": [rows, 128], "ffn_norm": [last, 128],
                    "ffn_out": [last, 128]}.items():
                name = f"layer_{layer}_{part}"
                check(name in records, f"no {name} in pass {number}")
                alone = shape[0] == 1 and len(shape) == 3  # ggml has no outer extents of 1
                equal(json.loads(records[name]["shape"]), shape[1:] if alone else shape, f"shape of {name}")
                equal(records[name]["token_idx"], n - 1 + number, f"position of {name}")
                every = number == 0 and shape[0] != 1
                wanted = list(range(n)) if every else [n - 1 + number]
                equal(sorted(trace.rows(records[name])), wanted, f"rows of {name}")
            for position, row in trace.rows(records[f"layer_{layer}_attn_scores"]).items():
                scores = np.array(row["values"])
                equal(scores.size, HEADS * 256, "scores of a row")
                near(scores.reshape(HEADS, 256).sum(1), np.ones(HEADS), 1e-5, "sums of the scores")
                if number == 0:
                    mine = softmax_scores(trace, records, layer, position)
                    near(scores[:position + 1], mine, 1e-5, f"scores of layer {layer} at {position}")
                    check(not scores[position + 1:256].any(), "a score of a later token")
            for position, row in trace.rows(records[f"layer_{layer}_kqv"]).items():
                context = trace.rows(records[f"layer_{layer}_attn_context"])[position]
                equal(row["values"], context["values"], f"kqv of layer {layer} at {position}")
            if layer < LAYERS - 1:
                ffn, out, inp = (trace.rows(records[f"layer_{layer}_{p}"])
                                 for p in ("ffn_out", "output", "ffn_inp"))
                for position in out:
                    added = f32(ffn[position]["values"]) + f32(inp[position]["values"])
                    check((added == f32(out[position]["values"])).all(), f"layer {layer} does not add up")


@case
def heads_are_never_taken_for_tokens(b):
    """A prompt of as many tokens as there are heads."""
    tokens = PROMPT_TOKENS[:HEADS]
    run = b.llama("--exact", "--tokens", ",".join(map(str, tokens)), generate=1, ORCH_LOG_VALUES="2048",
                  ORCH_TRACE_ROWS="all", ORCH_TRACE_CHECKPOINTS="*_kqv,*_attn_context,*_attn_scores")
    trace = run.trace
    trace.check_whole()
    records = trace.by_pass()[0]
    for layer in range(LAYERS):
        kqv, context = (trace.rows(records[f"layer_{layer}_{p}"]) for p in ("kqv", "attn_context"))
        equal(sorted(kqv), list(range(HEADS)), "positions")
        for position in kqv:
            equal(kqv[position]["values"], context[position]["values"], f"kqv at {position}")
        for position, row in trace.rows(records[f"layer_{layer}_attn_scores"]).items():
            scores = np.array(row["values"]).reshape(HEADS, -1)
            check(not scores[:, position + 1:].any(), f"position {position} looks ahead")


@case
def the_callback_reads_what_marking_reads(b):
    def hashes(trace):
        return {(r["pass"], r["checkpoint"]): (r["token_idx"], r["y"]["hash"], r.get("x", {}).get("hash"))
                for r in trace.calls}

    # Without flash attention no node is fused, so all of them exist in both.
    modes = {"ORCH_TRACE_CHECKPOINTS": "all"}
    marked = b.llama("--exact", **modes).trace
    called = b.llama("--exact", ORCH_TRACE_CAPTURE="callback", **modes).trace
    mixed = b.llama("--exact", ORCH_TRACE_MEMORY="4M", **modes).trace
    for trace in (marked, called, mixed):
        trace.check_whole()
    equal(Counter(r.get("capture") for r in marked.calls), Counter({None: len(marked.calls)}), "marked")
    equal(Counter(r.get("capture") for r in called.calls), Counter({"callback": len(marked.calls)}), "called")
    equal({r.get("capture") for r in mixed.calls if r["pass"] == 0}, {None, "callback"}, "mixed captures")
    wanted = hashes(marked)
    for name, trace in (("callback", called), ("mixed", mixed)):
        found = hashes(trace)
        equal(set(found), set(wanted), f"records by {name}")
        equal([k for k in wanted if found[k] != wanted[k]], [], f"other values by {name}")


def quantised(b, model, limit):
    plain = b.llama(model=model, lib=False)
    run = b.llama(model=model)
    equal(run.tokens, plain.tokens, "tokens")
    trace = run.trace
    trace.check_whole()
    equal(len(trace.of("gemm")), 4 * PRODUCTS, "products")
    exact = b.llama(generate=1).trace.weights
    equal(set(trace.weights), set(exact), "weights")
    for name, weight in trace.weights.items():
        equal(weight["dtype"], model, f"dtype of {name}")
        (d, found), runner_up = nearest(weight, exact)
        equal(found, name, "nearest weight")
        check(d < limit < runner_up / 4, f"{name}: {d:.3g} from its f32, {runner_up:.3g} from the next")
        near(weight["energy"], exact[name]["energy"], limit, f"energy of {name}")
        for mine, other in zip(weight["row_digests"], exact[name]["row_digests"]):
            near(mine["sketch"], other["sketch"], 2 * limit, f"row {mine['row']} of {name}")
    return trace


@case
def f16_weights_are_known_again(b):
    quantised(b, "f16", 1e-3)


@case
def q8_0_weights_are_known_again(b):
    quantised(b, "q8_0", 0.02)


@case
def q4_0_weights_are_known_again_even_repacked(b):
    trace = quantised(b, "q4_0", 0.15)
    # Where the CPU has a layout of its own for q4_0, the weights come from the upload: before any pass.
    kinds = [r["kind"] for r in trace.records]
    before = kinds[:min(i for i, k in enumerate(kinds) if k in ("gemm", "pass"))].count("weight")
    if re.search(r"\bavx2\b|asimddp", Path("/proc/cpuinfo").read_text()):
        equal(before, PRODUCTS, "weights recorded while the model was loaded")


@case
def chunks_of_a_prompt_add_up_to_the_whole(b):
    whole = b.llama(generate=3).trace
    run = b.llama("--batch", "8", generate=3)
    trace = run.trace
    trace.check_whole()
    n = len(PROMPT_TOKENS)
    equal(positions_of(trace.passes),
          [list(range(8)), list(range(8, 16)), list(range(16, n)), [n], [n + 1]], "positions")
    equal(sum((p["tokens"] for p in trace.passes), []), PROMPT_TOKENS + run.tokens[:2], "token ids")
    records, wanted = trace.by_pass(), whole.by_pass()[0]
    for number in range(3):
        chunk = trace.passes[number]["token_positions"]
        last = wanted["gemm.output"]["y"]["rows"] if number == 2 else 0
        for name, r in wanted.items():
            narrow = r["y"]["rows"] == 1
            check((name in records[number]) == (last > 0 or not narrow), f"{name} in chunk {number}")
            if narrow:
                continue
            mine = records[number][name]
            equal((mine["first_position"], mine["token_idx"]), (chunk[0], chunk[-1]), f"positions of {name}")
            for position, row in trace.rows(mine).items():
                if position in whole.rows(r) and position != n - 1:
                    near(row["values"], whole.rows(r)[position]["values"], 1e-3, f"{name} at {position}")
    for name, limit in {"embedding": 1e-6, "gemm.blk.0.attn_q": 1e-6, "layer_0_output": 1e-3,
                        "gemm.blk.2.attn_q": 1e-3, "gemm.blk.3.attn_output": 2e-3}.items():
        for side in ("x", "y") if name.startswith("gemm") else ("y",):
            total = np.sum([records[i][name][side]["mixed"] for i in range(3)], axis=0)
            near(total, wanted[name][side]["mixed"], limit, f"{side} of {name}")


@case
def every_decode_step_of_a_reused_graph_is_recorded(b):
    run = b.llama(generate=41, ORCH_LOG_VALUES="320")
    trace = run.trace
    trace.check_whole()
    by_pass = trace.by_pass()
    equal(sorted(by_pass), list(range(41)), "passes")
    n = len(PROMPT_TOKENS)
    for number, records in by_pass.items():
        equal(set(records), GEMMS | LAYER_NAMES | {"logits"}, f"checkpoints of pass {number}")
        equal({r["token_idx"] for r in records.values()}, {n - 1 + number}, f"position of pass {number}")
        equal(int(np.argmax(f32(records["logits"]["values"]))), run.tokens[number], f"token of pass {number}")
    equal(len({r["logits"]["y"]["hash"] for r in by_pass.values()}), 41, "different logits")


@case
def a_sequence_that_is_evaluated_again_gives_the_same_records(b):
    run = b.llama("--bench", "1", generate=3, ORCH_TRACE_CHECKPOINTS="all")
    trace = run.trace
    trace.check_whole()
    equal(positions_of(trace.passes[:3]), positions_of(trace.passes[3:]), "positions")
    by_pass = trace.by_pass()
    for number in range(3):
        again = by_pass[number + 3]
        equal(set(again), set(by_pass[number]), "checkpoints")
        for name, r in by_pass[number].items():
            equal(again[name]["y"]["hash"], r["y"]["hash"], f"hash of {name} in pass {number}")
