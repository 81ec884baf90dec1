#!/usr/bin/python3
"""The fault suite: traces PyTorch with planted faults, lets `orchtrace compare` judge each trace against
llama.cpp's, and scores what it says. Also compares pairs of correct engines, which nothing may be said of.

  suite.py --orchtrace BIN --library liborchtrace.so --blas libfaulty_blas.so [--short planted|correct]

--short: one model and one form, every fault once; or the correct pairs of that model. The exit status
is 1 if a promise is broken, 77 if an engine is not installed.
"""
import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import catalogue
import effects
from engines import PROMPTS, PYTHON, ROOT, Engines, LlamaRun, Run
from forms import FORMS
from score import LOCALISED, WHERE, Score, score

LAYERS = 4
PLACES = {"first": 0, "middle": 2, "last": 3}
PROMPT = {"tiny": "usual", "trained": "code"}
FULL_FORMS = ["unfused", "fused-qkv", "fused-gate-up", "gguf-order", "f16", "bf16", "fused-chunked"]
# A fault that changes its place by less than this many times what correct engines differ by there is
# drowned: it is counted apart.
VISIBLE = 4.0
SHOWN = 30  # lines of what went wrong


def fault_names():
    """Without importing PyTorch: plants.py is asked once, in its own process."""
    here = Path(__file__).resolve().parent
    question = "import json, plants; print(json.dumps([plants.NAMES, plants.PRODUCTS]))"
    text = subprocess.run([PYTHON, "-c", question], cwd=here, check=True, text=True, stdout=subprocess.PIPE).stdout
    names, products = json.loads(text)
    catalogue.add_products(products)
    unknown = set(names) ^ set(catalogue.CATALOGUE)
    if unknown:
        raise SystemExit(f"in plants.py or in catalogue.py alone: {sorted(unknown)}")
    return names, products


def ask(orchtrace, command, reference, other):
    """What the command prints with --format json, and its exit code; no JSON is a crash."""
    words = [orchtrace, command, reference, other, "--format", "json"]
    done = subprocess.run(words, text=True, capture_output=True, timeout=120)
    try:
        return json.loads(done.stdout), done.returncode
    except json.JSONDecodeError:
        raise SystemExit(f"{words}: exit {done.returncode}, no JSON: {done.stderr[-400:]}") from None


def compare(orchtrace, reference, other):
    report, code = ask(orchtrace, "compare", reference, other)
    if code != {"parity": 0, "divergence": 1, "not_comparable": 2}[report["verdict"]]:
        raise SystemExit(f"orchtrace compare {reference} {other}: exit {code} with {report['verdict']}")
    return report


@dataclass
class FaultResult:
    run: Run
    score: Score
    first: tuple = None  # effects.first_effect
    seconds: float = 0
    identified: tuple = (0, 0)  # products that were aligned with the right one, and all

    @property
    def visible(self):
        return self.first is not None and self.first[4] >= VISIBLE

    @property
    def good(self):
        return self.score.where in LOCALISED and self.score.signature_right and not self.score.blamed_reference


@dataclass
class PairResult:
    title: str
    a: object
    b: object
    verdict: str
    blamed: str  # empty: nothing
    precision: str
    alignment_only: bool = False
    identified: tuple = (0, 0)

    @property
    def false_blame(self):
        return not self.alignment_only and self.verdict == "divergence"


@dataclass
class Context:
    orchtrace: str
    reference: Path
    clean: list
    clean_facts: dict
    noise: dict = field(default_factory=dict)


def judge_fault(context, path, run):
    facts = json.loads(path.with_suffix(".json").read_text())
    start = time.perf_counter()
    report = compare(context.orchtrace, context.reference, path)
    seconds = time.perf_counter() - start
    alignment, _ = ask(context.orchtrace, "align", context.reference, path)
    faulty = effects.torch_products(path, facts, LAYERS)
    first = effects.first_effect(context.clean, faulty, context.clean_facts, facts, context.noise)
    return FaultResult(run, score(report, run.fault, run.layer, LAYERS, FORMS[run.form]), first, seconds,
                       effects.identified(alignment, path, facts, LAYERS))


def plain_form_of(form):
    """The form of the same precision whose products stand alone: the noise is measured on it."""
    f = FORMS[form]
    return "bf16" if f.dtype == "bf16" else {"f16": "f16", "bf16": "bf16-rounded"}.get(f.rounded, "unfused")


def runs_of(names, model, form, layers):
    runs = []
    for name in names:
        if catalogue.applies(name, form):
            where = [w for w in layers if w in catalogue.CATALOGUE[name].layers] or ["first"]
            runs += [Run(model, form, name, PLACES[w], PROMPT[model]) for w in where]
    return runs


