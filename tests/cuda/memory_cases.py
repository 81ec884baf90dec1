"""What is known of a weight ends with its memory."""
from collections import defaultdict

from calls_bench import case, check, check_counts, equal, expect_products, ledger_of


def gemms_of(records):
    return [r for r in records if r["kind"] == "gemm"]


def check_weights(records):
    """Each weight that a product names has one record."""
    written = [r["weight"] for r in records if r["kind"] == "weight"]
    equal(len(written), len(set(written)), "weight records with an id of their own")
    named = {g["weight"] for g in gemms_of(records) if "weight" in g}
    equal(named - set(written), set(), "weights without a record")


@case
def models_that_come_and_go_are_each_known(bench):
    said, records = bench.run("models_that_come_and_go", FAKE_CUDA_PROTECT="1")
    expect_products(said, records)
    check_weights(records)
    check_counts(ledger_of(records))
    ids = defaultdict(set)
    for gemm, product in zip(gemms_of(records), said["products"]):
        ids[product["free"], product["model"]].add(gemm.get("weight"))
        check("proof" in gemm and gemm["proof"]["error"] < 1e-6, f"{product['free']}: {gemm.get('proof')}")
    equal(sorted({free for free, _ in ids}), ["cuMemFreeAsync", "cuMemFreeAsync_ptsz", "cuMemFree_v2", "cuMemUnmap",
                                              "cudaFree", "cudaFreeAsync", "cudaFreeAsync_ptsz"], "functions")
    for key, found in ids.items():
        check(len(found) == 1 and None not in found, f"{key}: ids {found}")
    equal(len({next(iter(found)) for found in ids.values()}), len(ids), "different weights")
    # Each is asked for once in each of its lives; of the one that comes again the record is there.
    counts = ledger_of(records)["classes"]["weight"]
    lives = 7 * 7
    equal((counts["seen"], counts["recorded"], counts["filtered"]), (lives, len(ids), lives - len(ids)), "digests of weights")


@case
def temporaries_are_given_up(bench):
    said, records = bench.run("temporaries", FAKE_CUDA_PROTECT="1")
    gemms = gemms_of(records)
    equal(len(gemms), len(said["products"]), "products")
    named = ["weight" in g for g in gemms]
    equal(named, [True] * 16 + [False] * (len(gemms) - 16), "products with a weight")
    check_weights(records)
    check_counts(ledger_of(records))


@case
def a_reset_takes_the_probes_along(bench):
    said, records = bench.run("a_model_after_a_reset", FAKE_CUDA_PROTECT="1")
    check(said["same_address"], "the allocator gave another address")
    expect_products(said, records)
    check_weights(records)
    check_counts(ledger_of(records))


@case
def wrong_frees_fail_as_without_us(bench):
    plain, _ = bench.run("frees_with_wrong_arguments", traced=False)
    traced, records = bench.run("frees_with_wrong_arguments")
    equal(traced["said"], plain["said"], "errors")
    expect_products(traced, records)
    equal(len({g["weight"] for g in gemms_of(records)}), 1, "weights")
    check_weights(records)
    check_counts(ledger_of(records))
