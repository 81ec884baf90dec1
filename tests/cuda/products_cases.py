"""What was multiplied is what the trace says."""
from calls_bench import case, check, equal, ledger_of, simple

for name in ("gemm_forms", "gemm_types", "batches", "vectors", "scalars_in_device_memory", "lt_in_columns",
             "lt_with_a_bias_is_no_bare_product", "nested_lt_is_part_of_cublas"):
    simple(name)


@case
def what_cannot_be_digested_is_counted(bench):
    _, records = bench.run("what_cannot_be_digested")
    counts = ledger_of(records)["classes"]["gemm"]
    equal(counts["recorded"], 0, "records")
    equal(counts["seen"], counts["filtered"] + counts["dropped"], "ledger")
    check(counts["seen"] >= 1, f"nothing was seen: {counts}")
