"""What left a GPU is what the trace says."""
import numpy as np
from calls_bench import Reference, case, check, check_counts, equal, ledger_of


def expect_copies(said, records, direction):
    copies = [r for r in records if r["kind"] == "copy"]
    equal([r["op"] for r in copies], [e["op"] for e in said["copies"]], "functions")
    for copy, wanted in zip(copies, said["copies"]):
        y = np.array(wanted["y"], np.float32)
        reference = Reference(y)
        what = f"{copy['op']} {copy['checkpoint']}"
        equal((copy["y"]["rows"], copy["y"]["cols"]), y.shape, f"{what}: shape")
        equal(copy["y"]["hash"], f"{reference.hash:016x}", f"{what}: hash")
        equal(np.array(copy["y"]["mixed"], np.float32).tolist(), reference.mixed.astype(np.float32).tolist(),
              f"{what}: mixed sketch")
        equal(copy["values"], y[-1].tolist()[:10], f"{what}: values")
        equal(copy["bytes"], y.nbytes, f"{what}: bytes")
        equal(copy["direction"], direction, f"{what}: direction")
        for key in ("from", "to"):
            equal(copy.get(key), wanted.get(key), f"{what}: {key}")
        equal(copy["device"], wanted.get("device", 0), f"{what}: device")


def blind_spots(records):
    return {r["what"] for r in records if r["kind"] == "blind_spot"}


@case
def copies_to_the_host_are_records(bench):
    said, records = bench.run("copies_to_the_host", FAKE_CUDA_PROTECT="1")
    expect_copies(said, records, "host")
    equal(len(said["copies"]), 92, "copies")
    check_counts(ledger_of(records))
    equal(blind_spots(records), set(), "blind spots")


@case
def other_copies_are_none(bench):
    _, records = bench.run("copies_that_are_not_recorded")
    # Nothing was looked at that would have begun a trace.
    equal(records, [], "records")


@case
def copies_of_no_floats_are_filtered(bench):
    said, records = bench.run("copies_of_no_floats")
    counts = ledger_of(records)["classes"]["copy"]
    equal((counts["seen"], counts["filtered"]), (said["calls"], said["calls"]), "filtered")
    check_counts(ledger_of(records))


@case
def copies_that_cannot_be_read_are_counted(bench):
    said, records = bench.run("copies_that_cannot_be_read")
    counts = ledger_of(records)["classes"]["copy"]
    total = said["boxes"] + said["rectangles"] + said["batched"]
    equal((counts["seen"], counts["dropped"]), (total, total), "dropped")
    equal(blind_spots(records),
          {"cudaMemcpy3D", "cudaMemcpy3D_ptds", "cudaMemcpy3DAsync", "cudaMemcpy3DAsync_ptsz", "cuMemcpy2D_v2",
           "cuMemcpy2D_v2_ptds", "cuMemcpy2DAsync_v2", "cuMemcpy2DAsync_v2_ptsz", "cudaMemcpyBatchAsync",
           "cudaMemcpyBatchAsync_ptsz", "cuMemcpyBatchAsync", "cuMemcpyBatchAsync_ptsz", "cuMemcpyBatchAsync_v2",
           "cuMemcpyBatchAsync_v2_ptsz"}, "blind spots")


@case
def copies_between_devices_are_read_where_they_may_be(bench):
    said, records = bench.run("copies_between_devices", FAKE_CUDA_DEVICES="2", FAKE_CUDA_PROTECT="1")
    expect_copies(said, records, "peer")
    counts = ledger_of(records)["classes"]["copy"]
    equal((counts["recorded"], counts["dropped"]), (len(said["copies"]), said["unreadable"]), "counts")
    equal(counts["seen"], len(said["copies"]) + said["unreadable"], "seen")
    equal(blind_spots(records), {"cudaMemcpy", "cudaMemcpy_ptds", "cudaMemcpyAsync", "cudaMemcpyAsync_ptsz"}, "blind spots")


@case
def wrong_copies_fail_as_without_us(bench):
    plain, _ = bench.run("copies_with_wrong_arguments", traced=False)
    traced, records = bench.run("copies_with_wrong_arguments")
    equal(traced["said"], plain["said"], "errors")
    check(len({error for _, error in plain["said"]}) > 3, f"few kinds of error: {plain['said']}")
    if records:
        check_counts(ledger_of(records))
