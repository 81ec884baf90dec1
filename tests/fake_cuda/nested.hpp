// As in the real libraries, cuBLAS may hand a product on to the public cublasLtMatmul, through its
// own import of it: whoever interposes that function sees the product a second time.
#pragma once
#include <cstdint>

namespace fake {

struct NestedProduct {
    int transa, transb;
    std::int64_t m, n, k;
    const void* alpha;
    const void* a;
    int a_type;
    std::int64_t lda;
    const void* b;
    int b_type;
    std::int64_t ldb;
    const void* beta;
    void* c;
    int c_type;
    std::int64_t ldc;
    int compute, scale;
    bool device_scalars;
    void* stream;
};

using NestedMatmul = int (*)(const NestedProduct& product);
/// Each libcublas announces its own; null until it did.
void set_nested_matmul(int major, NestedMatmul function);
NestedMatmul nested_matmul(int major);

}  // namespace fake
