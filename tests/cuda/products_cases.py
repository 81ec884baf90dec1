"""What was multiplied is what the trace says."""
from calls_bench import case, check, check_counts, equal, expect_products, ledger_of, simple

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


@case
def the_arithmetic_is_what_the_handle_and_the_call_allow(bench):
    for forbidden in ({}, {"NVIDIA_TF32_OVERRIDE": "0"}):
        said, records = bench.run("arithmetics", **forbidden)
        expect_products(said, records)
        check_counts(ledger_of(records))
        # A getter costs little; where it decides nothing it is not called at all.
        asked = sum(e["call"] == "cublasGetMathMode" for e in bench.journal)
        equal(asked, said["asked"], "calls of cublasGetMathMode")


@case
def a_workspace_is_noted_once_by_its_size(bench):
    said, records = bench.run("workspaces")
    expect_products(said, records)
    notes = [r for r in records if r["kind"] == "setting"]
    equal([(r["op"], r["bytes"]) for r in notes], [("cublasSetWorkspace_v2", size) for size in (1 << 16, 1 << 12, 0)],
          "settings")
