// Products in all shapes; each is printed with everything that went in and came out, for a reader
// that computes on its own what the trace has to say. With "batch": the forms that only some BLAS
// have, from the fake one.
#include <cblas.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*,
            std::size_t, std::size_t);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*, std::size_t, std::size_t);
void sgemv_(const char*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*, std::size_t);
void dgemv_(const char*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*, std::size_t);
#ifdef LC_EXTRAS
void sbgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
             const std::uint16_t*, const int*, const std::uint16_t*, const int*, const float*,
             float*, const int*, std::size_t, std::size_t);
void sgemm_batch_(const char*, const char*, const int*, const int*, const int*, const float*,
                  const float* const*, const int*, const float* const*, const int*, const float*,
                  float* const*, const int*, const int*, const int*);
void lc_cblas_sgemm_batch(int, const int*, const int*, const int*, const int*, const int*,
                          const float*, const float* const*, const int*, const float* const*,
                          const int*, const float*, float* const*, const int*, int,
                          const int*) __asm__("cblas_sgemm_batch");
void lc_cblas_sbgemm(int, int, int, int, int, int, float, const std::uint16_t*, int,
                     const std::uint16_t*, int, float, float*, int) __asm__("cblas_sbgemm");
#endif
}

namespace {

std::uint32_t state = 1;

/// Quarters between -8 and 8: exact in bf16, their products exact in f32.
float next_value() {
    state = state * 1664525U + 1013904223U;
    return (static_cast<float>(state >> 26) - 32.0F) / 4.0F;
}

template <class Value>
Value make() {
    if constexpr (sizeof(Value) == 2) {
        const float value = next_value();
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return static_cast<Value>(bits >> 16);
    } else {
        return static_cast<Value>(next_value());
    }
}

/// Never freed: a new operand has a new address.
template <class Value>
Value* array(int count) {
    auto* values = new Value[static_cast<std::size_t>(count > 0 ? count : 1)];
    for (int i = 0; i < count; ++i)
        values[i] = make<Value>();
    return values;
}

template <class Value>
void print(const char* key, const Value* values, int count) {
    std::printf(",\"%s\":[", key);
    for (int i = 0; i < count; ++i) {
        double shown;
        if constexpr (sizeof(Value) == 2) {
            const std::uint32_t bits = static_cast<std::uint32_t>(values[i]) << 16;
            float value;
            std::memcpy(&value, &bits, sizeof value);
            shown = static_cast<double>(value);
        } else {
            shown = static_cast<double>(values[i]);
        }
        std::printf("%s%.17g", i != 0 ? "," : "", shown);
    }
    std::printf("]");
}

struct Case {
    bool row;
    bool ta;
    bool tb;
    int m;
    int n;
    int k;
    double alpha;
    double beta;
    int pad;  // leading dimensions beyond the least
};

/// Storage of a matrix: how many lines of which pitch.
int pitch(bool row, bool transposed, int rows, int cols, int pad) {
    const int least = row != transposed ? cols : rows;
    return (least > 0 ? least : 1) + pad;
}
int lines(bool row, bool transposed, int rows, int cols) {
    return row != transposed ? rows : cols;
}

template <class In, class Out, class Call>
void gemm(const char* op, const Case& t, Call call) {
    const int lda = pitch(t.row, t.ta, t.m, t.k, t.pad);
    const int ldb = pitch(t.row, t.tb, t.k, t.n, t.pad);
    const int ldc = pitch(t.row, false, t.m, t.n, t.pad);
    const int size_a = lda * lines(t.row, t.ta, t.m, t.k);
    const int size_b = ldb * lines(t.row, t.tb, t.k, t.n);
    const int size_c = ldc * lines(t.row, false, t.m, t.n);
    const In* a = array<In>(size_a);
    const In* b = array<In>(size_b);
    Out* c = array<Out>(size_c);
    call(a, lda, b, ldb, c, ldc);
    std::printf(
        "{\"op\":\"%s\",\"row\":%d,\"ta\":%d,\"tb\":%d,\"m\":%d,\"n\":%d,\"k\":%d,"
        "\"alpha\":%.17g,\"beta\":%.17g,\"lda\":%d,\"ldb\":%d,\"ldc\":%d",
        op, t.row, t.ta, t.tb, t.m, t.n, t.k, t.alpha, t.beta, lda, ldb, ldc);
    print("a", a, size_a);
    print("b", b, size_b);
    print("c", c, size_c);
    std::printf("}\n");
}

template <class Value, class Call>
void gemv(const char* op, const Case& t, int incx, int incy, Call call) {
    const int lda = pitch(t.row, false, t.m, t.n, t.pad);
    const int size_a = lda * lines(t.row, false, t.m, t.n);
    const int size_x = 1 + ((t.ta ? t.m : t.n) - 1) * std::abs(incx);
    const int size_y = 1 + ((t.ta ? t.n : t.m) - 1) * std::abs(incy);
    const Value* a = array<Value>(size_a);
    const Value* x = array<Value>(size_x);
    Value* y = array<Value>(size_y);
    call(a, lda, x, y);
    std::printf(
        "{\"op\":\"%s\",\"row\":%d,\"ta\":%d,\"m\":%d,\"n\":%d,\"alpha\":%.17g,"
        "\"beta\":%.17g,\"lda\":%d,\"incx\":%d,\"incy\":%d",
        op, t.row, t.ta, t.m, t.n, t.alpha, t.beta, lda, incx, incy);
    print("a", a, size_a);
    print("x", x, size_x);
    print("y", y, size_y);
    std::printf("}\n");
}

const CBLAS_TRANSPOSE cblas_letter[] = {CblasNoTrans, CblasTrans};
const char* const letter[] = {"N", "t"};

[[maybe_unused]] void all_gemms() {
    const int shapes[][3] = {{1, 1, 1}, {3, 5, 4}, {12, 2, 7}, {2, 20, 3},
                             {0, 3, 2}, {3, 0, 2}, {3, 2, 0}};
    for (const auto& s : shapes) {
        for (int bits = 0; bits < 8; ++bits) {
            Case t{(bits & 4) != 0,
                   (bits & 1) != 0,
                   (bits & 2) != 0,
                   s[0],
                   s[1],
                   s[2],
                   bits % 3 == 0 ? 1 : -2.5,
                   bits % 2 == 0 ? 0 : 0.5,
                   bits % 4};
            const CBLAS_ORDER order = t.row ? CblasRowMajor : CblasColMajor;
            const auto fa = static_cast<float>(t.alpha);
            const auto fb = static_cast<float>(t.beta);
            gemm<float, float>("cblas_sgemm", t,
                               [&](auto a, int lda, auto b, int ldb, auto c, int ldc) {
                                   cblas_sgemm(order, cblas_letter[t.ta], cblas_letter[t.tb], t.m,
                                               t.n, t.k, fa, a, lda, b, ldb, fb, c, ldc);
                               });
            gemm<double, double>("cblas_dgemm", t,
                                 [&](auto a, int lda, auto b, int ldb, auto c, int ldc) {
                                     cblas_dgemm(order, cblas_letter[t.ta], cblas_letter[t.tb], t.m,
                                                 t.n, t.k, t.alpha, a, lda, b, ldb, t.beta, c, ldc);
                                 });
            t.row = false;
            if (bits >= 4) continue;
            gemm<float, float>("sgemm_", t, [&](auto a, int lda, auto b, int ldb, auto c, int ldc) {
                sgemm_(letter[t.ta], letter[t.tb], &t.m, &t.n, &t.k, &fa, a, &lda, b, &ldb, &fb, c,
                       &ldc, 1, 1);
            });
            gemm<double, double>("dgemm_", t,
                                 [&](auto a, int lda, auto b, int ldb, auto c, int ldc) {
                                     dgemm_(letter[t.ta], letter[t.tb], &t.m, &t.n, &t.k, &t.alpha,
                                            a, &lda, b, &ldb, &t.beta, c, &ldc, 1, 1);
                                 });
        }
    }
}

[[maybe_unused]] void all_gemvs() {
    const int increments[][2] = {{1, 1}, {2, 3}, {-1, 1}, {1, -2}, {-3, -1}};
    for (const auto& inc : increments) {
        for (int bits = 0; bits < 4; ++bits) {
            Case t{(bits & 1) != 0,       (bits & 2) != 0,        false,   5, 3, 0,
                   bits == 1 ? 3.0 : 1.0, bits == 2 ? -1.5 : 0.0, bits % 3};
            const CBLAS_ORDER order = t.row ? CblasRowMajor : CblasColMajor;
            const auto fa = static_cast<float>(t.alpha);
            const auto fb = static_cast<float>(t.beta);
            gemv<float>("cblas_sgemv", t, inc[0], inc[1], [&](auto a, int lda, auto x, auto y) {
                cblas_sgemv(order, cblas_letter[t.ta], t.m, t.n, fa, a, lda, x, inc[0], fb, y,
                            inc[1]);
            });
            gemv<double>("cblas_dgemv", t, inc[0], inc[1], [&](auto a, int lda, auto x, auto y) {
                cblas_dgemv(order, cblas_letter[t.ta], t.m, t.n, t.alpha, a, lda, x, inc[0], t.beta,
                            y, inc[1]);
            });
            t.row = false;
            gemv<float>("sgemv_", t, inc[0], inc[1], [&](auto a, int lda, auto x, auto y) {
                sgemv_(letter[t.ta], &t.m, &t.n, &fa, a, &lda, x, &inc[0], &fb, y, &inc[1], 1);
            });
            gemv<double>("dgemv_", t, inc[0], inc[1], [&](auto a, int lda, auto x, auto y) {
                dgemv_(letter[t.ta], &t.m, &t.n, &t.alpha, a, &lda, x, &inc[0], &t.beta, y, &inc[1],
                       1);
            });
        }
    }
}

#ifdef LC_EXTRAS
/// Two groups: two products of one shape, one of another.
template <class Call>
void batch(const char* op, bool row, Call call) {
    const Case shape[2] = {{row, false, true, 3, 4, 2, 1, 0, 0},
                           {row, true, false, 2, 5, 3, 0.5, 2, 1}};
    const int group[3] = {0, 0, 1};
    const float* a[3];
    const float* b[3];
    float* c[3];
    int lda[2], ldb[2], ldc[2], m[2], n[2], k[2];
    float alpha[2], beta[2];
    for (int g = 0; g < 2; ++g) {
        const Case& t = shape[g];
        lda[g] = pitch(row, t.ta, t.m, t.k, t.pad);
        ldb[g] = pitch(row, t.tb, t.k, t.n, t.pad);
        ldc[g] = pitch(row, false, t.m, t.n, t.pad);
        m[g] = t.m;
        n[g] = t.n;
        k[g] = t.k;
        alpha[g] = static_cast<float>(t.alpha);
        beta[g] = static_cast<float>(t.beta);
    }
    int size[3][3];
    for (int i = 0; i < 3; ++i) {
        const Case& t = shape[group[i]];
        const int g = group[i];
        size[i][0] = lda[g] * lines(row, t.ta, t.m, t.k);
        size[i][1] = ldb[g] * lines(row, t.tb, t.k, t.n);
        size[i][2] = ldc[g] * lines(row, false, t.m, t.n);
        a[i] = array<float>(size[i][0]);
        b[i] = array<float>(size[i][1]);
        c[i] = array<float>(size[i][2]);
    }
    call(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    for (int i = 0; i < 3; ++i) {
        const int g = group[i];
        const Case& t = shape[g];
        std::printf(
            "{\"op\":\"%s\",\"batch\":%d,\"row\":%d,\"ta\":%d,\"tb\":%d,\"m\":%d,\"n\":%d,"
            "\"k\":%d,\"alpha\":%.17g,\"beta\":%.17g,\"lda\":%d,\"ldb\":%d,\"ldc\":%d",
            op, i, row, t.ta, t.tb, t.m, t.n, t.k, t.alpha, t.beta, lda[g], ldb[g], ldc[g]);
        print("a", a[i], size[i][0]);
        print("b", b[i], size[i][1]);
        print("c", c[i], size[i][2]);
        std::printf("}\n");
    }
}

void rare_forms() {
    const int sizes[2] = {2, 1};
    const int groups = 2;
    batch("sgemm_batch_", false,
          [&](auto m, auto n, auto k, auto alpha, auto a, auto lda, auto b, auto ldb, auto beta,
              auto c, auto ldc) {
              sgemm_batch_("NT", "TN", m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, &groups,
                           sizes);
          });
    for (const bool row : {false, true}) {
        batch("cblas_sgemm_batch", row,
              [&](auto m, auto n, auto k, auto alpha, auto a, auto lda, auto b, auto ldb, auto beta,
                  auto c, auto ldc) {
                  const int ta[2] = {111, 112};
                  const int tb[2] = {112, 111};
                  lc_cblas_sgemm_batch(row ? 101 : 102, ta, tb, m, n, k, alpha, a, lda, b, ldb,
                                       beta, c, ldc, groups, sizes);
              });
    }
    for (int bits = 0; bits < 8; ++bits) {
        Case t{(bits & 4) != 0, (bits & 1) != 0, (bits & 2) != 0, 3, 4, 6, 2, 0, bits % 2};
        gemm<std::uint16_t, float>(
            "cblas_sbgemm", t, [&](auto a, int lda, auto b, int ldb, auto c, int ldc) {
                lc_cblas_sbgemm(t.row ? 101 : 102, cblas_letter[t.ta], cblas_letter[t.tb], t.m, t.n,
                                t.k, 2, a, lda, b, ldb, 0, c, ldc);
            });
        if (t.row) continue;
        const float alpha = 2;
        const float beta = 0;
        gemm<std::uint16_t, float>("sbgemm_", t,
                                   [&](auto a, int lda, auto b, int ldb, auto c, int ldc) {
                                       sbgemm_(letter[t.ta], letter[t.tb], &t.m, &t.n, &t.k, &alpha,
                                               a, &lda, b, &ldb, &beta, c, &ldc, 1, 1);
                                   });
    }
}
#endif

}  // namespace

int main() {
#ifdef LC_EXTRAS
    rare_forms();
#else
    all_gemms();
    all_gemvs();
#endif
    return 0;
}
