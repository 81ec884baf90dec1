#include "core/digest.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/digest_tile.hpp"
#include "core/half.hpp"
#include "core/hash.hpp"

namespace orch {

namespace {

constexpr std::uint32_t infinity_bits = 0x7f800000U;
/// The accumulator of the mixed sketch is f32; after this many rows it moves to double, so that a
/// weight of 150,000 rows keeps seven digits.
constexpr std::int64_t rows_per_flush = 1024;
/// Below this, 1024 rows cannot add up to more than an f32 holds.
constexpr float overflow_possible = 1e35F;
static_assert(ProbeOutput::workspace_floats == sketch_size * tile_cols);

/// Hashes of features [0, 2^18), filled tile by tile when first needed. A thread that comes while
/// another fills a tile, or asks beyond the table, computes its own.
constexpr std::int64_t cached_tiles = 256;
enum TileState : std::uint8_t { empty, filling, ready };
constinit std::uint32_t hash_cache[cached_tiles * tile_cols] = {};
constinit std::atomic<std::uint8_t> hash_tile_state[cached_tiles] = {};

const std::uint32_t* feature_hashes(std::int64_t tile, std::uint32_t* local) noexcept {
    std::uint32_t* target = local;
    if (tile < cached_tiles) {
        std::uint32_t* cached = hash_cache + tile * tile_cols;
        std::atomic<std::uint8_t>& state = hash_tile_state[tile];
        std::uint8_t seen = state.load(std::memory_order_acquire);
        if (seen == ready) return cached;
        if (seen == empty && state.compare_exchange_strong(seen, filling)) target = cached;
    }
    const auto first = static_cast<std::uint32_t>(tile * tile_cols);
    for (std::uint32_t i = 0; i < tile_cols; ++i)
        target[i] = feature_hash(first + i);
    if (target != local) hash_tile_state[tile].store(ready, std::memory_order_release);
    return target;
}

float element_f32(const MatrixView& m, std::int64_t row, std::int64_t col) noexcept {
    const auto* base =
        static_cast<const char*>(m.data) + (row * m.row_stride + col * m.col_stride) *
                                               static_cast<std::int64_t>(element_size(m.dtype));
    switch (m.dtype) {
        case DType::f32: {
            float v;
            std::memcpy(&v, base, sizeof v);
            return v;
        }
        case DType::f64: {
            double v;
            std::memcpy(&v, base, sizeof v);
            // A finite double beyond f32 stays finite: it is large, not infinite.
            constexpr double largest = std::numeric_limits<float>::max();
            return static_cast<float>(std::isfinite(v) ? std::clamp(v, -largest, largest) : v);
        }
        case DType::f16:
        case DType::bf16: {
            std::uint16_t v;
            std::memcpy(&v, base, sizeof v);
            return m.dtype == DType::f16 ? f16_to_f32(v) : bf16_to_f32(v);
        }
        case DType::block:
            break;
    }
    return 0;
}

/// Rows that the kernels can read where they lie.
bool is_direct(const MatrixView& m) noexcept {
    return m.col_stride == 1 &&
           (m.dtype == DType::f32 || m.dtype == DType::f16 || m.dtype == DType::bf16);
}

bool is_half(DType type) noexcept {
    return type == DType::f16 || type == DType::bf16;
}

void count_nonfinite(const float* values, int count, Nonfinite& out) noexcept {
    for (int i = 0; i < count; ++i) {
        const auto bits = std::bit_cast<std::uint32_t>(values[i]);
        const std::uint32_t magnitude = bits & 0x7fffffffU;
        if (magnitude < infinity_bits) continue;
        if (magnitude > infinity_bits) {
            ++out.nan;
        } else if ((bits >> 31) != 0) {
            ++out.neg_inf;
        } else {
            ++out.pos_inf;
        }
    }
}

/// Sums of a tile row in double: f32 squares overflow above 1.8e19, and uninitialised memory gets
/// there.
void sum_in_double(const float* values, int count, TileRow& row) noexcept {
    row.energy = 0;
    row.sum = 0;
    for (int i = 0; i < count; ++i) {
        if (!std::isfinite(values[i])) continue;
        row.energy += static_cast<double>(values[i]) * values[i];
        row.sum += values[i];
    }
}

struct SelectedRows {
    std::int64_t rows[max_selected_rows];
    int count = 0;

    SelectedRows(const MatrixView& m, const DigestRequest& request) noexcept {
        // The last row always has the last slot.
        for (std::int64_t r = 0; r + 1 < m.rows && count + 1 < request.selected_rows; ++r) {
            if (in_spread(request.positions[r])) rows[count++] = r;
        }
        rows[count++] = m.rows - 1;
    }
};

class Digester {
  public:
    Digester(const MatrixView& matrix, const DigestRequest& request, Digest& out) noexcept
        : m_(matrix), request_(request), out_(out), selected_(matrix, request) {}

