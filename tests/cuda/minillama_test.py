#!/usr/bin/python3
"""The CUDA probes on an engine of our own, minillama, over the stand-ins for CUDA: what is recorded against
the stand-in's journal, against llama.cpp, and against what the engine prints without us. That proves that the
plumbing holds, and nothing of a GPU; with --hardware the same is asked of one (scripts/gpu-check)."""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / folder) for folder in ("tests/support", "tests/docs", "tests/apps/minillama")]
import weights  # noqa: E402
from checks import (SKIPPED, Failure, Skipped, case, check, check_counts, clean_environment,  # noqa: E402
                    equal, run_cases_with)
from document import Conformity, Document  # noqa: E402

ENGINES = ROOT / "scripts/engines"
LAYERS, PRODUCTS, FUSED_PRODUCTS = 4, 7 * 4 + 1, 4 * 4 + 1
PROMPT = "The quick brown fox"
TOKENS = [1] + [byte + 3 for byte in PROMPT.encode()]
STEPS = 6
LIMIT = 120


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = Path(tempfile.mkdtemp(prefix="minillama."))
        self.weights = weights.make(self.dir / "model")
        self.gguf = self.weights.with_name("model.gguf")
        self.made = 0

    def run(self, *words, traced=True, steps=STEPS, **env):
        """(what it printed, its trace, the stand-in's journal)"""
        self.made += 1
        trace, journal = self.dir / f"{self.made}.jsonl", self.dir / f"{self.made}.journal"
        full = clean_environment("FAKE_", "MINILLAMA_")
        full |= {"LD_LIBRARY_PATH": self.args.fakes or self.args.hardware}
        if self.args.fakes:
            full |= {"FAKE_CUDA_KERNELS": self.args.kernels, "FAKE_CUDA_JOURNAL": str(journal)}
        elif any(name.startswith("FAKE_") for name in env):
            raise Skipped("only the stand-in fails on demand")
        if traced:
            full |= {"LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace), "ORCH_LOG_TEAM": "minillama"}
        full |= env
        done = subprocess.run([self.args.minillama, self.weights, "--tokens", ",".join(map(str, TOKENS)), "--generate",
                               str(steps), *words], env=full, text=True, capture_output=True, timeout=LIMIT)
        check(done.returncode == 0, f"minillama {words}: exit {done.returncode}: {done.stderr[-400:]}")
        return done, trace, journal

    def records(self, trace):
        return [json.loads(line) for line in trace.read_text().splitlines()]

    def llama(self):
        if shutil.which("node") is None or not (ROOT / ".cache/engines/llama.cpp/node_modules").exists():
            raise Skipped("llama.cpp is not installed: run scripts/deps")
        trace = self.dir / "llama.jsonl"
        env = clean_environment()
        done = subprocess.run(["node", ENGINES / "llama.cpp/run.mjs", "--model", self.gguf, "--prompt", PROMPT,
                               "--generate", str(STEPS), "--threads", "1"], text=True, capture_output=True,
                              timeout=LIMIT, env=env | {"LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace),
                                                        "ORCH_LOG_TEAM": "llama.cpp"})
        check(done.returncode == 0, f"llama.cpp: {done.stderr[-400:]}")
        return json.loads(done.stdout)["tokens"], trace

    def compare(self, *traces):
        done = subprocess.run([self.args.orchtrace, "compare", *traces, "--format", "json"], text=True,
                              capture_output=True, timeout=LIMIT)
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Failure(f"compare: exit {done.returncode}: {done.stderr[-400:]}") from None


def of_kind(records, kind):
    return [r for r in records if r.get("kind") == kind]


def ledger_of(records):
    return of_kind(records, "ledger")[-1]


def products_in(journal):
    """Products that the stand-in computed itself, replays too."""
    if not journal.exists():
        raise Skipped("only the stand-in keeps a journal")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return lines, [e for e in lines if e["call"] in ("cublasSgemm_v2", "cublasGemmEx")]


def tokens_of(done):
    return [int(word) for word in done.stdout.splitlines()[0].split()]


FORMS = {"eager": [], "graphs": ["--graphs"], "fused": ["--fused"], "fused graphs": ["--fused", "--graphs"],
         "f16": ["--precision", "f16"], "bf16 graphs": ["--precision", "bf16", "--graphs"]}


@case
def it_prints_what_it_prints_without_us(bench):
    for name, words in FORMS.items():
        plain, _, _ = bench.run(*words, traced=False)
        traced, _, _ = bench.run(*words)
        equal((traced.stdout, traced.stderr), (plain.stdout, plain.stderr), f"output of {name}")


@case
def it_never_reads_device_memory_from_the_host(bench):
    plain, _, _ = bench.run(traced=False)
    # There a touch of device memory outside of a kernel or a copy is a segmentation fault.
    done, trace, _ = bench.run("--graphs", FAKE_CUDA_PROTECT="1")
    equal(done.stdout, plain.stdout, "output")
    equal(len(of_kind(bench.records(trace), "gemm")), STEPS * PRODUCTS, "products")


@case
def every_product_is_a_record(bench):
    for name, words in FORMS.items():
        per_step = FUSED_PRODUCTS if "--fused" in words else PRODUCTS
        _, trace, _ = bench.run(*words)
        records = bench.records(trace)
        ledger = ledger_of(records)
        check_counts(ledger)
        equal(ledger["classes"]["gemm"]["recorded"], STEPS * per_step, f"products of {name}")
        equal(len(of_kind(records, "gemm")), STEPS * per_step, f"product records of {name}")
        # The copies of the logits; a token of four bytes is not worth one.
        equal(len(of_kind(records, "copy")), STEPS, f"copies of {name}")
        check(ledger["final"], "no final ledger")
        equal(of_kind(records, "blind_spot"), [], f"blind spots of {name}")


@case
def eager_products_are_those_of_the_journal(bench):
    _, trace, journal = bench.run()
    _, products = products_in(journal)
    gemms = of_kind(bench.records(trace), "gemm")
    equal([[e["args"]["n"], e["args"]["m"]] for e in products], [[g["y"]["rows"], g["y"]["cols"]] for g in gemms], "shapes in order")


@case
def a_record_takes_one_launch_and_no_wait(bench):
    """But for those of the set-up, on a stream of our own."""
    waits = ("cuStreamSynchronize", "cuCtxSynchronize", "cuEventSynchronize", "cudaStreamSynchronize", "cudaDeviceSynchronize")
    _, _, journal = bench.run(traced=False)
    plain = Counter(e["call"] for e in products_in(journal)[0])
    _, trace, journal = bench.run()
    lines, _ = products_in(journal)
    calls = Counter(e["call"] for e in lines)
    launches = [e for e in lines if e["call"] == "cuLaunchKernel" and e["kernel"].startswith("orch_")]
    records = Counter(r.get("kind") for r in bench.records(trace))
    equal(len(launches), sum(records[kind] for kind in ("gemm", "copy", "weight")), "launches of ours")
    engines_stream = {e["args"]["stream"] for e in lines if e["call"] == "cublasSetStream_v2"}
    equal({e["args"]["stream"] for e in launches}, engines_stream, "streams of our launches")
    more = sum(calls[wait] - plain[wait] for wait in waits)
    check(0 < more <= 4, f"{more} waits more than without us, {STEPS * PRODUCTS} products")


@case
def replays_have_their_graph_and_number(bench):
    _, trace, journal = bench.run("--graphs")
    lines, products = products_in(journal)
    equal(len(products), 2 * PRODUCTS, "products that the engine called: one pass, one capture")
    launches = [e for e in lines if e["call"] == "cudaGraphLaunch"]
    equal(len(launches), STEPS - 1, "launches of graphs")
    captured = [g for g in of_kind(bench.records(trace), "gemm") if "graph" in g]
    equal(Counter(g["replay"] for g in captured), Counter({r: PRODUCTS for r in range(STEPS - 1)}), "replays")
    equal({g["graph"] for g in captured}, {0}, "graphs")


@case
def a_replay_is_digested_as_the_eager_call_is(bench):
    _, eager, _ = bench.run()
    _, graphs, _ = bench.run("--graphs")
    a, b = (of_kind(bench.records(t), "gemm") for t in (eager, graphs))
    for one, other in zip(a, b):
        for side in ("x", "y"):
            equal(one[side], other[side], f"{side} of {one['checkpoint']}")
        equal(one["values"], other["values"], f"values of {one['checkpoint']}")
        equal(one["weight"], other["weight"], f"weight of {one['checkpoint']}")


@case
def weights_are_written_once_and_products_proved(bench):
    for words in ([], ["--graphs"], ["--precision", "bf16"]):
        _, trace, _ = bench.run(*words)
        records = bench.records(trace)
        written = of_kind(records, "weight")
        equal(len(written), PRODUCTS, "weights")
        gemms = of_kind(records, "gemm")
        equal({g["weight"] for g in gemms}, {w["weight"] for w in written}, "weights that products name")
        proved = [g for g in gemms if "proof" in g]
        equal(len(proved), len(gemms), "products that are proved")
        worst = max(max(g["proof"]["error"], g["proof"]["worst"]) for g in proved)
        check(worst < 2e-6, f"a proof is off by {worst}")


@case
def its_records_are_as_documented(bench):
    conform = Conformity(Document(ROOT / "docs/FORMAT.md"))
    for words in (["--graphs"], ["--fused"]):
        for number, record in enumerate(bench.records(bench.run(*words)[1]), 1):
            conform.record(f"line {number}", record)
    equal(conform.problems, [], "what the document does not say")
    unseen = {key for heading, key in conform.unseen() if heading == "copy"} - {"pass", "full", "from", "to"}
    equal(unseen, set(), "keys of a copy that were not seen")
    check({"device", "stream", "graph", "replay"} <= conform.seen["gemm"], "keys of a product on a GPU were not seen")


@case
def the_ends_of_layers_can_be_had_alone(bench):
    """Of the products that a full trace has: the last one of each layer, and what comes of it is what leaves the GPU."""
    model = json.loads(bench.gguf.with_name("config.json").read_text())
    for words in ([], ["--graphs"], ["--fused"]):
        plain, whole, _ = bench.run(*words)
        done, trace, _ = bench.run(*words, ORCH_TRACE_CHECKPOINTS="layers,logits")
        equal(done.stdout, plain.stdout, "output")
        everything, records = bench.records(whole), bench.records(trace)
        downs, ends = ([g for g in of_kind(all_of, "gemm") if g["x"]["cols"] == model["intermediate_size"]]
                       for all_of in (everything, records))
        equal(len(ends), model["num_hidden_layers"] * STEPS, "ends of layers")
        equal([g["y"]["hash"] for g in ends], [g["y"]["hash"] for g in downs], "what they computed")
        # A vocabulary of 2.5 widths of the model is no sign of a head; its logits are in a copy.
        equal(len(of_kind(records, "gemm")), len(ends), "products")
        equal([c["y"]["hash"] for c in of_kind(records, "copy")], [c["y"]["hash"] for c in of_kind(everything, "copy")], "copies")
        check_counts(ledger_of(records))


@case
def graphs_may_be_left_alone(bench):
    for mode in ("report", "off"):
        plain, _, _ = bench.run("--graphs", traced=False)
        done, trace, journal = bench.run("--graphs", ORCH_TRACE_GRAPHS=mode)
        equal(done.stdout, plain.stdout, "output")
        records = bench.records(trace)
        check(not any("graph" in r for r in records), f"{mode}: a record of a graph")
        equal(len(of_kind(records, "gemm")), PRODUCTS, "eager products")
        check("graph" in {r["what"] for r in of_kind(records, "blind_spot")}, f"{mode}: nothing says that they are blind")


@case
def a_failure_of_ours_is_not_the_engines(bench):
    plain, _, _ = bench.run(traced=False)
    # Which of these calls is our first: the engine loads a module and asks for two kernels before its first product.
    for call, nth in {"cuMemHostRegister_v2": 1, "cuMemAlloc_v2": 1, "cuModuleLoadData": 2, "cuModuleGetFunction": 3,
                      "cuStreamCreate": 1, "cuMemsetD8Async": 1, "cuCtxGetCurrent": 1}.items():
        done, trace, journal = bench.run(FAKE_CUDA_FAIL=f"{call}:{nth}")
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        check(any(e["call"] == call and e["result"] != 0 for e in lines), f"{call} did not fail")
        equal(done.stdout, plain.stdout, f"output with {call} failing")
        ledger = ledger_of(bench.records(trace))["classes"]["gemm"]
        equal(ledger["seen"], STEPS * PRODUCTS, f"{call}: products seen")
        equal(ledger["seen"], ledger["recorded"] + ledger["filtered"] + ledger["dropped"], f"{call}: ledger")


@case
def it_agrees_with_llama_cpp(bench):
    tokens, reference = bench.llama()
    for name, words in FORMS.items():
        done, trace, _ = bench.run(*words)
        equal(tokens_of(done), tokens[:STEPS], f"tokens of {name}")
        report = bench.compare(reference, trace)
        equal(report["verdict"], "parity", f"{name} against llama.cpp: {report.get('first_divergence')}")


@case
def its_faults_are_found(bench):
    _, reference = bench.llama()
    faults = {"rope_style": "layer_2_attention", "rope_base": "layer_2_attention", "scale_missing": "layer_2_attention",
              "wrong_group": "layer_2_attention", "mask": "layer_2_attention", "norm_eps": "layer_2_attn_norm",
              "gate_up_swapped": "layer_2_", "residual_missing": "layer_2_attn_residual"}
    for words in ([], ["--fused", "--graphs"]):
        for fault, place in faults.items():
            _, trace, _ = bench.run(*words, MINILLAMA_FAULT=f"{fault}@2")
            report = bench.compare(reference, trace)
            first = report.get("first_divergence") or {}
            check(report["verdict"] == "divergence" and first["checkpoint"].startswith(place),
                  f"{fault} {words}: {report['verdict']}, {first.get('checkpoint')}")
            equal(first["team"], "minillama", f"{fault}: who is blamed")


def without_arithmetic(records, path):
    """As a trace that does not say what its products were computed in."""
    for record in records:
        record.pop("arithmetic", None)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@case
def tf32_is_an_arithmetic_and_no_fault(bench):
    _, reference, _ = bench.run()
    allowed = {"FAKE_CUBLAS_MATH_MODE": "3", "FAKE_CUBLAS_TF32": "allowed"}
    _, trace, journal = bench.run(**allowed)
    products_in(journal)
    records = bench.records(trace)
    equal({r.get("arithmetic") for r in of_kind(records, "gemm")}, {"tf32"}, "arithmetic")
    worst = max(r["proof"]["error"] for r in of_kind(records, "gemm") if "proof" in r)
    check(1e-4 < worst < 1e-3, f"the products are off by {worst}: that is not TF32")
    report = bench.compare(reference, trace)
    check(report["verdict"] in ("parity", "within_floor"), f"{report['verdict']}: {report.get('first_divergence')}")
    equal(report["engines"][1]["precision"], "f32, products in tf32", "precision of the engine")
    check("products in tf32 against f32" in json.dumps(report), "the report does not name what explains it")
    # The same numbers, unexplained; and of a library that tells nobody.
    _, secret, _ = bench.run(FAKE_CUBLAS_TF32="always")
    for unexplained in (without_arithmetic(records, bench.dir / "unsaid.jsonl"), secret):
        report = bench.compare(reference, unexplained)
        equal(report["verdict"], "divergence", f"{unexplained.name}, which names no arithmetic")
    equal({r.get("arithmetic") for r in of_kind(bench.records(secret), "gemm")}, {None}, "arithmetic that nobody asked for")


@case
def the_workspace_of_an_engine_is_noted(bench):
    _, trace, _ = bench.run()
    equal([(r["op"], r["bytes"]) for r in of_kind(bench.records(trace), "setting")], [("cublasSetWorkspace_v2", 4 << 20)],
          "settings")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("orchtrace", "library", "minillama"):
        ap.add_argument(f"--{name}", required=True)
    ap.add_argument("--fakes", help="directory of the stand-ins")
    ap.add_argument("--kernels", help="host versions of the kernels, for the stand-ins")
    ap.add_argument("--hardware", metavar="DIR", help="instead of the stand-ins: where CUDA's own libraries are")
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()
    if bool(args.fakes) == bool(args.hardware):
        ap.error("give --fakes or --hardware")
    try:
        bench = Bench(args)
    except subprocess.CalledProcessError:
        print("skipped: no model can be made: this Python has no numpy")
        return SKIPPED
    return run_cases_with(bench, args.cases)


if __name__ == "__main__":
    sys.exit(main())
