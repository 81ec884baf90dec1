// Part of libcublas: only there is cublasLtMatmul an import.
#include "nested.hpp"

extern "C" {
int cublasLtCreate(void** handle);
int cublasLtDestroy(void* handle);
int cublasLtMatmulDescCreate(void** desc, int compute, int scale_type);
int cublasLtMatmulDescDestroy(void* desc);
int cublasLtMatmulDescSetAttribute(void* desc, int attribute, const void* value,
                                   unsigned long bytes);
int cublasLtMatrixLayoutCreate(void** layout, int type, std::uint64_t rows, std::uint64_t cols,
                               std::int64_t ld);
int cublasLtMatrixLayoutDestroy(void* layout);
int cublasLtMatmul(void* handle, void* desc, const void* alpha, const void* a, void* a_layout,
                   const void* b, void* b_layout, const void* beta, const void* c, void* c_layout,
                   void* d, void* d_layout, const void* algo, void* workspace,
                   unsigned long workspace_bytes, void* stream);
}

namespace {

int multiply(const fake::NestedProduct& p) {
    void* handle = nullptr;
    void* desc = nullptr;
    void* layouts[3] = {};
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&desc, p.compute, p.scale);
    const int mode = p.device_scalars ? 1 : 0;
    cublasLtMatmulDescSetAttribute(desc, 2, &mode, sizeof mode);
    cublasLtMatmulDescSetAttribute(desc, 3, &p.transa, sizeof p.transa);
    cublasLtMatmulDescSetAttribute(desc, 4, &p.transb, sizeof p.transb);
    const auto rows = [](int trans, std::int64_t plain, std::int64_t turned) {
        return static_cast<std::uint64_t>(trans == 0 ? plain : turned);
    };
    cublasLtMatrixLayoutCreate(&layouts[0], p.a_type, rows(p.transa, p.m, p.k),
                               rows(p.transa, p.k, p.m), p.lda);
    cublasLtMatrixLayoutCreate(&layouts[1], p.b_type, rows(p.transb, p.k, p.n),
                               rows(p.transb, p.n, p.k), p.ldb);
    cublasLtMatrixLayoutCreate(&layouts[2], p.c_type, rows(0, p.m, 0), rows(0, p.n, 0), p.ldc);
    const int status =
        cublasLtMatmul(handle, desc, p.alpha, p.a, layouts[0], p.b, layouts[1], p.beta, p.c,
                       layouts[2], p.c, layouts[2], nullptr, nullptr, 0, p.stream);
    for (void* layout : layouts)
        cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
    return status;
}

__attribute__((constructor)) void announce() {
    fake::set_nested_matmul(FAKE_MAJOR, &multiply);
}

}  // namespace
