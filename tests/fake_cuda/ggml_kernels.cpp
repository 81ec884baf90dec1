// Host versions of the kernels that llama.cpp's CUDA build launches for a Llama model with f32
// weights, so that the engine computes its tokens on the stand-in. Given as FAKE_CUDA_KERNELS.
// What a kernel's parameters mean follows from its signature; how it computes is ours: one loop
// over the whole tensor, sums in double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/gemm.hpp"
#include "fake_cuda.h"

namespace {

/// ggml hands a divisor over as three words, of which the last is the divisor itself.
struct Divisor {
    std::uint32_t multiplier, shift, value;
};

/// Parameters in the order of the signature.
class Params {
  public:
    explicit Params(void** params) : next_(params) {}
    template <class T>
    T take() {
        T value;
        std::memcpy(&value, *next_++, sizeof value);
        return value;
    }
    void skip(int count) { next_ += count; }

  private:
    void** next_;
};

using i64 = std::int64_t;
using u64 = std::uint64_t;

struct Grid {
    unsigned gx, gy, gz, bx, by, bz;
};

std::string_view kernel_name() {
    return fake_cuda_kernel_name();
}

bool name_has(std::string_view text) {
    return kernel_name().find(text) != std::string_view::npos;
}

/// The nth argument of the template, as text.
std::string_view template_argument(int n) {
    std::string_view name = kernel_name();
    name.remove_prefix(std::min(name.size(), name.find('<') + 1));
    int depth = 0;
    std::size_t start = 0;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        if (c == '<' || c == '(') ++depth;
        const bool ends = depth == 0 && (c == ',' || c == '>');
        if (ends && n-- == 0) return name.substr(start, i - start);
        if (ends) start = i + 2;
        if (c == '>' || c == ')') --depth;
    }
    return {};
}

int type_of(std::string_view name) {
    if (name == "__half") return fake::r16f;
    return name == "__nv_bfloat16" ? fake::r16bf : fake::r32f;
}

double read(const void* data, int type, i64 index) {
    return fake::load(data, type, index).real();
}
void write(void* data, int type, i64 index, double value) {
    fake::store(data, type, index, value);
}

double silu(double x) {
    return x / (1 + std::exp(-x));
}

}  // namespace

#define KERNEL(NAME)                                                                             \
    static void run_##NAME(const Grid& grid, Params p);                                          \
    extern "C" void NAME##_host(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, \
                                unsigned bz, void** params) {                                    \
        run_##NAME({gx, gy, gz, bx, by, bz}, Params(params));                                    \
    }                                                                                            \
    static void run_##NAME([[maybe_unused]] const Grid& grid, Params p)

KERNEL(rms_norm_f32) {
    const auto* x = p.take<const float*>();
    auto* dst = p.take<float*>();
    const i64 cols = p.take<int>();
    const i64 stride[] = {p.take<i64>(), p.take<i64>(), p.take<i64>()};
    const double eps = p.take<float>();
    struct Operand {
        const float* data;
        i64 stride[3];
        Divisor size[4];
        float at(i64 col, i64 row, i64 channel, i64 sample) const {
            return data[sample % size[3].value * stride[2] + channel % size[2].value * stride[1] +
                        row % size[1].value * stride[0] + col % size[0].value];
        }
    };
    const auto operand = [&p] {
        return Operand{
            p.take<const float*>(),
            {p.take<i64>(), p.take<i64>(), p.take<i64>()},
            {p.take<Divisor>(), p.take<Divisor>(), p.take<Divisor>(), p.take<Divisor>()}};
    };
    const bool multiplies = template_argument(1) == "true";
    const bool adds = template_argument(2) == "true";
    const Operand mul = operand();
    const Operand add = operand();
    for (i64 sample = 0; sample < grid.gz; ++sample) {
        for (i64 channel = 0; channel < grid.gy; ++channel) {
            for (i64 row = 0; row < grid.gx; ++row) {
                const float* in = x + sample * stride[2] + channel * stride[1] + row * stride[0];
                float* out = dst + ((sample * grid.gy + channel) * grid.gx + row) * cols;
                double sum = 0;
                for (i64 c = 0; c < cols; ++c)
                    sum += static_cast<double>(in[c]) * in[c];
                const double scale = 1 / std::sqrt(sum / static_cast<double>(cols) + eps);
                for (i64 c = 0; c < cols; ++c) {
                    double v = in[c] * scale;
                    if (multiplies) v *= mul.at(c, row, channel, sample);
                    if (adds) v += add.at(c, row, channel, sample);
                    out[c] = static_cast<float>(v);
                }
            }
        }
    }
}

