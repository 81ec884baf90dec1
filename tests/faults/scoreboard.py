"""Writes docs/FAULTS.md from what a run of the suite measured."""
import os

import catalogue
from score import LOCALISED, WHERE

HEAD = """# The fault suite

<!-- Written by scripts/bench/faults; change tests/faults/scoreboard.py instead. -->

Does `orchtrace compare` find what is wrong, and does it leave alone what is right? A Llama in PyTorch (`tests/faults`)
runs the same weights as the llama.cpp that npm ships. One fault at a time is planted in it, it is traced as any program
is, and the trace is compared with llama.cpp's. The analyzer reads the two traces and nothing else: trace files are
called after a hash, every run has the same command line, and no definition of the model is read.

Models: `tiny` has random weights; `trained` is a character-level model{training}. Both have 4 layers; faults are
planted in the first, the third and the last one. The prompt has about 20 tokens, and 4 tokens are generated. The
reference is llama.cpp as it comes: an f16 KV cache, flash attention.

Faults are of five kinds: settings (a rotation base, an epsilon, a mask), values spoiled between two products (scaled,
delayed, stale, rounded), weights (another layer's, a row changed, 4 bits), norm weights, and products that a wrong BLAS
computes: `faulty_blas.cpp` stands between orchtrace and OpenBLAS, so that the trace shows the right operands and the
wrong result, as with a broken kernel.

How it is scored:

- **exact**: the layer and the operation are right. What nobody can tell from outside counts as right too (`gate` and
  `up` exchanged are an activation of `up`), and so does any part of a product that the engine computes as one.
- **bracket**: right layer, and the blamed operation lies between the same two products as the fault: a norm and the
  residual before it; the embedding and the first norm. Attention with rotation, mask and cache is one operation here.
- **wrong**: something else is blamed. **missed**: nothing is. The signature counts only for what was localised, and is
  right if it is one of the words wanted.
- **drowned**: each faulty run is also compared with the right run of the *same* form, where every difference is the
  fault's. If the first of them is less than {visible:g} times what two correct engines (this form and llama.cpp) differ
  by at that place, the fault cannot be told from correct arithmetic: it is not counted. These runs are listed at the
  end, with what was said about them all the same.
- **identified**: of all products of the model in PyTorch's traces, the share that was aligned with the product of the
  same parameters in llama.cpp's. The engine itself tells what it multiplied. Products after the two engines chose
  different tokens are left out, as the aligner leaves them out.

What the suite does not show: larger models, long prompts, batches of several sequences, engines other than these two,
and faults behind the last product (a logit softcap, a sampler), which no record of PyTorch's would show.
"""

