"""Contexts, devices, graphs, drivers, arguments and ends of the kind that nobody plans for: the engine's own behaviour is what
it is without us, and the ledger has what was not captured."""
import json
import signal
import subprocess
from collections import Counter
from pathlib import Path

from calls_bench import Skipped, case, check, check_counts, equal, expect_products, ledger_of
from cuda_engine import GENUINE
from hostile_bench import Held, go_on, read_lines, reasons, told, wait_for

PROTECTED = {"FAKE_CUDA_PROTECT": "1"}


def gemms_of(records):
    return [r for r in records if r["kind"] == "gemm"]


def adds_up(records):
    """Class by class: what was seen was recorded, left out on purpose, or is counted as lost."""
    classes = ledger_of(records)["classes"]
    for name, c in classes.items():
        equal(c["seen"], c["recorded"] + c["filtered"] + c["dropped"], f"ledger of {name}")
        equal(c["recorded"], len([r for r in records if r["kind"] == name]), f"records of {name}")
    return classes


def whole(said, records):
    expect_products(said, records)
    check_counts(ledger_of(records))
    equal(reasons(records), {}, "blind spots")


def ended_by(way):
    def run(bench):
        for more in ({}, PROTECTED):
            whole(*bench.live(f"contexts_ended_by_{way}", **more))
    run.__name__ = f"a_context_after_{way}_is_traced_as_the_first"
    return case(run)


for ending in ("cuCtxDestroy_v2", "cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxReset_v2", "cudaDeviceReset"):
    ended_by(ending)


@case
def records_name_their_device(bench):
    said, records = bench.live("two_devices", FAKE_CUDA_DEVICES="2")
    whole(said, records)
    equal([g["device"] for g in gemms_of(records)], [p["device"] for p in said["products"]], "devices")
    equal(len({g["weight"] for g in gemms_of(records)}), 2, "weights")


@case
def two_contexts_live_side_by_side(bench):
    whole(*bench.live("two_contexts_at_once", **PROTECTED))


@case
def graphs_are_digested_reported_or_left_alone(bench):
    plain, _ = bench.run("captured_graph", traced=False)
    found = {}
    for mode in ("digest", "report", "off"):
        said, records = bench.live("captured_graph", ORCH_TRACE_GRAPHS=mode)
        equal(said, plain, f"{mode}: what the engine computed")
        calls = [e["call"] for e in bench.journal]
        end = calls.index("cudaStreamEndCapture")
        last = end - calls[end::-1].index("cublasSgemm_v2")
        found[mode] = (len(gemms_of(records)), sorted(reasons(records)), calls[last:end].count("cuStreamGetCaptureInfo"))
        adds_up(records)
    # The last: a product has to ask whether it is captured; whoever follows the capture asks once more at its end.
    equal(found, {"digest": (7, [], 2), "report": (1, ["graph"], 2), "off": (1, ["graph"], 1)}, "graphs")


@case
def a_graph_built_node_by_node_is_a_blind_spot(bench):
    for mode, expected in {"digest": ["graph"], "report": ["graph"], "off": []}.items():
        said, records = bench.live("explicit_graph", ORCH_TRACE_GRAPHS=mode)
        equal(sorted(reasons(records)), expected, f"{mode}: blind spots")
        expect_products(said, records)
        check_counts(ledger_of(records))


@case
def what_the_driver_refuses_is_said(bench):
    plain, _ = bench.run("gemm_forms", traced=False)
    for fault, word in {"cuModuleLoadData:1+=200": "does not take the digest kernel",
                        "cuMemHostRegister_v2:1+=2": "no pinned memory", "cuMemAlloc_v2:1+=2": "refuses",
                        "cuStreamGetCaptureInfo:1+=999": ""}.items():
        said, records = bench.live("gemm_forms", FAKE_CUDA_FAIL=fault)
        equal(said, plain, f"{fault}: what the engine did")
        counts = adds_up(records)["gemm"]
        equal((counts["seen"], counts["dropped"]), (4, 4), f"{fault}: products")
        why = " ".join(reasons(records).values())
        check(why and word in why, f"{fault}: blind spots {reasons(records)}")


@case
def an_engine_runs_without_a_driver_or_with_a_poor_one(bench):
    plain, _ = bench.run("gemm_forms", traced=False)
    for name, lacking in {"no_driver": {"leave_out": ["libcuda.so.1"]},
                          "old_driver": {"without": [b"cuThreadExchangeStreamCaptureMode"]},
                          "poor_cublas": {"without": [b"cublasGetStream_v2"]}}.items():
        said, records = bench.live("gemm_forms", fakes=bench.copy_of_the_stand_ins(name, **lacking))
        equal(said, plain, f"{name}: what the engine did")
        counts = adds_up(records)["gemm"]
        equal((counts["seen"], counts["dropped"]), (4, 4), f"{name}: products")
        check(reasons(records), f"{name}: no blind spot")