KERNEL(rope_norm) {
    const bool forward = template_argument(0) == "true";
    const bool has_factors = template_argument(1) == "true";
    const int in_type = type_of(template_argument(2));
    const int out_type = type_of(template_argument(3));
    const auto* x = p.take<const void*>();
    auto* dst = p.take<void*>();
    const i64 ne[] = {p.take<int>(), p.take<int>(), p.take<int>()};
    const i64 in[] = {p.take<int>(), p.take<int>(), p.take<int>()};
    const i64 out[] = {p.take<int>(), p.take<int>(), p.take<int>()};
    const int dims = p.take<int>();
    const int first = p.take<int>();
    const auto* positions = p.take<const int*>();
    const double scale = p.take<float>();
    const double extrapolation = p.take<float>();
    const double attention = p.take<float>();
    struct Range {
        float low, high;
    };
    const auto corrected = p.take<Range>();
    const double base = p.take<float>();
    const auto* factors = p.take<const float*>();
    const auto* rows = p.take<const i64*>();
    const i64 row_stride = p.take<int>();
    const i64 count = static_cast<i64>(grid.gx) * grid.bx;
    for (i64 row = 0; row < count; ++row) {
        const i64 i3 = row / (ne[1] * ne[2]);
        const i64 i2 = row / ne[1] % ne[2];
        const i64 i1 = row % ne[1];
        const i64 from = i1 * in[0] + i2 * in[1] + i3 * in[2];
        // Fused with the write into the cache: there the rows are told by index.
        const i64 to = row_stride != 0 ? i1 * out[0] + rows[i2] * row_stride
                                       : i1 * out[0] + i2 * out[1] + i3 * out[2];
        for (i64 c = 0; c + 1 < ne[0]; c += 2) {
            const double a = read(x, in_type, from + c);
            const double b = read(x, in_type, from + c + 1);
            double angle_cos = 1;
            double angle_sin = 0;
            if (c >= first && c < first + dims) {
                const auto half = static_cast<double>(c - first) / 2;
                const double factor = has_factors ? factors[(c - first) / 2] : 1;
                const double plain = positions[i2] * std::pow(base, half) / factor;
                double angle = plain * scale;
                double size = attention;
                if (extrapolation != 0) {
                    const double y = (std::floor(half) - corrected.low) /
                                     std::max(0.001, double{corrected.high} - corrected.low);
                    const double mix = (1 - std::clamp(y, 0.0, 1.0)) * extrapolation;
                    angle = angle * (1 - mix) + plain * mix;
                    size *= 1 + 0.1 * std::log(1 / scale);
                }
                angle_cos = std::cos(angle) * size;
                angle_sin = std::sin(angle) * size * (forward ? 1 : -1);
            }
            write(dst, out_type, to + c, a * angle_cos - b * angle_sin);
            write(dst, out_type, to + c + 1, a * angle_sin + b * angle_cos);
        }
    }
}

