"""The formulas of the document, and records compared to what they give."""
import numpy as np

from report import same

CONSTANTS = {0x7FEB352D, 0x846CA68B, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B9,
             0x51ED2701A5F1C4B7, 0x9E3779B97F4A7C15}


def mix32(x):
    x = np.asarray(x, np.uint64) & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    x = x * np.uint64(0x7FEB352D) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(15)
    x = x * np.uint64(0x846CA68B) & np.uint64(0xFFFFFFFF)
    return x ^ x >> np.uint64(16)


def mix64(x):
    x = np.array(x, np.uint64)
    x ^= x >> np.uint64(30)
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x = x * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def feature_hash(count):
    return mix32(np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B9))


def feature_sign(count):
    return np.where(feature_hash(count) >> np.uint64(31), -1, 1).astype(np.float32)


def position_sign(positions):
    h = mix64(np.array(positions, np.uint64) + np.uint64(0x51ED2701A5F1C4B7))
    return np.where(h >> np.uint64(63), -1, 1).astype(np.float32)


def position_multiplier(positions):
    return mix64(np.array(positions, np.uint64) + np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


def lane_sums(values):
    """[rows, up to 1024] f32 -> [rows, 16]: one f32 accumulator for each n mod 16."""
    rows, cols = values.shape
    padded = np.zeros((rows, (cols + 15) // 16 * 16), np.float32)
    padded[:, :cols] = values
    sums = np.zeros((rows, 16), np.float32)
    for group in range(padded.shape[1] // 16):
        sums += padded[:, 16 * group:16 * group + 16]
    return sums


def in_order(doubles):
    """[rows, n] -> [rows]: added one after the other."""
    total = np.zeros(len(doubles))
    for column in range(doubles.shape[1]):
        total += doubles[:, column]
    return total


def is_spread(position):
    return position == 0 or (position > 0 and position & (position - 1) == 0)


class Reference:
    """The digest of a matrix, by the document."""

    def __init__(self, matrix, positions=None, signed=True):
        with np.errstate(all="ignore"):
            # A finite f64 beyond f32 counts as the largest f32.
            wide, largest = np.asarray(matrix), np.finfo(np.float32).max
            narrow = np.where(np.isfinite(wide), np.clip(wide, -largest, largest), wide)
            self.compute(narrow.astype(np.float32), positions, signed)

    def compute(self, y, positions, signed):
        self.rows, self.cols = y.shape
        if positions is None:
            positions = range(self.rows)
        bits = y.view(np.uint32).astype(np.uint64)
        self.nan = np.isnan(y).sum(axis=1)
        self.pos_inf = np.isposinf(y).sum(axis=1)
        self.neg_inf = np.isneginf(y).sum(axis=1)
        finite = np.isfinite(y)
        self.absmax = np.where(finite, abs(y), 0).max(axis=1)
        self.row_max = np.where(finite, y, -np.inf).max(axis=1)
        self.row_argmax = np.where(finite, y, -np.inf).argmax(axis=1)
        self.min = np.where(finite, y, np.inf).min()
        self.max = self.row_max.max()
        self.argmax = int(np.where(finite, y, -np.inf).argmax())
        inner = (bits * (feature_hash(self.cols) | np.uint64(1))).sum(axis=1, dtype=np.uint64)
        self.hash = int((inner * position_multiplier(positions)).sum(dtype=np.uint64))
        y = np.where(finite, y, np.float32(0))
        ones = np.ones(self.rows, np.float32)
        row_sign = position_sign(positions) if signed else ones
        column_sign = feature_sign(self.cols)
        self.row_energy, self.row_sum = np.zeros(self.rows), np.zeros(self.rows)
        self.row_sketch = np.zeros((self.rows, 16))
        self.energy = self.sum = 0.0
        self.mixed = np.zeros(16)
        for first in range(0, self.cols, 1024):
            tile = y[:, first:first + 1024]
            signs = column_sign[first:first + 1024]
            energy = in_order(lane_sums(tile * tile).astype(np.float64))
            total = in_order(lane_sums(tile).astype(np.float64))
            for row in np.flatnonzero(~(np.isfinite(energy) & np.isfinite(total))):
                wide = tile[row].astype(np.float64)  # squares of garbage leave the range of f32
                energy[row], total[row] = (wide * wide).sum(), wide.sum()
            self.row_energy += energy
            self.row_sum += total
            for row in range(self.rows):
                self.energy += energy[row]
                self.sum += total[row]
            self.row_sketch += lane_sums(tile * signs)
            for block in range(0, self.rows, 1024):
                columns = np.zeros((1, tile.shape[1]), np.float32)
                for row in range(block, min(block + 1024, self.rows)):
                    columns += row_sign[row] * tile[row]
                self.mixed += lane_sums(columns * signs)[0]


def as_written(total):
    """Sums have seven digits; beyond the range of f32 they stay doubles, compared to as many."""
    with np.errstate(over="ignore"):
        narrow = np.float32(total)
    return narrow if np.isfinite(narrow) else float(f"{total:.6e}")


def compare_row(name, got, reference, row, with_max=True):
    f32 = np.float32
    same(f"{name} energy", as_written(got["energy"]), as_written(reference.row_energy[row]))
    same(f"{name} sum", as_written(got["sum"]), as_written(reference.row_sum[row]))
    same(f"{name} absmax", f32(got["absmax"]), reference.absmax[row])
    same(f"{name} sketch", np.array(got["sketch"], f32), reference.row_sketch[row].astype(f32))
    if with_max and np.isfinite(reference.row_max[row]):
        same(f"{name} max", f32(got["max"]), reference.row_max[row])
        same(f"{name} argmax", got["argmax"], reference.row_argmax[row])
    else:
        same(f"{name} max", got.get("max", "absent"), "absent")


def compare_side(name, got, reference, extremes):
    f32 = np.float32
    same(f"{name} rows, cols", [got["rows"], got["cols"]], [reference.rows, reference.cols])
    same(f"{name} energy", as_written(got["energy"]), as_written(reference.energy))
    same(f"{name} sum", as_written(got["sum"]), as_written(reference.sum))
    same(f"{name} mean", f32(got["mean"]), f32(reference.sum / (reference.rows * reference.cols)))
    same(f"{name} absmax", f32(got["absmax"]), reference.absmax.max())
    same(f"{name} mixed", np.array(got["mixed"], f32), reference.mixed.astype(f32))
    for kind in ("nan", "pos_inf", "neg_inf"):
        same(f"{name} {kind}", got.get(kind, 0), getattr(reference, kind).sum())
    if extremes:
        same(f"{name} min, max", [f32(got["min"]), f32(got["max"])], [reference.min, reference.max])
        same(f"{name} argmax", got["argmax"], reference.argmax)
        same(f"{name} hash", got["hash"], f"{reference.hash:016x}")
    if reference.rows > 1:
        compare_row(f"{name} last_row", got["last_row"], reference, reference.rows - 1, extremes)


def compare_weight(name, got, matrix):
    f32 = np.float32
    reference = Reference(matrix, signed=False)
    same(f"{name} energy", f32(got["energy"]), f32(reference.energy))
    same(f"{name} sum", f32(got["sum"]), f32(reference.sum))
    same(f"{name} sketch", np.array(got["sketch"], f32), reference.mixed.astype(f32))
    same(f"{name} hash", got["hash"], f"{reference.hash:016x}")
    spread = [r for r in range(len(matrix) - 1) if is_spread(r)][:7] + [len(matrix) - 1]
    same(f"{name} rows", [r["row"] for r in got["row_digests"]], spread)
    for row in got["row_digests"]:
        compare_row(f"{name} row {row['row']}", row, reference, row["row"])


def compare_call(name, records, arrays, call=0):
    """One gemm of a trace with the matrices that the program saved."""
    lines = [r for r in records if r.get("call") == call]
    gemm = next(r for r in lines if r["kind"] == "gemm")
    rows = [r for r in lines if r["kind"] == "row"]
    x, w, y = arrays["x"], arrays["w"], arrays["y"]
    of_x, of_y = Reference(x), Reference(y)
    compare_side(f"{name} x", gemm["x"], of_x, extremes=False)
    compare_side(f"{name} y", gemm["y"], of_y, extremes=True)
    spread = [r for r in range(len(y) - 1) if is_spread(r)][:15]
    if records[0]["config"]["rows"] == "all":
        spread = list(range(len(y) - 1))
    same(f"{name} selected rows", [r["token_idx"] for r in rows], spread)
    for row in rows:
        at = row["token_idx"]
        compare_row(f"{name} row {at} x", row["x"], of_x, at, with_max=False)
        compare_row(f"{name} row {at} y", row["y"], of_y, at)
        compare_values(f"{name} row {at} values", row, y[at])
    compare_values(f"{name} values", gemm, y[-1])
    weight = next(r for r in records if r["kind"] == "weight" and r["weight"] == gemm["weight"])
    compare_weight(f"{name} weight", weight, w)


def compare_values(name, record, row):
    """Read as doubles and narrowed, as most readers do."""
    got = np.array([np.nan if v is None else v for v in record["values"]]).astype(row.dtype)
    same(name, str(got), str(np.where(np.isfinite(row), row, np.nan)[:len(got)]))
    bits = np.dtype(f"u{row.itemsize}")
    finite = np.isfinite(got)
    same(f"{name}, bits", got[finite].view(bits), row[:len(got)][finite].view(bits))
