#include "core/gemm.hpp"

#include "core/call.hpp"
#include "core/kernel.hpp"
#include "core/memory.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace fake {
namespace {

/// A float of few bits: sign, exponent, fraction; IEEE's rules, but that e4m3 has no infinity.
struct Format {
    int exponent_bits;
    int fraction_bits;
    bool infinity;
};
constexpr Format f16{5, 10, true};
constexpr Format bf16{8, 7, true};
constexpr Format f8_e4m3{4, 3, false};
constexpr Format f8_e5m2{5, 2, true};

double decode(const Format& f, unsigned bits) {
    const int bias = (1 << (f.exponent_bits - 1)) - 1;
    const int exponent_mask = (1 << f.exponent_bits) - 1;
    const int exponent = static_cast<int>(bits >> f.fraction_bits) & exponent_mask;
    const unsigned fraction = bits & ((1U << f.fraction_bits) - 1);
    const double sign = (bits >> (f.exponent_bits + f.fraction_bits)) != 0 ? -1 : 1;
    const unsigned full = (1U << f.fraction_bits) - 1;
    if (f.infinity ? exponent == exponent_mask : exponent == exponent_mask && fraction == full) {
        if (f.infinity && fraction == 0) return sign * std::numeric_limits<double>::infinity();
        return std::numeric_limits<double>::quiet_NaN();
    }
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - f.fraction_bits);
    return sign * std::ldexp(fraction + (1U << f.fraction_bits), exponent - bias - f.fraction_bits);
}

/// To the nearest, ties to even.
unsigned encode(const Format& f, double value) {
    const int bias = (1 << (f.exponent_bits - 1)) - 1;
    const unsigned exponent_mask = (1U << f.exponent_bits) - 1;
    const unsigned sign = (std::signbit(value) ? 1U : 0U) << (f.exponent_bits + f.fraction_bits);
    const unsigned infinite = exponent_mask << f.fraction_bits;
    const unsigned not_a_number = f.infinity ? infinite | 1U << (f.fraction_bits - 1)
                                             : infinite | ((1U << f.fraction_bits) - 1);
    if (std::isnan(value)) return sign | not_a_number;
    const double size = std::fabs(value);
    if (size == 0) return sign;
    int exponent = 0;
    std::frexp(size, &exponent);
    exponent = std::max(exponent - 1, 1 - bias);
    // How many steps of the format's spacing at this size.
    const double steps =
        std::isinf(size) ? size : std::nearbyint(std::ldexp(size, f.fraction_bits - exponent));
    const double most = decode(f, f.infinity ? infinite - 1 : not_a_number - 1);
    if (std::isinf(size) || std::ldexp(steps, exponent - f.fraction_bits) > most) {
        return sign | (f.infinity ? infinite : not_a_number);
    }
    const auto whole = static_cast<unsigned>(steps);
    // A carry out of the fraction moves into the exponent by itself.
    return sign | ((static_cast<unsigned>(exponent + bias - 1) << f.fraction_bits) + whole);
}

template <class T>
T read(const void* data, std::int64_t index) {
    T value;
    std::memcpy(&value,
                static_cast<const char*>(data) + index * static_cast<std::int64_t>(sizeof(T)),
                sizeof(T));
    return value;
}

template <class T>
void write(void* data, std::int64_t index, T value) {
    std::memcpy(static_cast<char*>(data) + index * static_cast<std::int64_t>(sizeof(T)), &value,
                sizeof(T));
}

template <class Integer>
Integer saturated(double value) {
    if (std::isnan(value)) return 0;
    const double low = std::numeric_limits<Integer>::min();
    const double high = std::numeric_limits<Integer>::max();
    return static_cast<Integer>(std::min(std::max(std::nearbyint(value), low), high));
}

/// To the nearest, with ten bits behind the point.
Value rounded_to_tf32(Value value) {
    constexpr int bits = 11;
    int exponent = 0;
    const double fraction = std::frexp(value.real(), &exponent);
    if (!std::isfinite(fraction)) return value;
    return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

/// Rows of a (or columns of b) side by side.
std::vector<Value> gather(const Matrix& matrix, const void* data, int trans, std::int64_t rows,
                          std::int64_t cols, bool by_rows, bool tf32) {
    std::vector<Value> out(static_cast<std::size_t>(rows * cols));
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < cols; ++j) {
            Value v = load(data, matrix.type, trans == 0 ? matrix.at(i, j) : matrix.at(j, i));
            if (trans == 2) v = std::conj(v);
            if (tf32) v = rounded_to_tf32(v);
            out[static_cast<std::size_t>(by_rows ? i * cols + j : j * rows + i)] = v;
        }
    }
    return out;
}

/// Is all of the matrix where a device can read it?
bool reachable(const Matrix& matrix, std::int64_t batch, std::int64_t rows, std::int64_t cols) {
    if (rows == 0 || cols == 0) return true;
    if (matrix.indirect &&
        !memory::contains(matrix.data, static_cast<std::size_t>(batch + 1) * sizeof(void*)))
        return false;
    const std::int64_t elements = matrix.at(rows - 1, cols - 1) + 1;
    return memory::contains(matrix.of(batch),
                            static_cast<std::size_t>(elements) * size_of(matrix.type));
}