KERNEL(k_set_rows) {
    const int in_type = type_of(template_argument(0));
    const bool wide = template_argument(1) == "long";
    const int out_type = type_of(template_argument(2));
    const auto* src = p.take<const void*>();
    const auto* rows = p.take<const void*>();
    auto* dst = p.take<void*>();
    const i64 total = p.take<i64>();
    p.skip(4);
    const i64 in[] = {p.take<i64>(), p.take<i64>(), p.take<i64>()};
    const i64 index[] = {p.take<i64>(), p.take<i64>(), p.take<i64>()};
    const i64 out[] = {p.take<i64>(), p.take<i64>(), p.take<i64>()};
    const i64 ne[] = {p.take<Divisor>().value, p.take<Divisor>().value, p.take<Divisor>().value};
    const i64 ne11 = p.take<Divisor>().value;
    const i64 ne12 = p.take<Divisor>().value;
    for (i64 i = 0; i < total; ++i) {
        const i64 i0 = i % ne[0];
        const i64 i1 = i / ne[0] % ne[1];
        const i64 i2 = i / (ne[0] * ne[1]) % ne[2];
        const i64 i3 = i / (ne[0] * ne[1] * ne[2]);
        const i64 at = i1 * index[0] + i2 % ne11 * index[1] + i3 % ne12 * index[2];
        const i64 row =
            wide ? static_cast<const i64*>(rows)[at] : static_cast<const int*>(rows)[at];
        write(dst, out_type, row * out[0] + i2 * out[1] + i3 * out[2] + i0,
              read(src, in_type, i1 * in[0] + i2 * in[1] + i3 * in[2] + i0));
    }
}

KERNEL(k_get_rows_float) {
    const int in_type = type_of(template_argument(0));
    const int out_type = type_of(template_argument(1));
    const auto* src = p.take<const char*>();
    const auto* rows = p.take<const int*>();
    auto* dst = p.take<void*>();
    const i64 cols = p.take<i64>();
    const i64 ne11 = p.take<i64>();
    const i64 ne12 = p.take<Divisor>().value;
    const u64 out[] = {p.take<u64>(), p.take<u64>(), p.take<u64>()};
    const u64 in_bytes[] = {p.take<u64>(), p.take<u64>(), p.take<u64>()};
    const u64 index[] = {p.take<u64>(), p.take<u64>(), p.take<u64>()};
    for (u64 i10 = 0; i10 < grid.gx; ++i10) {
        for (i64 z = 0; z < ne11 * ne12; ++z) {
            const auto i11 = static_cast<u64>(z / ne12);
            const auto i12 = static_cast<u64>(z % ne12);
            const int row = rows[i10 * index[0] + i11 * index[1] + i12 * index[2]];
            const char* from =
                src + row * static_cast<i64>(in_bytes[0]) + i11 * in_bytes[1] + i12 * in_bytes[2];
            const auto to = static_cast<i64>(i10 * out[0] + i11 * out[1] + i12 * out[2]);
            for (i64 c = 0; c < cols; ++c)
                write(dst, out_type, to + c, read(from, in_type, c));
        }
    }
}

KERNEL(cpy_scalar) {
    // cpy_scalar<&cpy_1_scalar<SRC, DST>(char const*, char*)>
    const int in_type = name_has("cpy_1_scalar<__half") ? fake::r16f : fake::r32f;
    const int out_type = name_has(", __half>") ? fake::r16f : fake::r32f;
    const auto* src = p.take<const char*>();
    auto* dst = p.take<char*>();
    const i64 total = p.take<i64>();
    const auto offset = [](const i64* ne, const i64* nb, i64 i) {
        return i % ne[0] * nb[0] + i / ne[0] % ne[1] * nb[1] + i / (ne[0] * ne[1]) % ne[2] * nb[2] +
               i / (ne[0] * ne[1] * ne[2]) * nb[3];
    };
    i64 in[7];
    i64 out[7];
    for (i64& v : in)
        v = p.take<i64>();
    for (i64& v : out)
        v = p.take<i64>();
    for (i64 i = 0; i < total; ++i) {
        write(dst + offset(out, out + 3, i), out_type, 0,
              read(src + offset(in, in + 3, i), in_type, 0));
    }
}