def faults_of_form(engines, orchtrace, names, products, model, form, layers, keep):
    """Yields a FaultResult per trace; what was judged well is deleted unless keep."""
    reference = LlamaRun(model, prompt=PROMPT[model])
    clean, plain = (Run(model, f, prompt=PROMPT[model]) for f in (form, plain_form_of(form)))
    engines.llama(reference)
    list(engines.torch([r for r in {clean, plain}], products))
    context = Context(orchtrace, engines.path(reference),
                      effects.torch_products(engines.path(clean), engines.facts(clean), LAYERS), engines.facts(clean),
                      effects.noise(engines.path(reference), engines.path(plain), engines.facts(plain), LAYERS))
    with ProcessPoolExecutor(engines.at_once) as pool:
        pending = []
        for run in engines.torch(runs_of(names, model, form, layers), products):
            pending.append(pool.submit(judge_fault, context, engines.path(run), run))
        for job in pending:
            result = job.result()
            if not keep and result.good:
                engines.remove(result.run)
            yield result


def correct_pairs(model):
    """(title, reference, other, alignment only)"""
    p = PROMPT[model]
    llama, exact = LlamaRun(model, prompt=p), LlamaRun(model, "llama-exact", p)

    def torch(form="unfused", **rest):
        return Run(model, form, **{"prompt": p, **rest})

    pairs = [("llama.cpp again", llama, LlamaRun(model, "llama-again", p)),
             ("llama.cpp, 2 threads", llama, LlamaRun(model, "llama-2-threads", p)),
             ("llama.cpp, f32 KV cache and no flash attention", llama, exact),
             ("llama.cpp, prompt in chunks of 8", llama, LlamaRun(model, "llama-chunked", p)),
             ("PyTorch as the reference", torch(), llama)]
    pairs += [(f"{form} against llama.cpp", llama, torch(form)) for form in FORMS]
    pairs += [(f"{form} against llama.cpp with f32 KV cache", exact, torch(form)) for form in FORMS]
    pairs += [(f"{form} against unfused", torch(), torch(form)) for form in FORMS if form != "unfused"]
    pairs += [(f"{form} again", torch(form), torch(form, again=1)) for form in FORMS]
    for prompt in ("short", "long"):
        pairs += [(f"{form}, {prompt} prompt, against llama.cpp", LlamaRun(model, prompt=prompt),
                   torch(form, prompt=prompt)) for form in ("unfused", "fused", "gguf-order", "bf16", "chunked")]
    pairs += [(f"{form}, 16 tokens generated, against llama.cpp", LlamaRun(model, prompt=p, generate=16),
               torch(form, generate=16)) for form in ("unfused", "fused", "bf16")]
    pairs = [(*pair, False) for pair in pairs]
    for quant in ("q8_0", "q4_0"):
        other = LlamaRun(f"{model}-{quant}", prompt=p)
        only = quant == "q4_0"
        pairs += [(f"{quant} llama.cpp against f32 llama.cpp", llama, other, only)]
        pairs += [(f"{form} against {quant} llama.cpp", other, torch(form), only)
                  for form in ("unfused", "fused", "gguf-order", "bf16")]
    return pairs


def judge_pair(orchtrace, paths, title, a, b, only):
    report = compare(orchtrace, *paths)
    first = report.get("first_divergence")
    blamed = f"{first['checkpoint']}: {first['signature']}" if first else ""
    precision = report["pairs"][0]["precision"] if report.get("pairs") else ""
    found = (0, 0)
    if isinstance(a, LlamaRun) and isinstance(b, Run):
        facts = json.loads(paths[1].with_suffix(".json").read_text())
        found = effects.identified(ask(orchtrace, "align", *paths)[0], paths[1], facts, LAYERS)
    return PairResult(title, a, b, report["verdict"], blamed, precision, only, found)


def judge_pairs(engines, orchtrace, pairs, products):
    runs = [run for _, a, b, _ in pairs for run in (a, b)]
    for run in {r for r in runs if isinstance(r, LlamaRun)}:
        engines.llama(run)
    list(engines.torch(sorted({r for r in runs if isinstance(r, Run)}, key=Run.name), products))
    with ProcessPoolExecutor(engines.at_once) as pool:
        jobs = [pool.submit(judge_pair, orchtrace, (engines.path(a), engines.path(b)), title, a, b, only)
                for title, a, b, only in pairs]
        for job in jobs:
            yield job.result()


def times(ratio):
    return "over 1000 times" if ratio > 1000 else f"{ratio:.3g} times"


def describe(result):
    run = result.run
    where = f"{run.model} {run.form} {run.fault}@{run.layer}"
    said = f"{result.score.said or 'nothing'}, {result.score.signature or '-'}"
    whom = "; blames llama.cpp" if result.score.blamed_reference else ""
    effect = "none" if result.first is None else f"{result.first[3]:.1e}, {times(result.first[4])} the noise"
    return f"{where}: {result.score.where} ({said}){whom}; effect {effect}"


