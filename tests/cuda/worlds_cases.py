"""Contents, threads, versions, contexts and processes that come and go."""
from collections import Counter

from calls_bench import case, check, check_counts, equal, ledger_of, simple

for name in ("two_major_versions", "a_context_that_ends", "forks_after_cuda"):
    simple(name)


@case
def other_content_at_an_address_is_another_weight(bench):
    _, records = bench.run("contents_that_change")
    gemms = [r for r in records if r["kind"] == "gemm"]
    ids = [g["weight"] for g in gemms]
    equal((ids[0] == ids[1], ids[2] == ids[3], ids[4] == ids[5], len(set(ids))), (True, True, True, 3), f"weights {ids}")
    proofs = [g["proof"]["error"] for g in gemms if "proof" in g]
    check(proofs and max(proofs) < 1e-6, f"a product is checked with probes of another weight: {proofs}")
    check_counts(ledger_of(records))


@case
def threads_that_begin_at_once_lose_nothing(bench):
    for _ in range(3):
        said, records = bench.run("many_threads")
        gemms = [r for r in records if r["kind"] == "gemm"]
        sums = Counter(float(g["y"]["sum"]) for g in gemms)
        expected = Counter()
        for total in said["sums"]:
            expected[total] += said["each"]
        equal(sums, expected, "sums of the products")
        equal(len({g["weight"] for g in gemms}), len(said["sums"]), "weights")
        equal(len({g["call"] for g in gemms}), len(gemms), "numbers of calls")
        check_counts(ledger_of(records))


@case
def a_lost_context_is_reported(bench):
    plain, _ = bench.run("gemm_forms", traced=False)
    # Ours is the call that meets it: the child asserts that all of its own succeed, and reads nothing back.
    for call in ("cuLaunchKernel:1", "cuLaunchKernel:3"):
        said, records = bench.run("gemm_forms", FAKE_CUDA_FAIL=call)
        equal(said, plain, "what the engine did")
        counts = ledger_of(records)["classes"]
        check(counts["gemm"]["dropped"] + counts["weight"]["dropped"] >= 1, f"{call}: nothing was dropped: {counts}")
        equal(counts["gemm"]["seen"], 4, f"{call}: products seen")
