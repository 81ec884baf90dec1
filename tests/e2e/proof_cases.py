"""Right products of real engines are proven, each to the precision of its types."""
from support import LAYERS, PRODUCTS, Skipped, case, check, equal

# What rounding may do. f16 and quantised weights: ggml rounds x to f16 and to blocks of 8 bits.
LIMITS = {"tiny": 1e-6, "f16": 1e-3, "q8_0": 4e-2, "q4_0": 4e-2}
LEAST = {"tiny": 0, "f16": 1e-5, "q8_0": 1e-4, "q4_0": 1e-4}


def check_errors(gemms, least, limit, what):
    errors = [g["proof"]["error"] for g in gemms]
    check(max(errors) < limit, f"{what}: an error of {max(errors):.2g}")
    check(max(g["proof"]["worst"] for g in gemms) < limit, f"{what}: the worst row")
    check(min(errors) >= least, f"{what}: an error of {min(errors):.2g} is too good to be true")


@case
def every_product_of_llama_is_proven(b):
    missing = []
    for model, limit in LIMITS.items():
        try:
            trace = b.llama(model=model).trace
        except Skipped as why:
            missing.append(why)
            continue
        equal(len(trace.gemms), 4 * PRODUCTS, "products")
        equal([g["checkpoint"] for g in trace.gemms if "proof" not in g], [], "products without a proof")
        check_errors(trace.gemms, LEAST[model], limit, model)
        equal({p.get("kv_dtype") for p in trace.passes}, {"f16"}, "type of the cache")
    if missing:
        raise missing[0]


@case
def llama_products_read_by_callback_have_the_same_proof(b):
    marked = b.llama("--exact").trace
    by_callback = b.llama("--exact", ORCH_TRACE_CAPTURE="callback").trace
    check(any("capture" in g for g in by_callback.gemms), "nothing was read by callback")
    of = lambda trace: {(g["pass"], g["checkpoint"]): g["proof"]["error"] for g in trace.gemms}
    equal(of(by_callback).keys(), of(marked).keys(), "products")
    check(max(of(by_callback).values()) < LIMITS["tiny"], "an error")


@case
def every_product_of_pytorch_with_a_weight_is_proven(b):
    trace = b.torch().trace
    seen = {}
    for g in trace.gemms:
        seen.setdefault(g["weight"], []).append(g)
    weights = [gemms for gemms in seen.values() if len(gemms) == 4]
    equal(len(weights), 7 * LAYERS + 1, "weights that were used in all passes")
    for gemms in weights:
        equal(["proof" in g for g in gemms], [True] * 4, f"proofs of {gemms[0]['weight']}")
        check_errors(gemms, 0, 1e-6, gemms[0]["weight"])
