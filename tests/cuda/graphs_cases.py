"""Graphs that come and go: every replay has its records, and what is gone leaves its place to others."""
from collections import Counter

from calls_bench import case, check, check_counts, equal, expect_products, ledger_of, simple

for name in ("more_graphs_than_are_kept", "graphs_that_are_updated", "graphs_that_are_forgotten"):
    simple(name)


def replays_of(records):
    return Counter((r["graph"], r["replay"]) for r in records if "graph" in r)


@case
def a_place_that_is_used_again_counts_from_zero(bench):
    _, records = bench.run("more_graphs_than_are_kept")
    wanted = {(i, replay): 40 for i in range(0, 1100, 100) for replay in range(1 + i // 100 % 3)}
    equal(replays_of(records), Counter(wanted), "replays")


@case
def a_launch_that_fails_has_no_records(bench):
    said, records = bench.run("launches_that_fail", FAKE_CUDA_FAIL="cudaGraphLaunch:2")
    equal([status == 0 for status in said["said"]], [True, False, True, True], "launches")
    expect_products(said, records)
    check_counts(ledger_of(records))
    equal(replays_of(records), Counter({(0, 0): 2, (0, 1): 2, (0, 2): 2}), "replays")


@case
def nodes_in_several_graphs_are_counted_when_they_run(bench):
    said, records = bench.run("clones_and_children")
    expect_products(said, records)
    check_counts(ledger_of(records))
    equal(sorted(replays_of(records).items()), [((0, replay), 2) for replay in range(4)], "replays")
    check("graph" in {r["what"] for r in records if r["kind"] == "blind_spot"}, "nothing says what is not known of them")
