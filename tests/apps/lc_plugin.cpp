// A module as engines load them, linked to one fake BLAS. Says when it is unloaded.
#include <dlfcn.h>

#include <cstdio>

extern "C" void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
                       const float*, const int*, const float*, const int*, const float*, float*,
                       const int*);
using Gemm = decltype(&sgemm_);

namespace {

struct Unloaded {
    ~Unloaded() {
        std::printf("plugin " LC_NAME " unloaded\n");
        std::fflush(stdout);
    }
} unloaded;

float compute(Gemm gemm) {
    const int one = 1;
    const float x = 3;
    const float w = 5;
    const float alpha = 1;
    const float beta = 0;
    float y = 0;
    gemm("N", "N", &one, &one, &one, &alpha, &x, &one, &w, &one, &beta, &y, &one);
    return y;
}

}  // namespace

/// Through the PLT.
extern "C" float plugin_linked() {
    return compute(sgemm_);
}

/// Through dlsym(RTLD_DEFAULT) from within this module; -1 where nothing is found.
extern "C" float plugin_default() {
    void* found = dlsym(RTLD_DEFAULT, "sgemm_");
    return found == nullptr ? -1 : compute(reinterpret_cast<Gemm>(found));
}

/// With a pointer that the host found.
extern "C" float plugin_given(void* gemm) {
    return compute(reinterpret_cast<Gemm>(gemm));
}