    void run() noexcept {
        if (request_.projections != nullptr) begin_projections();
        if (request_.probes.probes != nullptr) clear_probes();
        out_.has_extremes = request_.extremes;
        out_.rows = m_.rows;
        out_.cols = m_.cols;
        for (int i = 0; i < selected_.count; ++i) {
            RowDigest& row = out_.row[static_cast<std::size_t>(i)];
            row.row = selected_.rows[i];
            row.position = request_.positions[row.row];
            row.max = -INFINITY;
        }
        out_.selected = selected_.count;
        min_ = INFINITY;
        max_ = -INFINITY;
        for (std::int64_t tile = 0; tile * tile_cols < m_.cols; ++tile)
            run_tile(tile);
        finish();
    }

  private:
    void run_tile(std::int64_t tile) noexcept {
        const std::int64_t first_col = tile * tile_cols;
        const int cols = static_cast<int>(std::min<std::int64_t>(tile_cols, m_.cols - first_col));
        TileJob job;
        job.cols = cols;
        job.feature_hashes = feature_hashes(tile, local_hashes_);
        job.mixed = mixed_;
        int next_selected = 0;
        std::memset(mixed_, 0, sizeof mixed_);
        std::int64_t since_flush = 0;
        for (std::int64_t r = 0; r < m_.rows; r += tile_rows) {
            job.rows = static_cast<int>(std::min<std::int64_t>(tile_rows, m_.rows - r));
            for (int i = 0; i < job.rows; ++i) {
                job.row[i].data = tile_data(r + i, first_col, cols, i);
                job.row[i].sign =
                    request_.sign_rows ? position_sign(request_.positions[r + i]) : 1.0F;
            }
            run_kernel(job);
            if (request_.probes.probes != nullptr) add_to_probes(job, r);
            for (int i = 0; i < job.rows; ++i) {
                RowDigest* own = nullptr;
                if (next_selected < selected_.count && selected_.rows[next_selected] == r + i) {
                    own = &out_.row[static_cast<std::size_t>(next_selected)];
                    ++next_selected;
                }
                add_row(job, job.row[i], r + i, first_col, own);
            }
            since_flush += job.rows;
            if (since_flush >= rows_per_flush) {
                flush(job, first_col);
                since_flush = 0;
            }
        }
        flush(job, first_col);
    }

    const void* tile_data(std::int64_t row, std::int64_t first, int cols, int slot) noexcept {
        if (is_direct(m_)) {
            return static_cast<const char*>(m_.data) +
                   (row * m_.row_stride + first) *
                       static_cast<std::int64_t>(element_size(m_.dtype));
        }
        if (is_half(m_.dtype)) {
            // As stored: a transposed operand must hash as the same operand in order does.
            auto* raw = reinterpret_cast<std::uint16_t*>(decoded_[slot]);
            for (int i = 0; i < cols; ++i) {
                const std::int64_t at = row * m_.row_stride + (first + i) * m_.col_stride;
                std::memcpy(raw + i, static_cast<const char*>(m_.data) + at * 2, 2);
            }
            return raw;
        }
        copy_row_f32(m_, row, first, cols, decoded_[slot]);
        return decoded_[slot];
    }

    void run_kernel(TileJob& job) const noexcept {
        const TileKernels& kernels = tile_kernels();
        if (m_.dtype == DType::bf16) {
            kernels.bf16(job);
        } else if (m_.dtype == DType::f16) {
            kernels.f16(job);
        } else if (request_.extremes) {
            kernels.f32(job);
        } else {
            kernels.f32_sums(job);
        }
    }

    /// The tile row as f32 values, where a scalar second look is needed.
    const float* values_of(const TileRow& tile_row, std::int64_t row, std::int64_t first_col,
                           int cols) noexcept {
        if (!is_half(m_.dtype)) return static_cast<const float*>(tile_row.data);
        copy_row_f32(m_, row, first_col, cols, second_look_);
        return second_look_;
    }