KERNEL(convert_unary_cont_vec4) {
    const int in_type = type_of(template_argument(0));
    const int out_type = type_of(template_argument(1));
    const auto* src = p.take<const void*>();
    auto* dst = p.take<void*>();
    const i64 total = 4 * p.take<i64>();  // counted in fours
    for (i64 i = 0; i < total; ++i)
        write(dst, out_type, i, read(src, in_type, i));
}

KERNEL(k_compute_batched_ptrs) {
    auto* a = p.take<char*>();
    auto* b = p.take<char*>();
    auto* c = p.take<char*>();
    auto** inputs = p.take<void**>();
    auto** outputs = p.take<void**>();
    const i64 ne12 = p.take<i64>();
    const i64 ne13 = p.take<i64>();
    const i64 ne23 = p.take<i64>();
    i64 nb[6];
    for (i64& v : nb)
        v = static_cast<i64>(p.take<u64>());
    const i64 r2 = p.take<i64>();
    const i64 r3 = p.take<i64>();
    for (i64 i3 = 0; i3 < ne13; ++i3) {
        for (i64 i2 = 0; i2 < ne12; ++i2) {
            const i64 at = i2 + i3 * ne12;
            inputs[at] = a + i2 / r2 * nb[0] + i3 / r3 * nb[1];
            inputs[ne23 + at] = b + i2 * nb[2] + i3 * nb[3];
            outputs[at] = c + i2 * nb[4] + i3 * nb[5];
        }
    }
}

KERNEL(k_bin_bcast) {
    const auto* a = p.take<const float*>();
    const auto* b = p.take<const float*>();
    auto* dst = p.take<float*>();
    const i64 ne[] = {p.take<unsigned>(), p.take<unsigned>(), p.take<unsigned>(),
                      p.take<Divisor>().value};
    i64 size[4];
    for (i64& v : size)
        v = p.take<Divisor>().value;
    i64 out[4] = {1};
    i64 in_a[4];
    i64 in_b[4];
    for (int i = 1; i < 4; ++i)
        out[i] = p.take<unsigned>();
    for (i64& v : in_a)
        v = p.take<unsigned>();
    for (i64& v : in_b)
        v = p.take<unsigned>();
    const bool product = name_has("op_mul");
    for (i64 i3 = 0; i3 < ne[3]; ++i3) {
        for (i64 i2 = 0; i2 < ne[2]; ++i2) {
            for (i64 i1 = 0; i1 < ne[1]; ++i1) {
                for (i64 i0 = 0; i0 < ne[0]; ++i0) {
                    const float x = a[i3 * in_a[3] + i2 * in_a[2] + i1 * in_a[1] + i0 * in_a[0]];
                    const float y = b[i3 % size[3] * in_b[3] + i2 % size[2] * in_b[2] +
                                      i1 % size[1] * in_b[1] + i0 % size[0] * in_b[0]];
                    dst[i3 * out[3] + i2 * out[2] + i1 * out[1] + i0] = product ? x * y : x + y;
                }
            }
        }
    }
}

KERNEL(unary_gated_op_kernel) {  // silu, the only one that Llama has
    const auto* x = p.take<const float*>();
    const auto* gate = p.take<const float*>();
    auto* dst = p.take<float*>();
    const i64 total = p.take<i64>();
    const i64 cols = p.take<i64>();
    const i64 stride_x = p.take<i64>();
    const i64 stride_gate = p.take<i64>();
    for (i64 i = 0; i < total; ++i) {
        dst[i] = static_cast<float>(silu(x[i / cols * stride_x + i % cols]) *
                                    gate[i / cols * stride_gate + i % cols]);
    }
}