bool reachable(const Gemm& g, std::int64_t batch) {
    const Lock lock(world());
    const auto turned = [](const Matrix& matrix, int trans, std::int64_t i, std::int64_t rows,
                           std::int64_t cols) {
        return trans == 0 ? reachable(matrix, i, rows, cols) : reachable(matrix, i, cols, rows);
    };
    // With a factor of 0 an operand may be null.
    const bool inputs = g.alpha.get() == Value{0} || (turned(g.a, g.transa, batch, g.m, g.k) &&
                                                      turned(g.b, g.transb, batch, g.k, g.n));
    const bool added = g.beta.get() == Value{0} || reachable(g.c, batch, g.m, g.n);
    return inputs && added && reachable(g.d, batch, g.m, g.n);
}

bool is_complex(const Gemm& g) {
    return g.a.type == c32f || g.a.type == c64f || g.c.type == c32f || g.c.type == c64f;
}

void compute_one(const Gemm& g, std::int64_t batch) {
    const Value alpha = g.alpha.get();
    const Value beta = g.beta.get();
    const bool product = alpha != Value{0} && g.k > 0;
    std::vector<Value> a;
    std::vector<Value> b;
    if (product) {
        a = gather(g.a, g.a.of(batch), g.transa, g.m, g.k, true, g.tf32);
        b = gather(g.b, g.b.of(batch), g.transb, g.k, g.n, false, g.tf32);
    }
    const bool complex = is_complex(g);
    const void* c = g.c.of(batch);
    void* d = const_cast<void*>(g.d.of(batch));
    for (std::int64_t col = 0; col < g.n; ++col) {
        for (std::int64_t row = 0; row < g.m; ++row) {
            Value sum = 0;
            if (product && complex) {
                for (std::int64_t i = 0; i < g.k; ++i)
                    sum += a[row * g.k + i] * b[col * g.k + i];
            } else if (product) {
                double real = 0;
                for (std::int64_t i = 0; i < g.k; ++i)
                    real += a[row * g.k + i].real() * b[col * g.k + i].real();
                sum = real;
            }
            if (product) sum *= alpha;
            // beta 0 means that c is not read: it may hold anything.
            if (beta != Value{0}) sum += beta * load(c, g.c.type, g.c.at(row, col));
            if (g.epilogue) sum = g.epilogue(batch, row, sum);
            store(d, g.d.type, g.d.at(row, col), sum);
        }
    }
}

}  // namespace

bool in_tf32(int a_type, int b_type, bool allowed) {
    if (a_type != r32f || b_type != r32f) return false;
    const char* wanted = std::getenv("FAKE_CUBLAS_TF32");
    if (wanted == nullptr) return false;
    if (std::strcmp(wanted, "always") == 0) return true;
    const char* override = std::getenv("NVIDIA_TF32_OVERRIDE");
    return allowed && (override == nullptr || std::strcmp(override, "0") != 0);
}

std::size_t size_of(int type) {
    switch (type) {
        case c64f:
            return 16;
        case r64f:
        case c32f:
            return 8;
        case r32f:
        case r32i:
            return 4;
        case r16f:
        case r16bf:
            return 2;
        case r8i:
        case e4m3:
        case e5m2:
            return 1;
        default:
            return 0;
    }
}

Value load(const void* data, int type, std::int64_t i) {
    switch (type) {
        case r32f:
            return read<float>(data, i);
        case r64f:
            return read<double>(data, i);
        case r16f:
            return decode(f16, read<std::uint16_t>(data, i));
        case r16bf:
            return decode(bf16, read<std::uint16_t>(data, i));
        case e4m3:
            return decode(f8_e4m3, read<std::uint8_t>(data, i));
        case e5m2:
            return decode(f8_e5m2, read<std::uint8_t>(data, i));
        case r8i:
            return read<std::int8_t>(data, i);
        case r32i:
            return read<std::int32_t>(data, i);
        case c32f:
            return {read<float>(data, 2 * i), read<float>(data, 2 * i + 1)};
        case c64f:
            return {read<double>(data, 2 * i), read<double>(data, 2 * i + 1)};
        default:
            return 0;
    }
}

void store(void* data, int type, std::int64_t i, Value value) {
    const double real = value.real();
    switch (type) {
        case r32f:
            return write(data, i, static_cast<float>(real));
        case r64f:
            return write(data, i, real);
        case r16f:
            return write(data, i, static_cast<std::uint16_t>(encode(f16, real)));
        case r16bf:
            return write(data, i, static_cast<std::uint16_t>(encode(bf16, real)));
        case e4m3:
            return write(data, i, static_cast<std::uint8_t>(encode(f8_e4m3, real)));
        case e5m2:
            return write(data, i, static_cast<std::uint8_t>(encode(f8_e5m2, real)));
        case r8i:
            return write(data, i, saturated<std::int8_t>(real));
        case r32i:
            return write(data, i, saturated<std::int32_t>(real));
        case c32f:
            write(data, 2 * i, static_cast<float>(real));
            return write(data, 2 * i + 1, static_cast<float>(value.imag()));
        case c64f:
            write(data, 2 * i, real);
            return write(data, 2 * i + 1, value.imag());
        default:
            return;
    }
}

const void* Matrix::of(std::int64_t batch) const {
    if (indirect) return static_cast<const void* const*>(data)[batch];
    return static_cast<const char*>(data) +
           batch * stride * static_cast<std::int64_t>(size_of(type));
}

void compute(const Gemm& gemm) {
    for (std::int64_t i = 0; i < gemm.batch; ++i) {
        if (reachable(gemm, i)) {
            compute_one(gemm, i);
        } else if (!kernels::any_without_effect()) {
            // What a kernel that did nothing should have written may be an address: then this is no
            // fault.
            lose_context();
        }
    }
}

}  // namespace fake