    void add_row(TileJob& job, TileRow& t, std::int64_t r, std::int64_t first_col,
                 RowDigest* own) noexcept {
        const float* values = nullptr;
        Nonfinite nonfinite;
        std::uint32_t absmax_bits = t.absmax_bits;
        if (absmax_bits >= infinity_bits) {
            values = values_of(t, r, first_col, job.cols);
            count_nonfinite(values, job.cols, nonfinite);
            absmax_bits = finite_absmax(values, job.cols);
        }
        if (!std::isfinite(t.energy) || !std::isfinite(t.sum)) {
            if (values == nullptr) values = values_of(t, r, first_col, job.cols);
            sum_in_double(values, job.cols, t);
        }
        const float absmax = std::bit_cast<float>(absmax_bits);
        out_.energy += t.energy;
        out_.sum += t.sum;
        out_.absmax = std::max(out_.absmax, absmax);
        add(out_.nonfinite, nonfinite);
        if (request_.extremes) {
            out_.hash += t.hash * position_multiplier(request_.positions[r]);
            min_ = std::min(min_, t.min);
            // Lowest flat index wins a tie: tiles run outside rows, so compare rows too.
            if (t.max > max_ || (t.max == max_ && r < max_row_)) {
                max_ = t.max;
                max_row_ = r;
                max_tile_col_ = first_col;
            }
        }
        if (own == nullptr) return;
        if (values == nullptr) values = values_of(t, r, first_col, job.cols);
        own->energy += t.energy;
        own->sum += t.sum;
        own->absmax = std::max(own->absmax, absmax);
        add(own->nonfinite, nonfinite);
        if (request_.extremes && t.max > own->max) {
            own->max = t.max;
            own->argmax = first_col + index_of(values, job.cols, t.max);
        }
        const auto slot = static_cast<std::size_t>(own - out_.row.data());
        tile_kernels().sketch(values, job.feature_hashes, job.cols, row_sketch_[slot]);
        if (m_.rows == 1) return;  // its projection is that of the mixed row
        for (Projection* p = request_.projections; p != nullptr; p = p->next)
            project(*p, values, first_col, job.cols, p->row[slot]);
    }

    void begin_projections() noexcept {
        for (Projection* p = request_.projections; p != nullptr; p = p->next) {
            p->mixed = {};
            for (int i = 0; i < selected_.count; ++i)
                p->row[static_cast<std::size_t>(i)] = {};
        }
    }

    void project(const Projection& p, const float* values, std::int64_t first_col, int cols,
                 Projection::Row& to) const noexcept {
        tile_kernels().project(values, p.probes.data + first_col, probe_stride(m_.cols),
                               probe_count(m_.rows), cols, to.data());
    }

    void finish_projections() noexcept {
        for (Projection* p = request_.projections; p != nullptr; p = p->next) {
            if (m_.rows == 1) {
                const double sign = request_.sign_rows ? position_sign(request_.positions[0]) : 1.0;
                for (std::size_t j = 0; j < sketch_size; ++j)
                    p->row[0][j] = sign * p->mixed[j];
            }
            if (probe_count(m_.rows) != sketch_size) continue;
            unfold(p->mixed);
            for (int i = 0; i < selected_.count; ++i)
                unfold(p->row[static_cast<std::size_t>(i)]);
        }
    }

    static void unfold(Projection::Row& row) noexcept {
        for (std::size_t j = 0; j < folded_probes; ++j)
            row[j] -= row[j + 4] + row[j + 8] + row[j + 12];
    }

    /// Row n of a weight belongs to probe n mod 16. The block of probes that a tile needs stays in
    /// the second level of cache.
    void add_to_probes(const TileJob& job, std::int64_t first_row) const noexcept {
        const TileKernels& kernels = tile_kernels();
        const auto add = m_.dtype == DType::bf16  ? kernels.add_bf16
                         : m_.dtype == DType::f16 ? kernels.add_f16
                                                  : kernels.add_f32;
        for (int i = 0; i < job.rows; ++i) {
            const auto row = static_cast<std::uint32_t>(first_row + i);
            add(job.row[i].data, sketch_sign(row), job.cols,
                request_.probes.workspace + row % sketch_size * tile_cols);
        }
    }

    /// The f32 sums of at most 1024 rows go where they are kept, for the precision of 64 additions.
    void flush_probes(std::int64_t first_col, int cols) const noexcept {
        const std::int64_t stride = probe_stride(m_.cols);
        const std::int64_t padded = probe_stride(cols);
        for (std::int64_t j = 0; j < sketch_size; ++j) {
            float* to = request_.probes.probes + j * stride + first_col;
            float* from = request_.probes.workspace + j * tile_cols;
            for (std::int64_t c = 0; c < padded; ++c)
                to[c] += from[c];
            std::memset(from, 0, static_cast<std::size_t>(padded) * sizeof(float));
        }
    }

    void clear_probes() const noexcept {
        const auto count = static_cast<std::size_t>(sketch_size * probe_stride(m_.cols));
        std::memset(request_.probes.probes, 0, count * sizeof(float));
    }