@case
def a_cublas_without_pointer_modes_has_products_without_scalars(bench):
    poor = bench.copy_of_the_stand_ins("no_modes", without=[b"cublasGetPointerMode_v2"])
    _, records = bench.live("gemm_forms", fakes=poor)
    equal([g.get("scalars") for g in gemms_of(records)], ["device"] * 4, "scalars")
    check_counts(ledger_of(records))


@case
def odd_arguments_are_what_they_are_without_us(bench):
    plain, _ = bench.run("odd_arguments", traced=False)
    said, records = bench.live("odd_arguments", **PROTECTED)
    equal(said, plain, "what the engine computed")
    counts = adds_up(records)
    equal(counts["gemm"], {"seen": 10, "recorded": 7, "filtered": 3, "dropped": 0}, "products")
    # Results are all right; inputs only where the call has left them as they were.
    gemms = gemms_of(records)
    equal([[float(v) for v in g["values"]] for g in gemms], [p["y"][-1] for p in said["products"]], "last rows")
    by_case = {p.get("case"): g for p, g in zip(said["products"], gemms)}
    over_input, over_weight = by_case["the result over the input"], by_case["the result over the weight"]
    check("x" not in over_input and "proof" not in over_input, f"an input that is no more: {over_input}")
    check("weight" not in over_weight and "proof" not in over_weight, f"a weight that is no more: {over_weight}")
    equal(sorted(reasons(records)), ["overwritten"], "blind spots")
    for name in ("a negative stride", "vectors backwards"):
        check("proof" in by_case[name] and by_case[name]["proof"]["error"] < 1e-6, f"{name}: {by_case[name].get('proof')}")


@case
def errors_that_stay_are_the_engines_own(bench):
    for kind in ("host", "null"):
        plain, _ = bench.run("wild_pointers", traced=False, WILD=kind)
        said, records = bench.live("wild_pointers", WILD=kind, **PROTECTED)
        equal(said["statuses"], plain["statuses"], f"{kind}: what the engine is told")
        check(any(plain["statuses"]), f"{kind}: nothing went wrong")
        counts = adds_up(records)["gemm"]
        # The calls that failed computed nothing.
        equal((counts["seen"], counts["recorded"]), (2, 1), f"{kind}: products")
        check("device" in reasons(records), f"{kind}: no blind spot")


def held(bench, script, first, **more):
    """The trace of a script whose records, but for the first ones, are read after it has done all its work."""
    process, trace = bench.start(script, **more)
    try:
        told(process, "ready")
        wait_for(lambda: len([r for r in whole_lines(trace) if r["kind"] in ("gemm", "weight")]) == first, "the first records")
        with Held(process.pid):
            go_on(process)
            told(process, "done")
        go_on(process)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    equal(process.returncode, 0, f"exit status: {error[-300:]}")
    return read_lines(trace)


def drowned(bench, script):
    records = held(bench, script, first=2)
    check("ring" in reasons(records), "no blind spot")
    return records


def whole_lines(trace):
    """Of a trace that is being written."""
    text = trace.read_text() if trace.exists() else ""
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


@case
def contexts_may_be_gone_before_their_records_are_read(bench):
    records = held(bench, "contexts_ended_by_cuCtxDestroy_v2", first=7, STEP="1")
    check_counts(ledger_of(records))
    equal(Counter((g.get("graph"), g.get("replay")) for g in gemms_of(records)),
          Counter({(None, None): 6} | {(graph, replay): 2 for graph in range(3) for replay in range(2)}), "replays")


@case
def what_finds_no_room_in_the_ring_is_counted(bench):
    records = drowned(bench, "a_graph_larger_than_the_ring")
    counts = adds_up(records)["gemm"]
    equal(counts, {"seen": 1501, "recorded": 1 + 1024, "filtered": 0, "dropped": 1500 - 1024}, "products")


@case
def copies_that_find_no_room_are_counted_as_copies(bench):
    counts = adds_up(drowned(bench, "a_drowned_copy"))
    equal([(counts[c]["seen"], counts[c]["recorded"]) for c in ("gemm", "copy")], [(701, 513), (700, 512)], "seen, recorded")


@case
def the_end_waits_for_replays_under_way(bench):
    _, records = bench.die("an_end_before_the_device_is_done", 0)
    counts = adds_up(records)["gemm"]
    equal(counts, {"seen": 201, "recorded": 201, "filtered": 0, "dropped": 0}, "products")


