"""Copies."""
import numpy as np
from calls_bench import Reference, case, check_counts, equal, ledger_of


@case
def copies_are_records(bench):
    said, records = bench.run("copies_to_the_host")
    copies = [r for r in records if r["kind"] == "copy"]
    equal([r["op"] for r in copies], said["copies"], "functions")
    reference = Reference(np.array([said["copied"]], np.float32))
    for copy in copies:
        equal(copy["y"]["hash"], f"{reference.hash:016x}", f"{copy['op']}: hash")
        equal(copy["bytes"], 800, f"{copy['op']}: bytes")
        equal(copy["values"], said["copied"][:10], f"{copy['op']}: values")
    check_counts(ledger_of(records))
