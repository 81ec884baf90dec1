#!/usr/bin/python3
"""ORCH_TRACE_FULL on a GPU that is a stand-in: whole results of minillama, and of calls through ctypes, as files beside
the trace, against what their records say and what the engine itself prints. That proves the plumbing, and nothing of
a GPU."""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / folder) for folder in ("tests/support", "tests/docs", "tests/apps/minillama")]
import weights  # noqa: E402
from checks import SKIPPED, case, check, check_counts, clean_environment, equal, run_cases_with  # noqa: E402

PRODUCTS = 7 * 4 + 1
STEPS = 4
TOKENS = "1,87,107,104,35,116,120,108,102,110"
FORMS = {"eager": [], "graphs": ["--graphs"], "fused": ["--fused"], "f16 graphs": ["--precision", "f16", "--graphs"]}


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = Path(tempfile.mkdtemp(prefix="full."))
        self.weights = weights.make(self.dir / "model")
        self.made = 0

    def run(self, command, **env):
        """(what it printed, its trace, the stand-in's journal)"""
        self.made += 1
        trace, journal = self.dir / f"{self.made}.jsonl", self.dir / f"{self.made}.journal"
        full = clean_environment("FAKE_", "MINILLAMA_") | {
            "LD_LIBRARY_PATH": str(Path(self.args.fakes) / "13"), "FAKE_CUDA_KERNELS": self.args.kernels,
            "FAKE_CUDA_JOURNAL": str(journal), "LD_PRELOAD": self.args.library, "ORCH_LOG_FILE": str(trace)}
        done = subprocess.run([str(word) for word in command], env=full | env, text=True, capture_output=True, timeout=120)
        check(done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr[-400:]}")
        return done, trace, journal

    def llama(self, *words, **env):
        return self.run([self.args.minillama, self.weights, "--tokens", TOKENS, "--generate", STEPS, *words], **env)

    def engine(self, name, **env):
        """A child that calls CUDA through ctypes; see engine()."""
        return self.run([sys.executable, __file__, "--engine", name, "--fakes", self.args.fakes], **env)


def records_of(trace):
    return [json.loads(line) for line in trace.read_text().splitlines()]


def of_kind(records, *kinds):
    return [r for r in records if r.get("kind") in kinds]


def logits_hash(done):
    return done.stdout.splitlines()[1].split()[1]


def fnv(data):
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return f"{value:016x}"


@case
def every_selected_result_is_a_file(bench):
    for name, words in FORMS.items():
        plain, _, _ = bench.llama(*words)
        done, trace, _ = bench.llama(*words, ORCH_TRACE_FULL="gemm")
        equal((done.stdout, done.stderr), (plain.stdout, plain.stderr), f"output of {name}")
        records = records_of(trace)
        calls = of_kind(records, "gemm", "copy")
        files = check_folder(trace, records)
        equal(len(files), len(calls), f"files of {name}")
        ledger = of_kind(records, "ledger")[-1]
        check_counts(ledger)
        check_full_counts(ledger, len(calls))
        equal(of_kind(records, "blind_spot"), [], f"blind spots of {name}")
        last = max(of_kind(records, "copy"), key=lambda r: r["call"])
        equal(fnv(files[last["call"]].data.tobytes()), logits_hash(done), f"the logits that {name} printed")


@case
def each_replay_is_a_file_of_its_own(bench):
    _, trace, _ = bench.llama("--graphs", ORCH_TRACE_FULL="*.graph")
    records = records_of(trace)
    files = check_folder(trace, records)
    replays = STEPS - 1
    equal(len(files), replays * (PRODUCTS + 1), "files of nodes")
    copies = [files[r["call"]] for r in of_kind(records, "copy") if "graph" in r]
    equal([c.metadata["replay"] for c in copies], [str(i) for i in range(replays)], "replays")
    equal(len({c.data.tobytes() for c in copies}), replays, "different logits")


@case
def a_glob_selects(bench):
    feed_forward = 384  # of the tiny model: what the last product of a layer reads
    chosen = {"copy.*": lambda r: r["kind"] == "copy", "gemm.000003": lambda r: r["call"] == 3,
              "cublasSgemm*": lambda r: r["kind"] == "gemm", "copy.graph": lambda r: False,
              "logits": lambda r: r["kind"] == "copy",
              "layers": lambda r: r["kind"] == "gemm" and r["x"]["cols"] == feed_forward}
    for glob, wanted in chosen.items():
        _, trace, _ = bench.llama(ORCH_TRACE_FULL=glob)
        records = records_of(trace)
        calls = of_kind(records, "gemm", "copy")
        equal([r["call"] for r in calls if "full" in r], [r["call"] for r in calls if wanted(r)], f"selected by {glob}")
        check_folder(trace, records)


