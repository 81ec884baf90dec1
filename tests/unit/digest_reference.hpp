// Matrices with their values known, and their digests computed slowly, in double.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "core/hash.hpp"

namespace orch {

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct Shape {
    std::int64_t rows;
    std::int64_t cols;
};
inline constexpr Shape shapes[] = {{1, 1},      {1, 15},    {1, 16},   {2, 1},
                                   {3, 17},     {4, 31},    {2, 1024}, {5, 1025},
                                   {300, 2049}, {1030, 70}, {2050, 3}, {1, 5000}};

// ---- A buffer of any type, with its values known. -----------------------------------------------

/// The value of a 16-bit pattern, written down a second time.
inline float half_value(unsigned bits, int fraction_bits, int exponent_bits) {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const auto exponent = static_cast<int>(bits >> fraction_bits & ((1U << exponent_bits) - 1));
    const double fraction = std::ldexp(bits & ((1U << fraction_bits) - 1), -fraction_bits);
    double size =
        exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    if (exponent == (1 << exponent_bits) - 1) {  // infinity, or NaN with its payload
        const std::uint32_t payload = bits & ((1U << fraction_bits) - 1);
        return std::bit_cast<float>((bits & 0x8000U) << 16 | 0x7f800000U |
                                    payload << (23 - fraction_bits));
    }
    return static_cast<float>((bits & 0x8000U) != 0 ? -size : size);
}

/// A block of a fake ggml type: a scale and `values` signed bytes.
template <int values>
void decode_blocks(const void* row, float* out, std::int64_t count) {
    const char* at = static_cast<const char*>(row);
    for (std::int64_t i = 0; i < count; ++i) {
        const char* block = at + i / values * (values + 4);
        float scale;
        std::memcpy(&scale, block, sizeof scale);
        out[i] = scale * static_cast<signed char>(block[4 + i % values]);
    }
}

enum class Kind { f32, f64, f16, bf16, block32, block256 };
inline constexpr Kind kinds[] = {Kind::f32,  Kind::f64,     Kind::f16,
                                 Kind::bf16, Kind::block32, Kind::block256};

struct Buffer {
    MatrixView view;
    std::vector<char> memory;
    std::vector<float> values;        ///< row-major
    std::vector<std::uint32_t> bits;  ///< what the hash sees: the pattern, or that of the f32

    float at(std::int64_t r, std::int64_t c) const {
        return values[static_cast<std::size_t>(r * view.cols + c)];
    }
};

struct Layout {
    std::int64_t row_padding = 0;
    std::int64_t col_stride = 1;
    bool transposed = false;
};

template <class Element>
void store(Buffer& b, const std::vector<Element>& elements, Layout layout) {
    const std::int64_t rows = b.view.rows;
    const std::int64_t cols = b.view.cols;
    b.view.col_stride = layout.transposed ? rows + layout.row_padding : layout.col_stride;
    b.view.row_stride = layout.transposed ? 1 : cols * layout.col_stride + layout.row_padding;
    const std::int64_t count = (rows - 1) * b.view.row_stride + (cols - 1) * b.view.col_stride + 1;
    // What lies between the elements must not be looked at: all NaN.
    b.memory.assign(static_cast<std::size_t>(count) * sizeof(Element), '\xff');
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
            const std::int64_t at = r * b.view.row_stride + c * b.view.col_stride;
            std::memcpy(b.memory.data() + static_cast<std::size_t>(at) * sizeof(Element),
                        &elements[static_cast<std::size_t>(r * cols + c)], sizeof(Element));
        }
    }
    b.view.data = b.memory.data();
}

inline void set_values(Buffer& b, const std::vector<float>& values) {
    b.values = values;
    b.bits.resize(values.size());
    std::transform(values.begin(), values.end(), b.bits.begin(),
                   [](float v) { return std::bit_cast<std::uint32_t>(v); });
}

inline Buffer f32_buffer(Shape shape, const std::vector<float>& values, Layout layout = {}) {
    Buffer b;
    b.view.rows = shape.rows;
    b.view.cols = shape.cols;
    set_values(b, values);
    store(b, values, layout);
    return b;
}

inline Buffer half_buffer(DType type, Shape shape, const std::vector<std::uint16_t>& patterns,
                          Layout layout = {}) {
    Buffer b;
    b.view.dtype = type;
    b.view.rows = shape.rows;
    b.view.cols = shape.cols;
    for (std::uint16_t p : patterns) {
        b.values.push_back(type == DType::f16 ? half_value(p, 10, 5) : half_value(p, 7, 8));
        b.bits.push_back(p);
    }
    store(b, patterns, layout);
    return b;
}

