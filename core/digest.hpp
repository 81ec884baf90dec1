// Digest of a [rows x features] buffer: a fixed size, whatever the number of rows, and blind to
// none of them. One definition for the CPU and the device; docs/FORMAT.md ("Sketches") states the
// maths.
//
//   sketch of a row   s[j] = sum over features n = j mod 16 of sign(n) * y(n)
//   mixed sketch      m    = sum over rows of sign(position) * sketch(row)
//
// The mixed sketch is linear in the rows: chunks of a prefill add up to the sketch of the whole.
// Values that are not finite count as zero in every sum and are counted apart.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/matrix.hpp"

namespace orch {

inline constexpr int sketch_size = 16;
inline constexpr int max_selected_rows = 16;

using Sketch = std::array<float, sketch_size>;

/// P = Wᵀ R of a weight W, where y R is the sketch of a row y: for a right product y = x Wᵀ, x P is
/// the sketch of y. Sixteen rows over the inputs; the first four are the sums of the rows 0, 4, 8,
/// 12 and so on, so that a call of few rows has to read only these.
struct Probes {
    const float* data = nullptr;  ///< rows of probe_stride(inputs) floats, padded with zeros
    std::int64_t outputs = 0;
    std::int64_t inputs = 0;
};

constexpr std::int64_t probe_stride(std::int64_t inputs) {
    return (inputs + sketch_size - 1) / sketch_size * sketch_size;
}

/// Below this many rows a product is checked with the four folded probes: in a decode step all of P
/// would be as much memory to read as several percent of a quantised weight.
inline constexpr std::int64_t rows_for_all_probes = 16;
inline constexpr int folded_probes = 4;

constexpr int probe_count(std::int64_t rows) {
    return rows < rows_for_all_probes ? folded_probes : sketch_size;
}

/// The rows of a digest, multiplied by a weight's probes. Of each result the first
/// probe_count(rows) numbers count.
struct Projection {
    using Row = std::array<double, sketch_size>;

    Probes probes;               ///< of as many inputs as the matrix has columns
    Projection* next = nullptr;  ///< of another weight that the same rows are multiplied by
    Row mixed;                   ///< of the sum of all rows with their signs
    std::array<Row, max_selected_rows> row;
};

/// Where a digest of a weight leaves its probes.
struct ProbeOutput {
    static constexpr std::size_t workspace_floats = sketch_size * 1024;
    float* probes = nullptr;     ///< 16 * probe_stride(cols)
    float* workspace = nullptr;  ///< workspace_floats zeros, which are zeros again afterwards
};

struct Nonfinite {
    std::uint64_t nan = 0;
    std::uint64_t pos_inf = 0;
    std::uint64_t neg_inf = 0;

    bool any() const { return (nan | pos_inf | neg_inf) != 0; }
};

struct RowDigest {
    std::int64_t row = 0;
    std::int64_t position = 0;
    double energy = 0;  ///< sum of squares
    double sum = 0;
    float absmax = 0;
    float max = 0;
    std::int64_t argmax = -1;  ///< lowest index of the largest finite value
    Nonfinite nonfinite;
    Sketch sketch{};
};

struct Digest {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    double energy = 0;
    double sum = 0;
    float min = 0;
    float max = 0;
    float absmax = 0;
    std::int64_t argmax = -1;   ///< flat index, row-major, of the largest finite value
    std::uint64_t hash = 0;     ///< order-free; equal bits at equal positions give equal hashes
    bool has_extremes = false;  ///< min, max, argmax and hash were asked for
    Nonfinite nonfinite;
    Sketch mixed{};
    int selected = 0;
    std::array<RowDigest, max_selected_rows> row{};
};

struct DigestRequest {
    Positions positions;
    int selected_rows = max_selected_rows;  ///< at most; 1 = the last row alone
    bool sign_rows = true;  ///< false: all signs +, the row sum that identifies a weight
    bool extremes = true;   ///< min, max, argmax and hash; an input operand does without
    Projection* projections = nullptr;  ///< results for these, too
    ProbeOutput probes;                 ///< wanted of a weight, if it has memory
};

/// Never allocates, locks or throws; needs about 30 KiB of stack.
void digest(const MatrixView& matrix, const DigestRequest& request, Digest& out) noexcept;

/// Copies the first `count` values of a row as f32. Block types are decoded.
void copy_row_f32(const MatrixView& matrix, std::int64_t row, std::int64_t first,
                  std::int64_t count, float* out) noexcept;

/// Positions 0, 1, 2, 4, 8, ...: a spread that is the same in every engine and needs no length. The
/// last row of a call is selected too, whatever its position.
bool in_spread(std::int64_t position) noexcept;

/// The instruction set that the digest runs with here: "avx512", "avx2" or "baseline".
const char* digest_isa() noexcept;

}  // namespace orch
