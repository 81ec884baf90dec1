// Included by digest_{baseline,avx2,avx512}.cpp, each compiled with its own -m flags. Plain GCC
// vector types: one 16-lane source for all; contraction is off (CMakeLists.txt), so that a fused
// multiply-add on one machine cannot make its digests differ from another's.
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/digest_tile.hpp"

namespace orch {
namespace {

typedef float VecF __attribute__((vector_size(64)));
typedef std::uint32_t VecU __attribute__((vector_size(64)));
typedef std::int32_t VecI __attribute__((vector_size(64)));
typedef std::uint64_t VecL __attribute__((vector_size(64)));
typedef std::uint16_t VecH __attribute__((vector_size(32)));

constexpr int lanes = 16;
constexpr std::uint32_t exponent_mask = 0x7f800000U;

template <class Vec>
inline Vec load(const void* from) {
    Vec v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// Three operations that vector types have no operator for, or one that GCC 12 does not turn into
// one instruction: products of the low halves of 64-bit lanes, and a < b ? a : b, b > a ? b : a.
#if defined(__AVX512F__)
inline VecL multiply_low32(VecL a, VecL b) {
    return (VecL)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
inline VecF smaller(VecF a, VecF b) {
    return (VecF)_mm512_min_ps((__m512)a, (__m512)b);
}
inline VecF larger(VecF a, VecF b) {
    return (VecF)_mm512_max_ps((__m512)a, (__m512)b);
}
#elif defined(__AVX2__)
template <class Vec, class Half, class Operation>
inline Vec by_halves(Vec a, Vec b, Operation operation) {
    Half x[2];
    Half y[2];
    std::memcpy(x, &a, sizeof a);
    std::memcpy(y, &b, sizeof b);
    const Half parts[2] = {operation(x[0], y[0]), operation(x[1], y[1])};
    Vec result;
    std::memcpy(&result, parts, sizeof result);
    return result;
}
inline VecL multiply_low32(VecL a, VecL b) {
    return by_halves<VecL, __m256i>(a, b,
                                    [](__m256i x, __m256i y) { return _mm256_mul_epu32(x, y); });
}
inline VecF smaller(VecF a, VecF b) {
    return by_halves<VecF, __m256>(a, b, [](__m256 x, __m256 y) { return _mm256_min_ps(x, y); });
}
inline VecF larger(VecF a, VecF b) {
    return by_halves<VecF, __m256>(a, b, [](__m256 x, __m256 y) { return _mm256_max_ps(x, y); });
}
#else
inline VecL multiply_low32(VecL a, VecL b) {
    return (a & 0xffffffffULL) * (b & 0xffffffffULL);
}
inline VecF smaller(VecF a, VecF b) {
    return a < b ? a : b;
}
inline VecF larger(VecF a, VecF b) {
    return a > b ? a : b;
}
#endif

struct F32 {
    static constexpr int size = 4;
    static VecU raw(const char* p) { return load<VecU>(p); }
    static VecU widen(VecU raw) { return raw; }
};

struct Bf16 {
    static constexpr int size = 2;
    static VecU raw(const char* p) { return __builtin_convertvector(load<VecH>(p), VecU); }
    static VecU widen(VecU raw) { return raw << 16; }
};

struct F16 {
    static constexpr int size = 2;
    static VecU raw(const char* p) { return __builtin_convertvector(load<VecH>(p), VecU); }
    // A denormal half goes through an integer conversion: as a denormal f32 it would be zero in an
    // engine that runs with DAZ.
    static VecU widen(VecU raw) {
        const VecU sign = (raw & 0x8000U) << 16;
        const VecU magnitude = raw & 0x7fffU;
        const VecU denormal = (VecU)((VecI)magnitude < 0x0400);
        const VecU special = (VecU)((VecI)magnitude >= 0x7c00);
        const VecU normal_bits =
            (magnitude << 13) + (special ? VecU{} + (224U << 23) : VecU{} + (112U << 23));
        const VecF small = __builtin_convertvector((VecI)magnitude, VecF) * 0x1p-24F;
        return sign | (denormal ? (VecU)small : normal_bits);
    }
};

struct Accumulators {
    VecF energy{}, sum{}, min, max;
    VecI absmax{};
    VecL hash_even{}, hash_odd{};

    Accumulators() {
        for (int i = 0; i < lanes; ++i) {
            min[i] = __builtin_inff();
            max[i] = -__builtin_inff();
        }
    }
};

template <bool Extremes>
inline void add_vector(Accumulators& acc, VecU raw, VecU bits, VecU hashes, VecF sign,
                       VecF& mixed) {
    const VecI magnitude = (VecI)(bits & 0x7fffffffU);
    const VecI finite = magnitude < (std::int32_t)exponent_mask;
    const VecF y = (VecF)(bits & (VecU)finite);
    acc.absmax = magnitude > acc.absmax ? magnitude : acc.absmax;
    acc.energy += y * y;
    acc.sum += y;
    mixed += sign * y;
    if constexpr (Extremes) {
        // A non-finite lane takes part as the accumulator itself: it changes nothing.
        acc.min = smaller(finite ? y : acc.min, acc.min);
        acc.max = larger(finite ? y : acc.max, acc.max);
        const VecL values = (VecL)raw;
        const VecL weights = (VecL)(hashes | 1U);
        acc.hash_even += multiply_low32(values, weights);
        acc.hash_odd += multiply_low32(values >> 32, weights >> 32);
    }
}

template <bool Extremes>
inline void reduce(const Accumulators& acc, TileRow& row) {
    double energy = 0;
    double sum = 0;
    std::uint32_t absmax = 0;
    for (int i = 0; i < lanes; ++i) {
        energy += acc.energy[i];
        sum += acc.sum[i];
        const auto magnitude = static_cast<std::uint32_t>(acc.absmax[i]);
        absmax = magnitude > absmax ? magnitude : absmax;
    }
    row.energy = energy;
    row.sum = sum;
    row.absmax_bits = absmax;
    if constexpr (Extremes) {
        row.min = acc.min[0];
        row.max = acc.max[0];
        for (int i = 1; i < lanes; ++i) {
            row.min = acc.min[i] < row.min ? acc.min[i] : row.min;
            row.max = acc.max[i] > row.max ? acc.max[i] : row.max;
        }
        row.hash = 0;
        for (int i = 0; i < lanes / 2; ++i) {
            row.hash += acc.hash_even[i] + acc.hash_odd[i];
        }
    }
}

/// The last, partial vector: lanes past the end take no part, which for the sums is the same as
/// zero and for the extremes the same as a NaN.
template <class Type>
inline void load_tail(const char* from, int count, VecU& raw, VecU& bits) {
    alignas(64) char padded[64] = {};
    std::memcpy(padded, from, static_cast<std::size_t>(count) * Type::size);
    raw = Type::raw(padded);
    bits = Type::widen(raw);
}

template <class Type, bool Extremes, int Rows>
inline void run_rows(TileJob& job) {
    Accumulators acc[Rows];
    VecF sign[Rows];
    const char* data[Rows];
    for (int r = 0; r < Rows; ++r) {
        sign[r] = VecF{} + job.row[r].sign;
        data[r] = static_cast<const char*>(job.row[r].data);
    }
    int c = 0;
    for (; c + lanes <= job.cols; c += lanes) {
        VecF mixed = load<VecF>(job.mixed + c);
        const VecU hashes = load<VecU>(job.feature_hashes + c);
        for (int r = 0; r < Rows; ++r) {
            const VecU raw = Type::raw(data[r] + static_cast<std::ptrdiff_t>(c) * Type::size);
            add_vector<Extremes>(acc[r], raw, Type::widen(raw), hashes, sign[r], mixed);
        }
        std::memcpy(job.mixed + c, &mixed, sizeof mixed);
    }
    const int tail = job.cols - c;
    if (tail > 0) {
        VecF mixed = load<VecF>(job.mixed + c);  // tile_cols is a multiple of 16
        const VecU hashes = load<VecU>(job.feature_hashes + c);
        for (int r = 0; r < Rows; ++r) {
            VecU raw;
            VecU bits;
            load_tail<Type>(data[r] + static_cast<std::ptrdiff_t>(c) * Type::size, tail, raw, bits);
            Accumulators lanes_of_tail;
            add_vector<Extremes>(lanes_of_tail, raw, bits, hashes, sign[r], mixed);
            acc[r].energy += lanes_of_tail.energy;
            acc[r].sum += lanes_of_tail.sum;
            acc[r].absmax =
                lanes_of_tail.absmax > acc[r].absmax ? lanes_of_tail.absmax : acc[r].absmax;
            if constexpr (Extremes) {
                for (int i = 0; i < tail; ++i) {
                    if (lanes_of_tail.min[i] < acc[r].min[i]) acc[r].min[i] = lanes_of_tail.min[i];
                    if (lanes_of_tail.max[i] > acc[r].max[i]) acc[r].max[i] = lanes_of_tail.max[i];
                }
                acc[r].hash_even += lanes_of_tail.hash_even;
                acc[r].hash_odd += lanes_of_tail.hash_odd;
            }
        }
        std::memcpy(job.mixed + c, &mixed, sizeof mixed);
    }
    for (int r = 0; r < Rows; ++r)
        reduce<Extremes>(acc[r], job.row[r]);
}

template <class Type, bool Extremes>
void run(TileJob& job) {
    if (job.rows == tile_rows) {
        run_rows<Type, Extremes, tile_rows>(job);
    } else {
        run_rows<Type, Extremes, 1>(job);
    }
}

void sketch_f32(const float* data, const std::uint32_t* hashes, int cols, double* out) {
    VecF sums{};
    int c = 0;
    for (; c + lanes <= cols; c += lanes) {
        const VecU bits = load<VecU>(data + c);
        const VecU finite = (VecU)((VecI)(bits & 0x7fffffffU) < (std::int32_t)exponent_mask);
        sums += (VecF)((bits ^ (load<VecU>(hashes + c) & 0x80000000U)) & finite);
    }
    for (int i = 0; c + i < cols; ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, data + c + i, sizeof bits);
        if ((bits & exponent_mask) == exponent_mask) continue;
        bits ^= hashes[c + i] & 0x80000000U;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        sums[i] += value;
    }
    for (int i = 0; i < lanes; ++i)
        out[i] += sums[i];
}

template <class Type>
void add_signed(const void* from, float sign, int cols, float* sums) {
    const auto* data = static_cast<const char*>(from);
    const VecF signs = VecF{} + sign;
    const auto add = [&](int c, VecU bits) {
        const VecF sum = load<VecF>(sums + c) + signs * (VecF)bits;
        std::memcpy(sums + c, &sum, sizeof sum);
    };
    int c = 0;
    for (; c + lanes <= cols; c += lanes)
        add(c, Type::widen(Type::raw(data + static_cast<std::ptrdiff_t>(c) * Type::size)));
    if (c == cols) return;
    VecU raw;
    VecU bits;
    load_tail<Type>(data + static_cast<std::ptrdiff_t>(c) * Type::size, cols - c, raw, bits);
    add(c, bits);
}

/// Four probes at a time: their sums stay in registers on every machine.
void project_four(const float* data, const float* probes, std::int64_t stride, int cols,
                  double* out) {
    constexpr int together = 4;
    VecF sums[together] = {};
    const auto add = [&](int c, VecF values) {
        for (int q = 0; q < together; ++q)
            sums[q] += values * load<VecF>(probes + q * stride + c);
    };
    int c = 0;
    for (; c + lanes <= cols; c += lanes)
        add(c, load<VecF>(data + c));
    if (c < cols) {
        alignas(64) float padded[lanes] = {};
        std::memcpy(padded, data + c, static_cast<std::size_t>(cols - c) * sizeof(float));
        add(c, load<VecF>(padded));
    }
    for (int q = 0; q < together; ++q) {
        for (int i = 0; i < lanes; ++i)
            out[q] += sums[q][i];
    }
}

void project_f32(const float* data, const float* probes, std::int64_t stride, int count, int cols,
                 double* out) {
    for (int q = 0; q < count; q += 4)
        project_four(data, probes + q * stride, stride, cols, out + q);
}

constexpr TileKernels kernels(const char* name) {
    return {name,       run<F32, true>,  run<F32, false>,  run<Bf16, true>, run<F16, true>,
            sketch_f32, add_signed<F32>, add_signed<Bf16>, add_signed<F16>, project_f32};
}

}  // namespace
}  // namespace orch