KERNEL(soft_max_f32) {
    struct Shape {
        i64 heads;
        std::uint32_t heads_log2;
        i64 cols, rows_x, rows_y, ne00, ne01, ne02, ne03, nb11, nb12, nb13, ne12, ne13;
        float scale, max_bias, m0, m1;
    };
    const int mask_type = type_of(template_argument(3));
    const auto* x = p.take<const float*>();
    const auto* mask = p.take<const char*>();
    const auto* sinks = p.take<const float*>();
    auto* dst = p.take<float*>();
    const auto s = p.take<Shape>();
    std::vector<double> values(static_cast<std::size_t>(s.cols));
    for (i64 i3 = 0; i3 < grid.gz; ++i3) {
        for (i64 i2 = 0; i2 < grid.gy; ++i2) {
            for (i64 i1 = 0; i1 < grid.gx; ++i1) {
                const i64 row = (i3 * grid.gy + i2) * grid.gx + i1;
                const char* masks = mask == nullptr ? nullptr
                                                    : mask + i1 * s.nb11 + i2 % s.ne12 * s.nb12 +
                                                          i3 % s.ne13 * s.nb13;
                double most =
                    sinks != nullptr ? sinks[i2] : -std::numeric_limits<double>::infinity();
                for (i64 c = 0; c < s.cols; ++c) {
                    // No ALiBi in Llama: the slope of the mask is 1.
                    values[c] = static_cast<double>(x[row * s.cols + c]) * s.scale +
                                (masks != nullptr ? read(masks, mask_type, c) : 0);
                    most = std::max(most, values[c]);
                }
                double sum = sinks != nullptr ? std::exp(sinks[i2] - most) : 0;
                for (double& v : values)
                    sum += v = std::exp(v - most);
                for (i64 c = 0; c < s.cols; ++c)
                    dst[row * s.cols + c] = static_cast<float>(values[c] / sum);
            }
        }
    }
}

KERNEL(mul_mat_vec_f) {
    const int type = type_of(template_argument(0));
    const int columns = std::atoi(std::string(template_argument(2)).c_str());
    const bool fused = template_argument(4) == "true";
    struct Fusion {
        const float* bias;
        const char* gate;
        const float* gate_bias;
    };
    const auto* x = p.take<const char*>();
    const auto* y = p.take<const float*>();
    const auto* ids = p.take<const int*>();
    const auto fusion = p.take<Fusion>();
    auto* dst = p.take<float*>();
    const i64 terms = 2 * p.take<int>();
    const i64 channels_y = p.take<Divisor>().value;
    const i64 stride_row = p.take<int>();
    const i64 stride_col_y = 2 * p.take<int>();
    const i64 stride_col_dst = p.take<int>();
    const i64 channel_ratio = p.take<Divisor>().value;
    const i64 channel[] = {p.take<int>(), p.take<int>(), p.take<int>()};
    const i64 sample_ratio = p.take<Divisor>().value;
    const i64 sample[] = {p.take<int>(), p.take<int>(), p.take<int>()};
    const auto bytes = static_cast<i64>(fake::size_of(type));
    for (i64 s = 0; s < grid.gz; ++s) {
        for (i64 ch = 0; ch < grid.gy; ++ch) {
            const i64 channel_x = ids != nullptr ? ids[ch] : ch / channel_ratio;
            const i64 channel_y = ids != nullptr ? ch % channels_y : ch;
            const i64 weights = s / sample_ratio * sample[0] + channel_x * channel[0];
            const float* input = y + s * sample[1] + channel_y * channel[1];
            const i64 target = s * sample[2] + ch * channel[2];
            for (i64 row = 0; row < grid.gx; ++row) {
                for (i64 col = 0; col < columns; ++col) {
                    const auto dot = [&](const char* matrix) {
                        double sum = 0;
                        const char* line = matrix + (weights + row * stride_row) * bytes;
                        for (i64 i = 0; i < terms; ++i)
                            sum += read(line, type, i) * input[col * stride_col_y + i];
                        return sum;
                    };
                    const i64 place = target + col * stride_col_dst + row;
                    double result = dot(x);
                    if (fused && fusion.bias != nullptr) result += fusion.bias[place];
                    if (fused && fusion.gate != nullptr) {
                        const double gate =
                            dot(fusion.gate) +
                            (fusion.gate_bias != nullptr ? fusion.gate_bias[place] : 0);
                        result *= silu(gate);
                    }
                    dst[place] = static_cast<float>(result);
                }
            }
        }
    }
}