    void fold_probes() const noexcept {
        const std::int64_t count = folded_probes * probe_stride(m_.cols);
        float* folded = request_.probes.probes;
        for (std::int64_t i = 0; i < count; ++i)
            folded[i] += folded[i + count] + folded[i + 2 * count] + folded[i + 3 * count];
    }

    void flush(TileJob& job, std::int64_t first_col) noexcept {
        for (Projection* p = request_.projections; p != nullptr; p = p->next)
            project(*p, mixed_, first_col, job.cols, p->mixed);
        if (request_.probes.probes != nullptr) flush_probes(first_col, job.cols);
        for (int i = 0; i < job.cols && out_.absmax > overflow_possible; ++i) {
            mixed_overflowed_ = mixed_overflowed_ || !std::isfinite(mixed_[i]);
        }
        tile_kernels().sketch(mixed_, job.feature_hashes, job.cols, mixed_sketch_);
        std::memset(mixed_, 0, sizeof mixed_);
    }

    void finish() noexcept {
        for (int j = 0; j < sketch_size; ++j) {
            out_.mixed[static_cast<std::size_t>(j)] =
                mixed_overflowed_ ? NAN : static_cast<float>(mixed_sketch_[j]);
        }
        for (int i = 0; i < selected_.count; ++i) {
            RowDigest& row = out_.row[static_cast<std::size_t>(i)];
            if (!std::isfinite(row.max)) row.max = 0;
            for (int j = 0; j < sketch_size; ++j) {
                row.sketch[static_cast<std::size_t>(j)] = static_cast<float>(row_sketch_[i][j]);
            }
        }
        finish_projections();
        if (request_.probes.probes != nullptr) fold_probes();
        if (!request_.extremes || !std::isfinite(max_)) return;  // no finite value at all
        out_.min = min_;
        out_.max = max_;
        const int cols =
            static_cast<int>(std::min<std::int64_t>(tile_cols, m_.cols - max_tile_col_));
        copy_row_f32(m_, max_row_, max_tile_col_, cols, second_look_);
        out_.argmax = max_row_ * m_.cols + max_tile_col_ + index_of(second_look_, cols, max_);
    }

    static void add(Nonfinite& to, const Nonfinite& from) noexcept {
        to.nan += from.nan;
        to.pos_inf += from.pos_inf;
        to.neg_inf += from.neg_inf;
    }

    static std::uint32_t finite_absmax(const float* values, int count) noexcept {
        std::uint32_t result = 0;
        for (int i = 0; i < count; ++i) {
            const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffU;
            if (magnitude < infinity_bits) result = std::max(result, magnitude);
        }
        return result;
    }

    static std::int64_t index_of(const float* values, int count, float wanted) noexcept {
        for (int i = 0; i < count; ++i) {
            if (values[i] == wanted) return i;
        }
        return 0;
    }

    const MatrixView& m_;
    const DigestRequest& request_;
    Digest& out_;
    SelectedRows selected_;
    float min_ = 0;
    float max_ = 0;
    std::int64_t max_row_ = 0;
    std::int64_t max_tile_col_ = 0;
    bool mixed_overflowed_ = false;
    double mixed_sketch_[sketch_size] = {};
    double row_sketch_[max_selected_rows][sketch_size] = {};
    alignas(64) float mixed_[tile_cols];
    alignas(64) float decoded_[tile_rows][tile_cols];
    alignas(64) float second_look_[tile_cols];
    alignas(64) std::uint32_t local_hashes_[tile_cols];
};

}  // namespace

bool in_spread(std::int64_t position) noexcept {
    return position == 0 ||
           (position > 0 && std::has_single_bit(static_cast<std::uint64_t>(position)));
}

void copy_row_f32(const MatrixView& m, std::int64_t row, std::int64_t first, std::int64_t count,
                  float* out) noexcept {
    if (m.dtype == DType::block) {
        const auto* start = static_cast<const char*>(m.data) + row * m.row_stride +
                            first / m.block_values * m.block_bytes;
        m.decode(start, out, count);
        return;
    }
    if (m.dtype == DType::f32 && m.col_stride == 1) {
        std::memcpy(out, static_cast<const float*>(m.data) + row * m.row_stride + first,
                    static_cast<std::size_t>(count) * sizeof(float));
        return;
    }
    for (std::int64_t i = 0; i < count; ++i)
        out[i] = element_f32(m, row, first + i);
}

void digest(const MatrixView& matrix, const DigestRequest& request, Digest& out) noexcept {
    out = Digest{};
    if (matrix.rows <= 0 || matrix.cols <= 0 || matrix.data == nullptr) return;
    Digester(matrix, request, out).run();
}

}  // namespace orch
