"""Whole tensors beside a trace: ORCH_TRACE_FULL on the CPU."""
from collections import Counter

from support import HIDDEN, LAYERS, VOCABULARY, case, check, equal, np

if np is not None:
    from full_files import check_folder, check_full_counts, folder_of


def whole_results(run, selected):
    """{call: file} of the run, which are those of its selected records."""
    calls = run.trace.calls
    equal([r["call"] for r in calls if "full" in r], [r["call"] for r in calls if selected(r)], "records with a file")
    files = check_folder(run.path, calls)
    check_full_counts(run.trace.of("ledger")[-1], len(files))
    run.trace.check_whole()
    return files


@case
def whole_tensors_of_llama_are_what_its_records_say(b):
    out = b.file("logits.json")
    plain = b.llama("--logits", out, lib=False)
    logits = out.read_text()
    run = b.llama("--logits", out, ORCH_TRACE_FULL="logits,embedding,gemm.blk.1.*")
    equal((run.tokens, out.read_text()), (plain.tokens, logits), "tokens and logits")
    wanted = lambda r: r["checkpoint"] in ("logits", "embedding") or r["checkpoint"].startswith("gemm.blk.1.")
    files = whole_results(run, wanted)
    by_name = Counter(f.metadata["checkpoint"] for f in files.values())
    passes = len(run.trace.passes)
    check(passes > 2, f"{passes} passes")
    names = [r["checkpoint"] for r in run.trace.calls if wanted(r)]
    equal(by_name, Counter(dict.fromkeys(names, passes)), "files of each name")
    found = {p.name for p in folder_of(run.path).iterdir()}
    check({"logits.safetensors", "embedding.safetensors"} <= found, "no plain names")
    for r in run.trace.calls:
        if r["checkpoint"] == "embedding":
            positions = run.trace.passes[r["pass"]]["token_positions"]
            equal((files[r["call"]].positions, files[r["call"]].data.shape), (positions, (len(positions), HIDDEN)), "rows")
    # Read by the callback, while the graph runs, they are the same bytes.
    again = b.llama("--logits", out, ORCH_TRACE_FULL="logits,embedding,gemm.blk.1.*", ORCH_TRACE_CAPTURE="callback")
    contents = lambda fs: sorted((f.metadata["checkpoint"], f.metadata["pass"], f.data.tobytes()) for f in fs.values())
    check(contents(whole_results(again, wanted)) == contents(files), "others by callback")


@case
def whole_tensors_of_pytorch_are_its_arrays(b):
    dump = b.file("dump.npz")
    run = b.torch("--dump", dump, ORCH_TRACE_FULL="gemm")
    files = whole_results(run, lambda r: True)
    logits = np.concatenate([files[r["call"]].data for r in run.trace.gemms
                             if r["y"]["cols"] == VOCABULARY and r["x"]["cols"] == HIDDEN])
    check(logits.tobytes() == np.load(dump)["logits"].tobytes(), "the LM head's files are not the logits")
    # Heads of attention lie apart in memory, one product each.
    strided = [r for r in run.trace.gemms if r["y"]["cols"] == HIDDEN // 8]
    check(len(strided) >= LAYERS, f"{len(strided)} products of single heads")
