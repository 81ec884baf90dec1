// The product that every small engine here computes: 2x4 times 4x3, through CBLAS.
#pragma once
#include <cstdio>

extern "C" void cblas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c,
                            int ldc);

namespace lc {

inline constexpr float weight[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/// Its last element: 60 * seed + 150 times alpha.
inline float product(int seed, float alpha = 1) {
    const auto s = static_cast<float>(seed);
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, s};
    float y[6] = {};
    cblas_sgemm(101, 111, 111, 2, 3, 4, alpha, x, 4, weight, 3, 0, y, 3);
    return y[5];
}

inline void products(int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i)
        sum += static_cast<double>(product(i));
    std::printf("%d products %.9g\n", count, sum);
    std::fflush(stdout);
}

}  // namespace lc
