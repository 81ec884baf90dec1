"""Proofs by the formulas of the document, in the order of additions that it states."""
import numpy as np

from reference import Reference, feature_sign, in_order, is_spread, lane_sums, position_sign
from report import same


def narrow(matrix):
    with np.errstate(over="ignore"):
        return np.asarray(matrix).astype(np.float32)


def probes(w):
    """[16, inputs], the first four folded."""
    signs, total = feature_sign(len(w)), np.zeros((16, w.shape[1]), np.float32)
    for block in range(0, len(w), 1024):
        sums = np.zeros_like(total)
        for first in range(block, min(block + 1024, len(w)), 16):
            rows = w[first:first + 16]
            sums[:len(rows)] += signs[first:first + 16, None][:len(rows)] * rows
        total += sums
    total[:4] += (total[4:8] + total[8:12]) + total[12:16]
    return total


class Expected:
    """What the rows of x give with the probes of W: for all rows together, and for each."""

    def __init__(self, x, w):
        self.rows, self.count = len(x), 4 if len(x) < 16 else 16
        p = probes(narrow(w))[:self.count]
        x = narrow(x)
        row_sign = position_sign(range(self.rows))
        self.mixed = np.zeros(self.count)
        self.row = np.zeros((self.rows, self.count))
        for first in range(0, x.shape[1], 1024):
            part = p[:, first:first + 1024]
            tile = x[:, first:first + 1024]
            for block in range(0, self.rows, 1024):
                columns = np.zeros(tile.shape[1], np.float32)
                for row in range(block, min(block + 1024, self.rows)):
                    columns += row_sign[row] * tile[row]
                self.add(self.mixed, columns, part)
            for row in range(self.rows):
                self.add(self.row[row], tile[row], part)
        if self.rows == 1:
            self.row[0] = row_sign[0] * self.mixed
        if self.count == 16:
            for sums in (self.mixed, *self.row):
                sums[:4] -= (sums[4:8] + sums[8:12]) + sums[12:16]

    @staticmethod
    def add(to, values, part):
        lanes = lane_sums(part * values)
        for lane in range(16):
            to += lanes[:, lane]


def fold(sketch, count):
    return in_order(np.asarray(sketch, np.float32).astype(float).reshape(-1, count).T)


def relative(size, energy, expected):
    norm = np.sqrt(energy if energy > 0 else in_order((expected * expected)[None])[0])
    return size / norm if norm > 0 else 0.0


def compare_proof(name, gemm, x, w, y, alpha=1.0, every_row=False):
    """`every_row`: the trace was made with ORCH_TRACE_ROWS=all."""
    expected, of_y, got = Expected(x, w), Reference(y), gemm["proof"]
    right = alpha * expected.mixed
    residual = fold(of_y.mixed, expected.count) - right
    size = np.sqrt(in_order((residual * residual)[None])[0])
    error = relative(size, of_y.energy, right)
    same(f"{name} proof error", np.float32(got["error"]), np.float32(error))
    last = len(y) - 1
    selected = [] if every_row else [r for r in range(last) if is_spread(r)][:15]
    worst = -1.0
    for row in [*selected, last]:
        right = alpha * expected.row[row]
        sizes = abs(fold(of_y.row_sketch[row], expected.count) - right)
        largest = relative(sizes.max(), of_y.row_energy[row], right)
        if largest > worst:
            worst, where = largest, [row, int(sizes.argmax())]
    same(f"{name} proof worst", np.float32(got["worst"]), np.float32(worst))
    same(f"{name} proof row and probe", [got["token_idx"], got["probe"]], where)
    if error < 1e-5:
        same(f"{name} proof residual", "residual" in got, False)
    else:
        same(f"{name} proof residual", np.array(got["residual"], np.float32), residual.astype(np.float32))
