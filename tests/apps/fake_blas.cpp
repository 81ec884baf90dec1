// A BLAS of our own: naive, allocates nothing, starts no thread. FAKE_SCALE multiplies every alpha,
// so that a result tells which copy computed it. FAKE_MINIMAL leaves sgemm_ only. As in the netlib
// library, CBLAS calls the exported Fortran functions.
#include <cstdint>
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

template <class In, class Out>
void multiply(char ta, char tb, int m, int n, int k, Out alpha, const In* a, int lda, const In* b,
              int ldb, Out beta, Out* c, int ldc) {
    for (int j = 0; j < n; ++j) {
        for (int i = 0; i < m; ++i) {
            Out sum = 0;
            for (int l = 0; l < k; ++l) {
                sum += widen(plain(ta) ? a[i + l * lda] : a[l + i * lda]) *
                       widen(plain(tb) ? b[l + j * ldb] : b[j + l * ldb]);
            }
            Out& to = c[i + j * ldc];
            to = FAKE_SCALE * alpha * sum + (beta == 0 ? 0 : beta * to);
        }
    }
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
