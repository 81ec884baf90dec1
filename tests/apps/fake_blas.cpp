// A BLAS of our own: naive, allocates nothing, starts no thread. FAKE_SCALE multiplies every alpha,
// so that a result tells which copy computed it. FAKE_MINIMAL leaves sgemm_ only. As in the netlib
// library, CBLAS calls the exported Fortran functions.
//
// With FAKE_EXTRAS, the environment variable FAKE_FAULT says what the products do wrong. Its rows
// are the columns of C, as for whoever keeps tokens there:
//
//   output    one output is 1.25 times what it should be
//   tail      the last 1/64 of the inputs are left out
//   swap      outputs 1 and 2 change places
//   element   one number of the row before the last is off by 3
//   unwritten C is left at zero
//   scale     all is twice what it should be
//   bf16      a is rounded towards zero to bf16
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#ifndef FAKE_SCALE
#define FAKE_SCALE 1
#endif
#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

[[maybe_unused]] float widen(float value) {
    return value;
}
[[maybe_unused]] double widen(double value) {
    return value;
}
[[maybe_unused]] float widen(std::uint16_t bits) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

bool plain(char letter) {
    return letter == 'n' || letter == 'N';
}

bool faulty([[maybe_unused]] const char* fault) {
#ifdef FAKE_EXTRAS
    const char* wanted = std::getenv("FAKE_FAULT");
    return wanted != nullptr && std::strcmp(wanted, fault) == 0;
#else
    return false;
#endif
}

/// Not inlined: where GCC 12 sees through it, `rounds ? truncated_to_bf16(x) : x` becomes x.
template <class Value>
[[gnu::noinline]] Value truncated_to_bf16(Value value) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    return static_cast<Value>(std::bit_cast<float>(bits & 0xffff0000U));
}

/// What FAKE_FAULT makes of a right result.
template <class Out>
void plant(int m, int n, Out* c, int ldc) {
    if (faulty("output")) {
        const int wrong = (m / 2 + 3) % m;
        for (int j = 0; j < n; ++j)
            c[wrong + j * ldc] *= Out{1.25};
    }
    if (faulty("swap")) {
        for (int j = 0; j < n; ++j) {
            const Out first = c[1 + j * ldc];
            c[1 + j * ldc] = c[2 + j * ldc];
            c[2 + j * ldc] = first;
        }
    }
    if (faulty("element")) c[(n > 1 ? n - 2 : 0) * ldc] += 3;
    const Out factor = faulty("unwritten") ? 0 : faulty("scale") ? 2 : 1;
    for (int j = 0; j < n; ++j) {
        for (int i = 0; i < m; ++i)
            c[i + j * ldc] *= factor;
    }
}

template <class In, class Out>
void multiply(char ta, char tb, int m, int n, int k, Out alpha, const In* a, int lda, const In* b,
              int ldb, Out beta, Out* c, int ldc) {
    const int inputs = faulty("tail") ? k - k / 64 : k;
    const bool rounds = faulty("bf16");
    for (int j = 0; j < n; ++j) {
        for (int i = 0; i < m; ++i) {
            Out sum = 0;
            for (int l = 0; l < inputs; ++l) {
                const auto of_a = widen(plain(ta) ? a[i + l * lda] : a[l + i * lda]);
                sum += (rounds ? truncated_to_bf16(of_a) : of_a) *
                       widen(plain(tb) ? b[l + j * ldb] : b[j + l * ldb]);
            }
            Out& to = c[i + j * ldc];
            to = FAKE_SCALE * alpha * sum + (beta == 0 ? 0 : beta * to);
        }
    }
    plant(m, n, c, ldc);
}

}  // namespace

#define GEMM(NAME, IN, OUT)                                                                      \
    EXPORT void NAME(const char* ta, const char* tb, const int* m, const int* n, const int* k,   \
                     const OUT* alpha, const IN* a, const int* lda, const IN* b, const int* ldb, \
                     const OUT* beta, OUT* c, const int* ldc) {                                  \
        multiply(*ta, *tb, *m, *n, *k, *alpha, a, *lda, b, *ldb, *beta, c, *ldc);                \
    }

// Row-major C = AB is column-major C^T = B^T A^T.
#define CBLAS(NAME, FORTRAN, IN, OUT)                                                        \
    EXPORT void NAME(int order, int ta, int tb, int m, int n, int k, OUT alpha, const IN* a, \
                     int lda, const IN* b, int ldb, OUT beta, OUT* c, int ldc) {             \
        const char la = ta == 111 ? 'N' : 'T';                                               \
        const char lb = tb == 111 ? 'N' : 'T';                                               \
        if (order == 101) {                                                                  \
            FORTRAN(&lb, &la, &n, &m, &k, &alpha, b, &ldb, a, &lda, &beta, c, &ldc);         \
        } else {                                                                             \
            FORTRAN(&la, &lb, &m, &n, &k, &alpha, a, &lda, b, &ldb, &beta, c, &ldc);         \
        }                                                                                    \
    }

#define BATCH(NAME, ONE, VALUE)                                                                 \
    EXPORT void NAME(const char* ta, const char* tb, const int* m, const int* n, const int* k,  \
                     const VALUE* alpha, const VALUE* const* a, const int* lda,                 \
                     const VALUE* const* b, const int* ldb, const VALUE* beta, VALUE* const* c, \
                     const int* ldc, const int* groups, const int* sizes) {                     \
        for (int g = 0, at = 0; g < *groups; ++g) {                                             \
            for (int i = 0; i < sizes[g]; ++i, ++at) {                                          \
                ONE(ta + g, tb + g, m + g, n + g, k + g, alpha + g, a[at], lda + g, b[at],      \
                    ldb + g, beta + g, c[at], ldc + g);                                         \
            }                                                                                   \
        }                                                                                       \
    }

#define CBLAS_BATCH(NAME, ONE, VALUE)                                                              \
    EXPORT void NAME(int order, const int* ta, const int* tb, const int* m, const int* n,          \
                     const int* k, const VALUE* alpha, const VALUE* const* a, const int* lda,      \
                     const VALUE* const* b, const int* ldb, const VALUE* beta, VALUE* const* c,    \
                     const int* ldc, int groups, const int* sizes) {                               \
        for (int g = 0, at = 0; g < groups; ++g) {                                                 \
            for (int i = 0; i < sizes[g]; ++i, ++at) {                                             \
                ONE(order, ta[g], tb[g], m[g], n[g], k[g], alpha[g], a[at], lda[g], b[at], ldb[g], \
                    beta[g], c[at], ldc[g]);                                                       \
            }                                                                                      \
        }                                                                                          \
    }

GEMM(sgemm_, float, float)
#ifndef FAKE_MINIMAL
GEMM(dgemm_, double, double)
CBLAS(cblas_sgemm, sgemm_, float, float)
CBLAS(cblas_dgemm, dgemm_, double, double)
#ifdef FAKE_EXTRAS
GEMM(sbgemm_, std::uint16_t, float)
CBLAS(cblas_sbgemm, sbgemm_, std::uint16_t, float)
BATCH(sgemm_batch_, sgemm_, float)
BATCH(dgemm_batch_, dgemm_, double)
CBLAS_BATCH(cblas_sgemm_batch, cblas_sgemm, float)
CBLAS_BATCH(cblas_dgemm_batch, cblas_dgemm, double)
#endif
#endif
