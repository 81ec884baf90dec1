"""Weights behind lists of pointers have the id of what they are; activations have none."""
import numpy as np
from calls_bench import Reference, case, check, check_counts, equal, expect_products, ledger_of


def run(bench, script):
    """(products with what they were multiplied by, weight records by id, all records)"""
    said, records = bench.run(script)
    records.sort(key=lambda r: r.get("call", -1))  # of one order, whatever thread wrote them
    expect_products(said, records)
    check_counts(ledger_of(records))
    equal([r for r in records if r["kind"] == "blind_spot"], [], "blind spots")
    weights = [r for r in records if r["kind"] == "weight"]
    by_id = {r["weight"]: r for r in weights}
    equal(len(by_id), len(weights), "weight records of one id")
    products = list(zip((r for r in records if r["kind"] == "gemm"), said["products"]))
    for gemm, wanted in products:
        if "weight" in gemm:
            record = Reference(np.array(wanted["content"], np.float32), signed=False)
            equal(by_id[gemm["weight"]]["hash"], f"{record.hash:016x}", f"{gemm['checkpoint']}: weight")
        if "proof" in gemm:
            check("weight" in gemm and gemm["proof"]["error"] < 1e-6, f"{gemm['checkpoint']}: {gemm['proof']}")
    return products, by_id, records


def ids_from(products, first):
    return [gemm.get("weight") for gemm, _ in products[first:]]


@case
def what_stays_behind_a_list_is_a_weight_from_the_third_call(bench):
    products, weights, _ = run(bench, "constant_lists")
    equal(ids_from(products, 0)[:4], [None] * 4, "ids of the first two calls")
    ids = ids_from(products, 4)
    equal(ids, ids[:2] * 3, "ids of the others")
    equal((len(set(ids)), len(weights)), (2, 2), "weights")
    check(all("proof" in gemm for gemm, _ in products[4:]), "what stays can be proved")


@case
def experts_in_any_order_keep_their_ids(bench):
    products, weights, _ = run(bench, "permuted_experts")
    equal(len(weights), 4, "weights")
    late = ids_from(products, 30)
    check(None not in late, f"an expert has no id after 15 calls: {late}")
    proved = sum("proof" in gemm for gemm, _ in products)
    check(0 < proved < len(products), f"{proved} of {len(products)} products are proved")


@case
def a_weight_has_one_id_by_list_and_by_address(bench):
    products, weights, _ = run(bench, "a_weight_by_list_and_by_address")
    equal(len(weights), 2, "weights")
    direct = [gemm["weight"] for gemm, wanted in products if not wanted.get("listed")]
    equal(direct, [direct[0], direct[1], direct[0]], "ids by address")
    equal(ids_from(products, 11), [direct[1], direct[0]], "ids behind the list")
    equal(products[2][0].get("weight"), direct[0], "known by its address, behind the list at once")


@case
def activations_behind_lists_have_no_id(bench):
    products, weights, records = run(bench, "activations_behind_lists")
    equal((len(weights), set(ids_from(products, 0))), (0, {None}), "weights")
    equal(ledger_of(records)["classes"]["weight"]["seen"], 0, "digests that were asked for")
    equal(sum(r["kind"] == "row" for r in records), 0, "rows of products without a weight")


@case
def activations_that_stay_a_while_are_bounded(bench):
    _, weights, _ = run(bench, "activations_that_stay_for_some_calls")
    # 120 contents, each shown by four calls; no more than 64 of a shape are asked for.
    check(0 < len(weights) <= 64, f"{len(weights)} records of activations")


@case
def what_shows_strangers_alone_is_left_alone(bench):
    products, weights, _ = run(bench, "strangers_and_then_a_weight")
    equal((len(weights), set(ids_from(products, 0))), (0, {None}), "weights")


@case
def both_versions_know_the_same_weights(bench):
    products, weights, _ = run(bench, "lists_of_two_versions")
    equal(len(weights), 2, "weights")
    ids = ids_from(products, 4)
    equal(ids, ids[:2] * 3, "ids")


@case
def a_captured_list_is_read_when_it_runs(bench):
    products, weights, _ = run(bench, "captured_lists")
    equal(len(weights), 2, "weights")
    ids = ids_from(products, 4)
    equal(ids, [ids[0], ids[1], ids[0], ids[1], ids[1], ids[0], ids[1], ids[1]], "ids of one call and of three replays")