/// Whole numbers from -8 to 8: every sum of them is exact in every type and order.
inline Buffer whole_numbers(Kind kind, Shape shape, Layout layout = {}, unsigned seed = 1) {
    constexpr std::uint16_t f16_patterns[] = {0,      0x3c00, 0x4000, 0x4200, 0x4400,
                                              0x4500, 0x4600, 0x4700, 0x4800};
    constexpr std::uint16_t bf16_patterns[] = {0,      0x3f80, 0x4000, 0x4040, 0x4080,
                                               0x40a0, 0x40c0, 0x40e0, 0x4100};
    std::mt19937 random(seed);
    const int block = kind == Kind::block32 ? 32 : kind == Kind::block256 ? 256 : 1;
    shape.cols = (shape.cols + block - 1) / block * block;
    std::vector<int> numbers(static_cast<std::size_t>(shape.rows * shape.cols));
    for (int& n : numbers)
        n = static_cast<int>(random() % 17) - 8;
    const std::vector<float> floats(numbers.begin(), numbers.end());
    if (kind == Kind::f32) return f32_buffer(shape, floats, layout);
    if (kind == Kind::f16 || kind == Kind::bf16) {
        std::vector<std::uint16_t> patterns;
        for (int n : numbers) {
            const auto size = static_cast<std::size_t>(std::abs(n));
            const auto pattern = kind == Kind::f16 ? f16_patterns[size] : bf16_patterns[size];
            patterns.push_back(static_cast<std::uint16_t>(pattern | (n < 0 ? 0x8000 : 0)));
        }
        return half_buffer(kind == Kind::f16 ? DType::f16 : DType::bf16, shape, patterns, layout);
    }
    Buffer b;
    b.view.rows = shape.rows;
    b.view.cols = shape.cols;
    set_values(b, floats);
    if (kind == Kind::f64) {
        b.view.dtype = DType::f64;
        store(b, std::vector<double>(numbers.begin(), numbers.end()), layout);
        return b;
    }
    b.view.dtype = DType::block;
    b.view.block_values = block;
    b.view.block_bytes = block + 4;
    b.view.row_stride = shape.cols / block * b.view.block_bytes + layout.row_padding;
    b.view.decode = block == 32 ? decode_blocks<32> : decode_blocks<256>;
    b.memory.resize(static_cast<std::size_t>(shape.rows * b.view.row_stride));
    for (std::int64_t r = 0; r < shape.rows; ++r) {
        for (std::int64_t c = 0; c < shape.cols; ++c) {
            const std::int64_t at = r * b.view.row_stride + c / block * b.view.block_bytes;
            const float scale = 1;
            std::memcpy(b.memory.data() + at, &scale, sizeof scale);
            b.memory[static_cast<std::size_t>(at + 4 + c % block)] =
                static_cast<char>(numbers[static_cast<std::size_t>(r * shape.cols + c)]);
        }
    }
    b.view.data = b.memory.data();
    return b;
}

inline std::vector<float> normal_values(Shape shape, unsigned seed, float scale = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.cols));
    for (float& v : values)
        v = normal(random) * scale;
    return values;
}

// ---- The same maths, slowly and in double. ------------------------------------------------------

struct NaiveRow {
    std::int64_t row = 0;
    std::int64_t position = 0;
    double energy = 0;
    double sum = 0;
    double absolute_sum = 0;
    float min = infinity;
    float max = -infinity;
    float absmax = 0;
    std::int64_t argmax = -1;
    std::uint64_t nan = 0;
    std::uint64_t pos_inf = 0;
    std::uint64_t neg_inf = 0;
    std::uint64_t hash = 0;
    std::array<double, 16> sketch{};
    std::array<double, 16> absolute{};  ///< sums of |y| per slot: what an error is measured by
};

inline double feature_sign(std::int64_t n) {
    return feature_hash(static_cast<std::uint32_t>(n)) >= 0x80000000U ? -1 : 1;
}

inline NaiveRow naive_row(const Buffer& b, std::int64_t r, std::int64_t position) {
    NaiveRow result;
    result.row = r;
    result.position = position;
    for (std::int64_t n = 0; n < b.view.cols; ++n) {
        const float y = b.at(r, n);
        result.hash += std::uint64_t{b.bits[static_cast<std::size_t>(r * b.view.cols + n)]} *
                       (feature_hash(static_cast<std::uint32_t>(n)) | 1U);
        result.nan += std::isnan(y);
        result.pos_inf += y == infinity;
        result.neg_inf += y == -infinity;
        if (!std::isfinite(y)) continue;
        result.energy += static_cast<double>(y) * y;
        result.sum += y;
        result.absolute_sum += std::fabs(y);
        result.min = std::min(result.min, y);
        if (y > result.max) {
            result.max = y;
            result.argmax = n;
        }
        result.absmax = std::max(result.absmax, std::fabs(y));
        result.sketch[static_cast<std::size_t>(n % 16)] += feature_sign(n) * y;
        result.absolute[static_cast<std::size_t>(n % 16)] += std::fabs(y);
    }
    if (result.argmax < 0) result.min = result.max = 0;
    return result;
}