def totals(results):
    seen = [r for r in results if r.visible]
    count = {where: sum(r.score.where == where for r in seen) for where in WHERE}
    return {"runs": len(results), "visible": len(seen), **count,
            "signature": sum(r.score.signature_right and r.score.where in LOCALISED for r in seen),
            "reference blamed": sum(r.score.blamed_reference for r in seen)}


def share_identified(results):
    """Of the products in PyTorch's traces, the share that was aligned with the right one of llama.cpp's."""
    right, total = (sum(r.identified[i] for r in results) for i in (0, 1))
    return right / total if total else 1.0


def misplaced(result):
    """Whether the fault shows first elsewhere than the catalogue says: then the catalogue is wrong, or the plant."""
    fault = catalogue.CATALOGUE[result.run.fault]
    layer, ops, which = result.first[:3]
    wanted = effects.shows_at(fault.op, result.run.layer, LAYERS)
    return not fault.blind and not any((layer, op, which) == wanted for op in ops)


def promise(results, pairs):
    """What is broken of what docs/FAULTS.md promises; empty: nothing."""
    t = totals(results)
    broken = [f"planted elsewhere than the catalogue says: {describe(r)}" for r in results if r.visible and misplaced(r)]
    localised = t["exact"] + t["bracket"]
    if localised < 0.95 * t["visible"]:
        broken.append(f"only {localised} of {t['visible']} faults were localised")
    if t["signature"] < 0.80 * t["visible"]:
        broken.append(f"only {t['signature']} of {t['visible']} faults got the right signature")
    if t["reference blamed"]:
        broken.append(f"the reference was blamed {t['reference blamed']} times")
    if share_identified([*results, *pairs]) < 0.99:
        broken.append(f"only {share_identified([*results, *pairs]):.2%} of the products were identified")
    for pair in pairs:
        if pair.false_blame:
            broken.append(f"false blame: {pair.title} ({pair.a.model}): {pair.blamed or pair.verdict}")
        elif pair.verdict == "not_comparable":
            broken.append(f"not comparable: {pair.title} ({pair.a.model})")
    return broken


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--orchtrace", required=True)
    ap.add_argument("--library", required=True)
    ap.add_argument("--blas", required=True, help="libfaulty_blas.so of this directory's build")
    ap.add_argument("--work", default=ROOT / ".cache/faults", help="directory for models and traces")
    ap.add_argument("--short", choices=["planted", "correct"])
    ap.add_argument("--models", nargs="+", default=["tiny", "trained"], choices=PROMPT)
    ap.add_argument("--forms", nargs="+", default=FULL_FORMS, choices=FORMS)
    ap.add_argument("--faults", nargs="+", help="these alone")
    ap.add_argument("--no-pairs", action="store_true", help="no correct pairs")
    ap.add_argument("--keep", action="store_true", help="keep the traces of what was judged well too")
    ap.add_argument("--verbose", action="store_true", help="all that was not found or misnamed")
    ap.add_argument("--write", metavar="FILE", help="docs/FAULTS.md")
    args = ap.parse_args()
    why_not = Engines.missing()
    if why_not:
        print(f"skipped: {why_not}")
        return 77

    engines = Engines(args.library, args.blas, args.work)
    names, products = fault_names()
    names = args.faults or names
    models, forms, layers = args.models, args.forms, list(PLACES)
    if args.short:
        models, forms, layers = ["tiny"], ["unfused"] if args.short == "planted" else [], ["middle"]

    start, results, pairs = time.perf_counter(), [], []
    for model in models:
        for form in forms:
            mine = list(faults_of_form(engines, args.orchtrace, names, products, model, form, layers, args.keep))
            results += mine
            t = totals(mine)
            print(f"{model:8} {form:18} " + "  ".join(f"{k} {v}" for k, v in t.items() if v or k == "visible")
                  + f"  identified {share_identified(mine):.2%}", flush=True)
        if not args.no_pairs and args.short != "planted":
            mine = list(judge_pairs(engines, args.orchtrace, correct_pairs(model), products))
            pairs += mine
            print(f"{model:8} correct pairs      {len(mine)}  false blame {sum(p.false_blame for p in mine)}  "
                  f"identified {share_identified(mine):.2%}", flush=True)
    lines = [describe(r) for r in results if r.visible and not r.good]
    for line in lines if args.verbose else lines[:SHOWN]:
        print("  " + line)
    if len(lines) > SHOWN and not args.verbose:
        print(f"  … and {len(lines) - SHOWN} more; --verbose shows all")
    if args.write:
        import scoreboard
        training = engines.models / "trained/training.json"
        facts = json.loads(training.read_text()) if training.exists() else {}
        scoreboard.write(args.write, results, pairs, time.perf_counter() - start, facts)
    broken = promise(results, pairs)
    for sentence in broken:
        print(f"broken: {sentence}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
