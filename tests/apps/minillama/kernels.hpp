// minillama's kernels: each a struct of its arguments with the work of one index, compiled for the
// GPU by nvcc and for the stand-in by the host's compiler. Simple and slow; they are there to be
// right, and to be wrong on demand. Those with few indices and much work in each have a second body
// in kernels.cu, of a block of threads: what a digest adds to a step is compared with the step.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define MINI_BOTH __host__ __device__
#else
#define MINI_BOTH
#endif

namespace minillama {

enum class Half : int { f16, bf16 };

/// Round to nearest, ties to even.
MINI_BOTH inline std::uint16_t narrow(float value, Half type) {
    std::uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == Half::bf16)
        return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
    const std::uint32_t sign = (bits >> 16) & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude >= 0x477ff000U)
        return static_cast<std::uint16_t>(sign | (magnitude > 0x7f800000U ? 0x7e00U : 0x7c00U));
    if (magnitude < 0x38800000U) {  // a denormal half, in steps of 2^-24
        float size;
        memcpy(&size, &magnitude, sizeof size);
        return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(rintf(size * 0x1p24F)));
    }
    const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

struct Embed {
    const float* table;
    const int* tokens;
    float* out;
    std::int64_t rows, cols;
    MINI_BOTH std::int64_t count() const { return rows * cols; }
    MINI_BOTH void operator()(std::int64_t i) const {
        out[i] = table[tokens[i / cols] * cols + i % cols];
    }
};

/// Random weights, evenly spread around a centre; the same for the same seed.
struct Fill {
    void* out;
    std::int64_t size;
    std::uint64_t seed;
    float centre, spread;
    Half type;
    bool is_half;
    MINI_BOTH std::int64_t count() const { return size; }
    MINI_BOTH void operator()(std::int64_t i) const {
        std::uint64_t h = (seed << 40U) + static_cast<std::uint64_t>(i);
        h = (h ^ (h >> 30U)) * 0xbf58476d1ce4e5b9ULL;
        h = (h ^ (h >> 27U)) * 0x94d049bb133111ebULL;
        h ^= h >> 31U;
        const float unit = static_cast<float>(h >> 40U) * 0x1p-23F - 1.0F;
        const float value = centre + spread * unit;
        if (is_half)
            static_cast<std::uint16_t*>(out)[i] = narrow(value, type);
        else
            static_cast<float*>(out)[i] = value;
    }
};

struct RmsNorm {
    const float* x;
    const float* weight;
    float* out;
    std::int64_t rows, cols;
    float eps;
    MINI_BOTH std::int64_t count() const { return rows; }
    MINI_BOTH void operator()(std::int64_t row) const {
        const float* in = x + row * cols;
        float sum = 0;
        for (std::int64_t c = 0; c < cols; ++c)
            sum += in[c] * in[c];
        const float scale = 1.0F / sqrtf(sum / static_cast<float>(cols) + eps);
        for (std::int64_t c = 0; c < cols; ++c)
            out[row * cols + c] = in[c] * scale * weight[c];
    }
};

struct Convert {
    const float* in;
    std::uint16_t* out;
    std::int64_t size;
    Half type;
    MINI_BOTH std::int64_t count() const { return size; }
    MINI_BOTH void operator()(std::int64_t i) const { out[i] = narrow(in[i], type); }
};

/// Rotates in place. Position 0 of the call is *first.
struct Rope {
    float* x;
    const int* first;
    std::int64_t rows, heads, head_dim, row_stride;
    float base;
    bool neighbours;  ///< pairs (0,1), (2,3), ...; else (j, j + half)
    MINI_BOTH std::int64_t count() const { return rows * heads * head_dim / 2; }
    MINI_BOTH void operator()(std::int64_t i) const {
        const std::int64_t half = head_dim / 2;
        const std::int64_t j = i % half;
        const std::int64_t head = i / half % heads;
        const std::int64_t row = i / half / heads;
        float* at = x + row * row_stride + head * head_dim;
        const std::int64_t first_of_pair = neighbours ? 2 * j : j;
        const std::int64_t second_of_pair = neighbours ? 2 * j + 1 : j + half;
        const float turn = static_cast<float>(*first + row) *
                           powf(base, -2.0F * static_cast<float>(j) / static_cast<float>(head_dim));
        const float c = cosf(turn);
        const float s = sinf(turn);
        const float a = at[first_of_pair];
        const float b = at[second_of_pair];
        at[first_of_pair] = a * c - b * s;
        at[second_of_pair] = a * s + b * c;
    }
};