FORM_NOTES = {
    "unfused": "rows of Q and K in Hugging Face's order (permuted, seen from GGUF)",
    "fused-qkv": "one product for Q, K and V", "fused-gate-up": "one product for gate and up",
    "fused": "both", "fused-qkv-grouped": "one product for Q, K and V, rows head group by head group",
    "gguf-order": "rows of Q and K as in GGUF, neighbours rotated",
    "f16": "weights and activations rounded to f16 around f32 products",
    "bf16": "bf16 weights and activations, products by oneDNN",
    "bf16-rounded": "rounded to bf16 around f32 products", "threads-2": "two BLAS threads",
    "chunked": "prompt in chunks of 7", "fused-chunked": "fused, and the prompt in chunks of 9",
    "all-logits": "the head multiplies every row"}


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def row(cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def table(head, rows):
    return [row(head), row(["---"] * len(head)), *map(row, rows)]


def count_cells(results):
    seen = [r for r in results if r.visible]
    places = [sum(r.score.where == where for r in seen) for where in WHERE]
    named = sum(r.score.signature_right and r.score.where in LOCALISED for r in seen)
    return [len(seen), *places, percent(sum(places[:2]), len(seen)), percent(named, len(seen))]


COUNTS = ["runs", *WHERE, "localised", "signature right"]


def by(results, key):
    groups = {}
    for r in results:
        groups.setdefault(key(r), []).append(r)
    return groups


def called(results):
    """What else the fault was called, most often first."""
    counts = by([r for r in results if r.visible and not r.score.signature_right and r.score.signature],
                lambda r: r.score.signature)
    return ", ".join(f"{name} {len(rs)}" for name, rs in sorted(counts.items(), key=lambda kv: -len(kv[1]))[:3])


def training_text(facts):
    if not facts:
        return ""
    return (f" of {facts['parameters']:,} parameters that\n`scripts/engines/train_model.py` trained on this repository's "
            f"text ({facts['steps']} steps: {facts['loss']:.2f} nats per byte, where\nthe frequencies of the bytes alone "
            f"give {facts['unigram_entropy']:.2f})")


def write(path, results, pairs, seconds, training):
    from suite import VISIBLE, share_identified, times  # not at the top: suite imports this module
    lines = [HEAD.format(visible=VISIBLE, training=training_text(training)), "## Faults", ""]
    lines += table(["model", "form", *COUNTS, "drowned", "identified"], [
        [m, f"{f}: {FORM_NOTES[f]}", *count_cells(rs), sum(not r.visible for r in rs), f"{share_identified(rs):.2%}"]
        for (m, f), rs in by(results, lambda r: (r.run.model, r.run.form)).items()]
        + [["**all**", "", *count_cells(results), sum(not r.visible for r in results),
            f"{share_identified(results):.2%}"]])
    kinds = len(by(results, lambda r: r.run.fault))
    median = sorted(r.seconds for r in results)[len(results) // 2]
    lines += ["", f"{kinds} kinds of fault, {len(results)} faulty runs. llama.cpp was called the wrong one "
              f"{sum(r.score.blamed_reference for r in results)} times. The suite took {seconds / 60:.0f} minutes on two "
              f"shared cores; one comparison takes {median * 1000:.0f} ms in the median.", ""]

    lines += ["## Correct engines", "",
              "Nothing is wrong in these pairs. **False blame** is a verdict of divergence. Pairs with a Q4_0 model are "
              "there for the alignment: that precision may be called what it is, poor.", ""]
    scored = [p for p in pairs if not p.alignment_only]
    lines += [f"{len(scored)} scored pairs: {sum(p.verdict == 'parity' for p in scored)} in parity, "
              f"{sum(p.false_blame for p in scored)} with false blame, "
              f"{sum(p.verdict == 'not_comparable' for p in scored)} not comparable. "
              f"Products identified: {share_identified(pairs):.2%}.", ""]
    lines += table(["pair", "model", "verdict", "blamed", "precision named"],
                   [[p.title, p.a.model, p.verdict.replace("_", " ") + (" (not scored)" if p.alignment_only else ""),
                     p.blamed or "-", p.precision or "-"] for p in pairs])

    lines += ["", "## Kind by kind", "", "Over all models, forms and layers, without what is drowned.", ""]
    lines += table(["fault", "where", "runs", *WHERE, "signature right", "wanted", "also called"],
                   [[f"`{name}`", catalogue.CATALOGUE[name].op, *count_cells(rs)[:6], count_cells(rs)[7],
                     " ".join(sorted(catalogue.CATALOGUE[name].signatures)), called(rs)]
                    for name, rs in sorted(by(results, lambda r: r.run.fault).items())])

    missed = [r for r in results if r.visible and r.score.where not in LOCALISED]
    lines += ["", "## Not found, or found in the wrong place", ""]
    lines += table(["fault", "layer", "model", "form", "said", "change at its place", "of the noise"],
                   [[f"`{r.run.fault}`", r.run.layer, r.run.model, r.run.form, f"{r.score.where}: {r.score.said}",
                     f"{r.first[3]:.1e}", times(r.first[4])] for r in missed]) if missed else ["None."]

    drowned = [r for r in results if not r.visible]
    found = sum(r.score.where in LOCALISED for r in drowned)
    blamed = sum(r.score.where == "wrong" for r in drowned)
    lines += ["", "## Drowned", "",
              f"{len(drowned)} runs; {found} of them were localised all the same, {blamed} blamed something else, and "
              "the rest was called parity. No change: the fault alters no number that llama.cpp computes too (in its "
              "last layer llama.cpp goes on with the last row alone, which a missing mask does not harm; rounding to "
              "bf16 changes no bf16).", ""]
    groups = by(drowned, lambda r: (r.run.fault, r.run.model, r.run.form))
    lines += table(["fault", "model", "form", "layers", "change at its place", "times the noise", "said"],
                   [[f"`{fault}`", model, form, ", ".join(str(r.run.layer) for r in rs),
                     ", ".join("none" if r.first is None else f"{r.first[3]:.0e}" for r in rs),
                     ", ".join("-" if r.first is None else f"{r.first[4]:.1f}" for r in rs),
                     ", ".join(r.score.where for r in rs)] for (fault, model, form), rs in groups.items()])
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    os.replace(temporary, path)
