"""Every product in its normal form, against the matrices that the engine printed."""
import json
import math
import struct

from support import case, check, equal


def matrix_element(flat, row_major, ld, i, j):
    return flat[i * ld + j if row_major else j * ld + i]


def normal_form(call):
    """x, W and y as tokens x features, from what BLAS's documentation says of the arguments."""
    row = bool(call["row"])
    if "incx" in call:
        ta = bool(call["ta"])
        out, inner = (call["n"], call["m"]) if ta else (call["m"], call["n"])
        vector = lambda v, n, inc: [v[(i if inc > 0 else i - n + 1) * inc] for i in range(n)]
        a = lambda i, j: matrix_element(call["a"], row, call["lda"], i, j)
        return ([vector(call["x"], inner, call["incx"])],
                [[a(j, i) if ta else a(i, j) for j in range(inner)] for i in range(out)],
                [vector(call["y"], out, call["incy"])])
    m, n, k = call["m"], call["n"], call["k"]

    def op(name, transposed, i, j):
        return matrix_element(call[name], row, call["ld" + name], *((j, i) if transposed else (i, j)))
    a = [[op("a", call["ta"], i, j) for j in range(k)] for i in range(m)]
    b = [[op("b", call["tb"], i, j) for j in range(n)] for i in range(k)]
    c = [[op("c", False, i, j) for j in range(n)] for i in range(m)]
    turn = lambda rows, count: [[r[j] for r in rows] for j in range(count)]
    return (a, turn(b, n), c) if row else (turn(b, n), a, turn(c, n))


def near(found, expected, what):
    check(math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-6), f"{what}: {found} instead of {expected}")


def check_matrix(found, rows, what):
    flat = [v for row in rows for v in row]
    near(found["energy"], sum(v * v for v in flat), f"{what} energy")
    near(found["sum"], sum(flat), f"{what} sum")
    near(found["absmax"], max(abs(v) for v in flat), f"{what} absmax")
    if "min" in found:
        near(found["min"], min(flat), f"{what} min")
        near(found["max"], max(flat), f"{what} max")


def check_values(found, row, dtype, what):
    wide = (lambda v: struct.unpack("f", struct.pack("f", v))[0]) if dtype != "f64" else float
    equal([wide(v) for v in found], [wide(v) for v in row[:10]], what)


def check_normal_forms(b, app):
    found = b.compare([app])[0]
    calls = [json.loads(line) for line in b.last.stdout.splitlines()]
    recorded = [c for c in calls if c["m"] and c["n"] and c.get("k", 1)]
    equal(len(found.gemms), len(recorded), "gemm records")
    equal(found.check_ledger()["classes"]["gemm"]["seen"], len(calls), "products seen")
    weights = {w["weight"]: w for w in found.of("weight")}
    rows = {}
    for line in found.of("row"):
        rows.setdefault(line["call"], {})[line["token_idx"]] = line
    for call, gemm in zip(recorded, found.gemms):
        what = " ".join(f"{k}={call[k]}" for k in call if k not in "abcxy")
        x, w, y = normal_form(call)
        out = "f64" if call["op"].replace("cblas_", "").startswith("d") else "f32"
        into = "bf16" if "sbgemm" in call["op"] else out
        equal(gemm["op"], call["op"], f"{what}: op")
        equal(gemm.get("batch_index"), call.get("batch"), f"{what}: batch index")
        equal((gemm["dtype"], gemm["x"]["dtype"], gemm["y"]["dtype"]), (out, into, out), f"{what}: types")
        equal((gemm["x"]["rows"], gemm["x"]["cols"]), (len(x), len(x[0])), f"{what}: x extent")
        equal((gemm["y"]["rows"], gemm["y"]["cols"]), (len(y), len(y[0])), f"{what}: y extent")
        equal(gemm["shape"], f"[{len(y)},{len(y[0])}]", f"{what}: shape")
        equal((gemm.get("alpha", 1), gemm.get("beta", 0)), (call["alpha"], call["beta"]), f"{what}: alpha, beta")
        check_matrix(gemm["x"], x, f"{what}: x")
        check_matrix(gemm["y"], y, f"{what}: y")
        check_values(gemm["values"], y[-1], out, f"{what}: last row")
        equal(gemm["token_idx"], len(y) - 1, f"{what}: token_idx")
        if len(y) > 1:
            near(gemm["x"]["last_row"]["sum"], sum(x[-1]), f"{what}: sum of x's last row")
        weight = weights[gemm["weight"]]
        equal((weight["shape"], weight["dtype"]), (f"[{len(w)},{len(w[0])}]", into), f"{what}: weight's shape")
        check_matrix(weight, w, f"{what}: weight")
        check_values(weight["values"], w[0], into, f"{what}: weight's first row")
        # All rows up to sixteen; of more, those at positions 0, 1, 2, 4, 8, ... and the last.
        for t in range(len(y) - 1):
            if t > 0 and t & (t - 1) != 0:
                continue
            line = rows[gemm["call"]][t]
            check_values(line["values"], y[t], out, f"{what}: row {t}")
            near(line["x"]["energy"], sum(v * v for v in x[t]), f"{what}: energy of x's row {t}")
            near(line["y"]["energy"], sum(v * v for v in y[t]), f"{what}: energy of y's row {t}")


@case
def every_product_of_OpenBLAS_is_brought_into_normal_form(b):
    check_normal_forms(b, "lc_normal")


@case
def batches_and_bf16_products_are_brought_into_normal_form(b):
    check_normal_forms(b, "lc_normal_rare")