@case
def without_it_there_is_nothing(bench):
    _, trace, journal = bench.llama("--graphs")
    check(not folder_of(trace).exists(), "a directory beside the trace")
    check("orch_dump" not in journal.read_text(), "the kernel was looked for")
    records = records_of(trace)
    check(not any("full" in r for r in of_kind(records, "gemm", "copy", "ledger")), "a record speaks of it")


@case
def one_launch_makes_it_and_nothing_waits(bench):
    def calls(journal):
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        waits = [e["call"] for e in lines if "Synchronize" in e["call"] or "Event" in e["call"]]
        return [e.get("kernel") for e in lines if e["call"] == "cuLaunchKernel"].count("orch_dump"), waits
    for words, count in (([], STEPS * (PRODUCTS + 1)), (["--graphs"], 2 * (PRODUCTS + 1))):
        _, _, off = bench.llama(*words)
        _, _, on = bench.llama(*words, ORCH_TRACE_FULL="all")
        launches, waits = calls(on)
        equal(launches, count, "launches, those into a graph once")
        equal(waits, calls(off)[1], "calls that wait")


@case
def what_does_not_fit_into_the_ring_is_counted(bench):
    _, reference, _ = bench.llama("--graphs")
    for size in ("1K", "16K"):
        done, trace, _ = bench.llama("--graphs", ORCH_TRACE_FULL="all", ORCH_TRACE_FULL_RING=size)
        records = records_of(trace)
        calls = of_kind(records, "gemm", "copy")
        without = of_kind(records_of(reference), "gemm", "copy")
        equal([r["y"] for r in calls], [r["y"] for r in without], "the records themselves")
        files = check_folder(trace, records)
        check(0 < len(files) < len(calls), f"{len(files)} files of {len(calls)} records")
        check_full_counts(of_kind(records, "ledger")[-1], len(files), len(calls) - len(files))
        equal([r["what"] for r in of_kind(records, "blind_spot")], ["ORCH_TRACE_FULL_RING"], "blind spots")


@case
def the_limit_holds(bench):
    _, trace, _ = bench.llama(ORCH_TRACE_FULL="all", ORCH_TRACE_FULL_LIMIT="40K")
    records = records_of(trace)
    files = check_folder(trace, records)
    written = sum(f.data.nbytes for f in files.values())
    check(0 < written <= 40 << 10, f"{written} bytes")
    calls = of_kind(records, "gemm", "copy")
    check_full_counts(of_kind(records, "ledger")[-1], len(files), len(calls) - len(files))
    equal([r["what"] for r in of_kind(records, "blind_spot")], ["ORCH_TRACE_FULL"], "blind spots")


@case
def a_directory_that_cannot_be_made_leaves_the_records(bench):
    folder_of(bench.dir / f"{bench.made + 1}.jsonl").write_text("in the way")
    _, trace, _ = bench.llama(ORCH_TRACE_FULL="all")
    records = records_of(trace)
    calls = of_kind(records, "gemm", "copy")
    equal(len(calls), STEPS * (PRODUCTS + 1), "records")
    equal([r for r in calls if "full" in r], [], "records that name a file")
    check_full_counts(of_kind(records, "ledger")[-1], 0, len(calls))


@case
def a_failure_of_ours_is_not_the_engines(bench):
    plain, _, _ = bench.llama()
    # The digests' own ring and kernel come before; the engine has asked for two kernels by then.
    for call, nth in {"cuMemHostRegister_v2": 2, "cuMemHostGetDevicePointer_v2": 2, "cuModuleGetFunction": 4}.items():
        done, trace, journal = bench.llama(ORCH_TRACE_FULL="all", FAKE_CUDA_FAIL=f"{call}:{nth}")
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        check(any(e["call"] == call and e["result"] != 0 for e in lines), f"{call} did not fail")
        equal(done.stdout, plain.stdout, f"output with {call} failing")
        records = records_of(trace)
        calls = of_kind(records, "gemm", "copy")
        equal(len(calls), STEPS * (PRODUCTS + 1), f"{call}: records")
        check_full_counts(of_kind(records, "ledger")[-1], 0, len(calls))
        equal([r["what"] for r in of_kind(records, "blind_spot")], ["ORCH_TRACE_FULL on a GPU"], "blind spots")


@case
def it_never_touches_device_memory_from_the_host(bench):
    plain, _, _ = bench.llama()
    done, trace, _ = bench.llama("--graphs", ORCH_TRACE_FULL="all", FAKE_CUDA_PROTECT="1")
    equal(done.stdout, plain.stdout, "output")
    check_folder(trace, records_of(trace))


@case
def types_and_layouts_are_kept(bench):
    done, trace, _ = bench.engine("layouts", ORCH_TRACE_FULL="all", ORCH_TRACE_PROBES="cublas,cuda")
    records = records_of(trace)
    files = check_folder(trace, records)
    for expected in json.loads(done.stdout):
        full = files[expected["call"]]
        equal(full.dtype, expected["dtype"], "type")
        equal(full.values.tolist(), expected["y"], f"result of call {expected['call']}")