struct Naive {
    NaiveRow all;
    std::vector<NaiveRow> selected;
};

inline Naive naive_digest(const Buffer& b, const DigestRequest& request) {
    Naive result;
    NaiveRow& all = result.all;
    for (std::int64_t r = 0; r < b.view.rows; ++r) {
        const std::int64_t position = request.positions[r];
        const NaiveRow row = naive_row(b, r, position);
        const double sign = request.sign_rows ? position_sign(position) : 1.0F;
        all.energy += row.energy;
        all.sum += row.sum;
        all.absolute_sum += row.absolute_sum;
        all.nan += row.nan;
        all.pos_inf += row.pos_inf;
        all.neg_inf += row.neg_inf;
        all.hash += row.hash * position_multiplier(position);
        all.absmax = std::max(all.absmax, row.absmax);
        if (row.argmax >= 0) {
            all.min = std::min(all.min, row.min);
            if (row.max > all.max) {
                all.max = row.max;
                all.argmax = r * b.view.cols + row.argmax;
            }
        }
        for (std::size_t j = 0; j < 16; ++j) {
            all.sketch[j] += sign * row.sketch[j];
            all.absolute[j] += row.absolute[j];
        }
        const bool power_of_two = position > 0 && (position & (position - 1)) == 0;
        const bool room = static_cast<int>(result.selected.size()) + 1 < request.selected_rows;
        const bool last = r + 1 == b.view.rows;
        if (last || (room && (position == 0 || power_of_two))) result.selected.push_back(row);
    }
    if (all.argmax < 0) all.min = all.max = 0;
    return result;
}

/// `tolerance` 0: bit for bit. Otherwise the share of the sum of magnitudes that rounding may take.
template <class Actual>
void expect_sums(const Actual& actual, const NaiveRow& wanted, const Sketch& sketch,
                 double tolerance) {
    // Squares are taken in f32: those below 1e-45 vanish.
    const double vanished = tolerance > 0 ? 1e-40 : 0;
    EXPECT_NEAR(actual.energy, wanted.energy, wanted.energy * tolerance + vanished);
    EXPECT_NEAR(actual.sum, wanted.sum, wanted.absolute_sum * tolerance);
    EXPECT_EQ(actual.absmax, wanted.absmax);
    EXPECT_EQ(actual.nonfinite.nan, wanted.nan);
    EXPECT_EQ(actual.nonfinite.pos_inf, wanted.pos_inf);
    EXPECT_EQ(actual.nonfinite.neg_inf, wanted.neg_inf);
    for (std::size_t j = 0; j < 16; ++j) {
        EXPECT_NEAR(static_cast<double>(sketch[j]), wanted.sketch[j],
                    wanted.absolute[j] * tolerance)
            << "slot " << j;
    }
}

inline void expect_digest(const Buffer& b, const DigestRequest& request, double tolerance) {
    SCOPED_TRACE(std::string(dtype_name(b.view.dtype)) + " " + std::to_string(b.view.rows) + "x" +
                 std::to_string(b.view.cols));
    Digest d;
    d.selected = 77;  // of an earlier call
    digest(b.view, request, d);
    const Naive wanted = naive_digest(b, request);
    EXPECT_EQ(d.rows, b.view.rows);
    EXPECT_EQ(d.cols, b.view.cols);
    expect_sums(d, wanted.all, d.mixed, tolerance);
    if (request.extremes) {
        EXPECT_EQ(d.min, wanted.all.min);
        EXPECT_EQ(d.max, wanted.all.max);
        EXPECT_EQ(d.argmax, wanted.all.argmax);
        EXPECT_EQ(d.hash, wanted.all.hash);
    }
    ASSERT_EQ(static_cast<std::size_t>(d.selected), wanted.selected.size());
    for (std::size_t i = 0; i < wanted.selected.size(); ++i) {
        SCOPED_TRACE("selected row " + std::to_string(i));
        const RowDigest& row = d.row[i];
        EXPECT_EQ(row.row, wanted.selected[i].row);
        EXPECT_EQ(row.position, wanted.selected[i].position);
        expect_sums(row, wanted.selected[i], row.sketch, tolerance);
        if (request.extremes) {
            EXPECT_EQ(row.max, wanted.selected[i].max);
            EXPECT_EQ(row.argmax, wanted.selected[i].argmax);
        }
    }
}

inline Digest digest_of(const MatrixView& view, DigestRequest request = {}) {
    Digest d;
    digest(view, request, d);
    return d;
}

inline Digest digest_of(const Buffer& b, DigestRequest request = {}) {
    return digest_of(b.view, request);
}

inline DigestRequest from_position(std::int64_t first) {
    DigestRequest request;
    request.positions.first = first;
    return request;
}

}  // namespace orch