struct StoreCache {
    const float* in;
    float* cache;
    const int* first;
    std::int64_t rows, cols, row_stride;
    MINI_BOTH std::int64_t count() const { return rows * cols; }
    MINI_BOTH void operator()(std::int64_t i) const {
        cache[(*first + i / cols) * cols + i % cols] = in[i / cols * row_stride + i % cols];
    }
};

/// One head of one row per index.
struct Attention {
    const float* q;
    const float* keys;
    const float* values;
    float* out;
    const int* first;
    std::int64_t rows, heads, kv_heads, head_dim, row_stride;
    float scale;
    bool shuffled_groups;  ///< the wrong key head for each query head
    bool sees_next;        ///< the mask lets each row see one more position
    MINI_BOTH std::int64_t count() const { return rows * heads; }
    MINI_BOTH void operator()(std::int64_t i) const {
        const std::int64_t head = i % heads;
        const std::int64_t row = i / heads;
        const std::int64_t group = group_of(head);
        const std::int64_t visible = last_visible(row);
        const std::int64_t width = kv_heads * head_dim;
        const float* query = q + row * row_stride + head * head_dim;
        float* result = out + row * heads * head_dim + head * head_dim;
        float largest = -INFINITY;
        for (std::int64_t p = 0; p <= visible; ++p) {
            const float s = score(query, p, group, width);
            largest = s > largest ? s : largest;
        }
        for (std::int64_t d = 0; d < head_dim; ++d)
            result[d] = 0;
        float total = 0;
        for (std::int64_t p = 0; p <= visible; ++p) {
            const float w = expf(score(query, p, group, width) - largest);
            total += w;
            for (std::int64_t d = 0; d < head_dim; ++d)
                result[d] += w * values[p * width + group * head_dim + d];
        }
        for (std::int64_t d = 0; d < head_dim; ++d)
            result[d] /= total;
    }
    MINI_BOTH std::int64_t group_of(std::int64_t head) const {
        return shuffled_groups ? head % kv_heads : head * kv_heads / heads;
    }
    MINI_BOTH std::int64_t last_visible(std::int64_t row) const {
        const std::int64_t last = *first + row;
        return sees_next && row + 1 < rows ? last + 1 : last;
    }
    MINI_BOTH float score(const float* query, std::int64_t p, std::int64_t group,
                          std::int64_t width) const {
        float sum = 0;
        for (std::int64_t d = 0; d < head_dim; ++d)
            sum += query[d] * keys[p * width + group * head_dim + d];
        return sum * scale;
    }
};

struct SiluMul {
    const float* gate;
    const float* up;
    float* out;
    std::int64_t rows, cols, row_stride;
    MINI_BOTH std::int64_t count() const { return rows * cols; }
    MINI_BOTH void operator()(std::int64_t i) const {
        const std::int64_t from = i / cols * row_stride + i % cols;
        const float g = gate[from];
        out[i] = g / (1.0F + expf(-g)) * up[from];
    }
};

struct Add {
    float* x;
    const float* y;
    std::int64_t size;
    MINI_BOTH std::int64_t count() const { return size; }
    MINI_BOTH void operator()(std::int64_t i) const { x[i] += y[i]; }
};

/// The likeliest token becomes the next one's input, and the position moves on: so a captured step
/// can run again and again.
struct NextToken {
    const float* logits;
    int* token;
    int* position;
    std::int64_t vocabulary;
    int advance;
    MINI_BOTH std::int64_t count() const { return 1; }
    MINI_BOTH void operator()(std::int64_t) const {
        std::int64_t best = 0;
        for (std::int64_t v = 1; v < vocabulary; ++v)
            best = logits[v] > logits[best] ? v : best;
        *token = static_cast<int>(best);
        *position += advance;
    }
};

// clang-format off
#define MINI_KERNELS(X) X(Embed) X(RmsNorm) X(Convert) X(Rope) X(StoreCache) X(Attention) X(SiluMul) X(Add) X(NextToken) X(Fill)
// clang-format on

template <class Kernel>
struct KernelName;
#define MINI_NAME(Kernel)                                    \
    template <>                                              \
    struct KernelName<Kernel> {                              \
        static constexpr const char* text = "mini_" #Kernel; \
    };
MINI_KERNELS(MINI_NAME)
#undef MINI_NAME

/// Positions that a cache holds.
inline constexpr std::int64_t context = 512;

/// Threads of a block that does one index; 0: a thread does.
template <class Kernel>
inline constexpr unsigned threads_per_index = 0;
template <>
inline constexpr unsigned threads_per_index<RmsNorm> = 256;
template <>
inline constexpr unsigned threads_per_index<Attention> = 128;
template <>
inline constexpr unsigned threads_per_index<NextToken> = 1024;

}  // namespace minillama