@case
def an_engine_far_ahead_of_the_device_keeps_files_and_records_together(bench):
    # Of so many launches the host forgets the first ones' numbers before the device gets there.
    _, trace, _ = bench.engine("far_ahead", ORCH_TRACE_FULL="*.graph", ORCH_TRACE_PROBES="cublas,cuda")
    records = records_of(trace)
    files = check_folder(trace, records)
    equal(sorted(int(f.metadata["replay"]) for f in files.values()), list(range(100)), "replays")
    check_full_counts(of_kind(records, "ledger")[-1], 100)


@case
def captures_that_come_and_go_keep_files_and_records_together(bench):
    _, trace, _ = bench.engine("many_captures", ORCH_TRACE_FULL="all", ORCH_TRACE_PROBES="cublas,cuda")
    records = records_of(trace)
    files = check_folder(trace, records)
    equal(len(files), 1 + 30 * 2, "files")
    check_counts(of_kind(records, "ledger")[-1])


@case
def a_second_run_leaves_the_files_of_the_first(bench):
    _, trace, _ = bench.llama(ORCH_TRACE_FULL="copy.*")
    before = {p: p.read_bytes() for p in folder_of(trace).iterdir()}
    bench.made -= 1
    _, again, _ = bench.llama(ORCH_TRACE_FULL="copy.*")
    equal(again, trace, "the trace")
    equal({p: p.read_bytes() for p in before}, before, "files of the first run")
    named = [r["full"] for r in of_kind(records_of(trace), "copy")]
    equal((len(named), len(set(named))), (2 * STEPS, 2 * STEPS), "names")
    equal(len(list(folder_of(trace).iterdir())), 2 * STEPS, "files")


def engine(name, fakes):
    """An engine that calls CUDA through ctypes: what a case asks for by name."""
    from cuda_engine import Cuda
    {"layouts": layouts, "far_ahead": far_ahead, "many_captures": many_captures}[name](Cuda(fakes))


def far_ahead(cuda):
    """A graph that is launched a hundred times, before anybody waits for it."""
    from calls_graphs import Captured
    one = Captured(cuda)
    executable = one.instantiate(one.capture())
    for _ in range(100):
        assert one.launch(executable) == 0
    cuda.sync()


def many_captures(cuda):
    """Graphs that are made, launched twice, and destroyed, one after the other."""
    from calls_graphs import Captured
    one = Captured(cuda)
    for _ in range(30):
        graph = one.capture()
        executable = one.instantiate(graph)
        for _ in range(2):
            assert one.launch(executable) == 0
        cuda.sync()
        one.destroy(graph, executable)


def layouts(cuda):
    """y [tokens, out] of x [tokens, in] and w [out, in], with room between rows and in several types."""
    import ctypes as C

    from cuda_engine import F32, N, R16, R16BF, R32, R64, T, bf16, f
    tokens, inputs, outputs, ld = 3, 8, 5, 11
    x, w = cuda.values(tokens, inputs), cuda.values(outputs, inputs)
    y = (x.astype(np.float64) @ w.T).tolist()
    said = []

    def product(call, kind, name, store, scalar, compute, result_kind=None):
        result = cuda.memory(tokens * ld * 8)
        one, zero = f(1, scalar), f(0, scalar)
        assert cuda.blas.cublasGemmEx(cuda.handle, T, N, outputs, tokens, inputs, one, cuda.upload(store(w)), kind, inputs,
                                      cuda.upload(store(x)), kind, inputs, zero, result,
                                      kind if result_kind is None else result_kind, ld, compute, -1) == 0
        said.append({"call": call, "dtype": name, "y": y})

    product(0, R32, "F32", lambda a: a, C.c_float, F32)
    product(1, R16, "F16", lambda a: a.astype(np.float16), C.c_float, F32)
    product(2, R16BF, "BF16", bf16, C.c_float, F32)
    product(3, R64, "F64", lambda a: a.astype(np.float64), C.c_double, 70)
    y = (np.asarray(y) * 64).tolist()
    product(4, 3, "I32", lambda a: (a * 8).astype(np.int8), C.c_int32, 72, 10)
    cuda.sync()
    print(json.dumps(said))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for option in ("library", "minillama", "fakes", "kernels", "engine"):
        ap.add_argument(f"--{option}")
    ap.add_argument("cases", nargs="*")
    args = ap.parse_args()
    if args.engine:
        return engine(args.engine, args.fakes)
    return run_cases_with(Bench(args), args.cases)


if __name__ == "__main__":
    try:
        import numpy as np
        from full_files import check_folder, check_full_counts, folder_of
    except ImportError:
        print("skipped: this Python has no numpy")
        sys.exit(SKIPPED)
    sys.exit(main())
