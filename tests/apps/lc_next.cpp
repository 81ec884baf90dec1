// Another preload library: counts sgemm_ and asks dlsym(RTLD_NEXT) for the one behind it.
#include <dlfcn.h>

#include <cstdio>

static int calls = 0;

extern "C" void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c,
                            int ldc) {
    using Real = decltype(&cblas_sgemm);
    static const Real real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "cblas_sgemm"));
    ++calls;
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

__attribute__((destructor)) static void report() {
    std::printf("the other library saw %d calls\n", calls);
}
