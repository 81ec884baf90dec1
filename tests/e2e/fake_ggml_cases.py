"""A ggml that is not as known."""
from support import case, check, equal, positions_of


def dropped(trace):
    return {n: c["dropped"] for n, c in trace.of("ledger")[-1]["classes"].items() if c["dropped"]}


def check_fake_products(run, passes=True):
    trace = run.trace
    heads = [r for r in trace.calls if r["checkpoint"] == "gemm.output"]
    equal([r["values"] for r in heads], run.logits, "outputs of the LM head")
    equal(len([r for r in trace.calls if r["checkpoint"] == "gemm.blk.0.attn_q"]), 3, "first products")
    if passes:
        equal(positions_of(trace.passes), [[0, 1, 2, 3], [4], [5]], "positions")
        equal([r["token_idx"] for r in heads], [3, 4, 5], "positions of the products")


@case
def the_fake_ggml_is_traced_where_it_is_as_known(b):
    run = b.fake("known")
    run.trace.check_whole()
    check_fake_products(run)
    weights = run.trace.weights
    equal({n: w["dtype"] for n, w in weights.items()},
          {"blk.0.attn_q.weight": "q8_fake", "output.weight": "f32"}, "weights")
    number = lambda row, col: (row * 7 + col * 3 + row * col) % 11 - 5
    equal(weights["output.weight"]["values"], [number(0, i) for i in range(10)], "the plain weight")
    # Its buffer holds every byte inverted: only the upload shows the values.
    equal(weights["blk.0.attn_q.weight"]["values"], [number(i, 0) / 4 for i in range(10)], "the repacked one")
    # Whole numbers: the products are exact.
    equal([r["proof"]["error"] for r in run.trace.gemms], [0] * 6, "proofs")
    equal([p["kv_dtype"] for p in run.trace.passes], ["f16,q8_fake"] * 3, "type of the cache")


@case
def a_missing_function_turns_the_ggml_probe_off(b):
    trace = b.fake("no_unravel").trace
    trace.check_whole(["ggml"])
    check("ggml_unravel_index" in trace.of("blind_spot")[0]["why"], "the function is not named")
    equal((trace.calls, trace.weights), ([], {}), "records")
    equal(positions_of(trace.passes), [[0, 1, 2, 3], [4], [5]], "positions")


@case
def a_type_at_another_place_turns_the_ggml_probe_off(b):
    trace = b.fake("moved_type").trace
    trace.check_whole(["ggml"])
    check("type" in trace.of("blind_spot")[0]["why"], "the reason is another one")
    equal((trace.calls, trace.weights), ([], {}), "records")


@case
def another_llama_batch_gives_no_passes(b):
    run = b.fake("batch_order")
    run.trace.check_whole(["llama_batch"])
    equal(run.trace.passes, [], "passes")
    check_fake_products(run, passes=False)
    equal({r["positions"] for r in run.trace.calls}, {"row"}, "positions")


@case
def a_longer_llama_batch_reaches_the_engine_whole(b):
    run = b.fake("batch_long")
    run.trace.check_whole()
    check_fake_products(run)


@case
def other_type_traits_leave_quantised_weights_unread(b):
    run = b.fake("traits")
    equal(run.trace.blind_spots(), ["q8_fake", "blk.0.attn_q.weight"], "blind spots")
    equal(dropped(run.trace), {"weight": 1}, "dropped records")
    equal(list(run.trace.weights), ["output.weight"], "weights")
    equal([r["weight"] for r in run.trace.gemms if "proof" in r], ["output.weight"] * 3, "proofs")
    check_fake_products(run)