@case
def products_after_the_librarys_end_are_the_engines_alone(bench):
    plain, _ = bench.die("products_after_the_library", 0, LD_PRELOAD="", ORCH_LOG_FILE="")
    out, records = bench.die("products_after_the_library", 0)
    equal(out, plain, "what the engine computed")
    check(out.splitlines()[-1].startswith("0 0 0 "), f"it did not run: {out}")
    check(ledger_of(records)["final"], "no final ledger")
    equal(len(gemms_of(records)) >= 1, True, "products")


@case
def a_killed_engine_leaves_whole_lines(bench):
    _, records = bench.die("killed", -signal.SIGKILL)
    check(len(gemms_of(records)) > 10, "nothing was written")


@case
def switched_off_we_do_nothing(bench):
    bench.run("gemm_forms", traced=False)
    plain = Counter(e["call"] for e in bench.journal)
    for off in ({"ORCH_TRACE": "off"}, {"ORCH_LOG_FILE": ""}, {"ORCH_TRACE_PROBES": "onednn,ggml"},
                {"ORCH_TRACE_CHECKPOINTS": "nothing"}, {"ORCH_TRACE_EXCLUDE": "libffi.so*,cu*"}):
        _, records = bench.live("gemm_forms", **off)
        equal(Counter(e["call"] for e in bench.journal), plain, f"{off}: calls of CUDA")
        equal(gemms_of(records), [], f"{off}: products")


@case
def what_is_excluded_is_left_alone(bench):
    """By the function's name, and by that of the library that calls: ctypes calls through libffi."""
    said, records = bench.live("gemm_types", ORCH_TRACE_EXCLUDE="cublasH*,cublasGemmEx")
    wanted = [e["op"] for e in said["products"] if e["op"] not in ("cublasHgemm", "cublasGemmEx")]
    check(0 < len(wanted) < len(said["products"]), f"only {wanted}")
    equal([r["op"] for r in gemms_of(records)], wanted, "products")
    equal(ledger_of(records)["classes"]["gemm"]["seen"], len(wanted), "seen")
    _, records = bench.live("gemm_types", ORCH_TRACE_EXCLUDE="libffi.so*")
    equal(gemms_of(records), [], "products that libffi called")


def lookups(bench):
    return [(e["args"].get("symbol"), e["result"]) for e in bench.journal if e["call"].startswith("cuGetProcAddress")]


@case
def genuine_libraries_find_the_driver_through_us(bench):
    if not Path(GENUINE).exists():
        raise Skipped(f"there is no {GENUINE}")
    path = str(Path(bench.args.fakes) / "13")
    plain, _ = bench.run("genuine_libraries", traced=False, LD_LIBRARY_PATH=path)
    without = lookups(bench)
    traced, _ = bench.live("genuine_libraries", LD_LIBRARY_PATH=path)
    equal(lookups(bench), without, "what they ask the driver for")
    check(len(without) > 400, f"only {len(without)} look-ups")
    for name in ("error", "count", "lt"):
        equal(traced.get(name), plain.get(name), f"what they say: {name}")
    check(plain["runtime_calls_us_at"] == 0 and traced["runtime_calls_us_at"] >= 10, f"the runtime: {traced}")
    check("lt" not in traced or traced["lt_calls_us_at"] >= 10, f"cuBLASLt: {traced}")


@case
def a_runtime_inside_the_program_finds_the_driver_through_us(bench):
    if not bench.args.static:
        raise Skipped("no program with a CUDA runtime inside: it is built where the toolkit is")
    path = str(Path(bench.args.fakes) / "13")
    for words in ([], [GENUINE]):
        said, asked = {}, {}
        for traced in (False, True):
            bench.made += 1
            trace = bench.dir / f"{bench.made}.jsonl"
            env = bench.environment(trace, LD_LIBRARY_PATH=path, **({} if traced else {"LD_PRELOAD": ""}))
            done = subprocess.run([bench.args.static, *words], env=env, text=True, capture_output=True, timeout=60)
            equal((done.returncode, done.stderr), (0, ""), f"{words}: exit status")
            *said[traced], pointers = done.stdout.splitlines()
            bench.journal = read_lines(trace.with_suffix(".journal"))
            asked[traced] = lookups(bench)
            leads = int(pointers.split()[-1])
            check(leads >= 10 if traced else leads == 0, f"{words}: {leads} pointers lead to us")
        equal(said[True], said[False], f"{words}: what the runtime says")
        equal(asked[True], asked[False], f"{words}: what it asks the driver for")
        check(len(asked[True]) > 400 * (1 + len(words)), f"{words}: only {len(asked[True])} look-ups")
