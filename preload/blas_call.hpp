// A BLAS call as data, and its normal form: tokens x features in, tokens x features out.
//
// BLAS computes C = alpha op(A) op(B) + beta C. Whatever the order and the transposes, the rows of
// C as it lies in memory are taken for tokens: then a column-major call (Fortran, cuBLAS, PyTorch)
// has its weight in A, a row-major one (ggml, hand-written CBLAS) in B, and both become y = x W^T.
#pragma once
#include <cstdint>

#include "core/matrix.hpp"

namespace orch {

struct GemmCall {
    DType input_type = DType::f32;
    DType output_type = DType::f32;
    bool row_major = false;
    bool transpose_a = false;
    bool transpose_b = false;
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    double alpha = 1;
    double beta = 0;
    const void* a = nullptr;
    std::int64_t lda = 0;
    const void* b = nullptr;
    std::int64_t ldb = 0;
    const void* c = nullptr;
    std::int64_t ldc = 0;
};

struct GemvCall {
    DType type = DType::f32;
    bool row_major = false;
    bool transpose = false;
    std::int64_t m = 0;
    std::int64_t n = 0;
    double alpha = 1;
    double beta = 0;
    const void* a = nullptr;
    std::int64_t lda = 0;
    const void* x = nullptr;
    std::int64_t incx = 1;
    const void* y = nullptr;
    std::int64_t incy = 1;
};

/// y[tokens x out] = alpha x[tokens x in] W[out x in]^T + beta y
struct Product {
    MatrixView x;
    MatrixView weight;
    MatrixView y;
    double alpha = 1;
    double beta = 0;
    bool is_product = true;  ///< false: y has more in it, as a bias

    bool empty() const { return y.rows <= 0 || y.cols <= 0 || x.cols <= 0; }
};

Product normalise(const GemmCall& call) noexcept;
Product normalise(const GemvCall& call) noexcept;

/// 'n', 't' and 'c', in either case; conjugation means nothing for real numbers.
constexpr bool is_transposed(char letter) {
    return letter != 'n' && letter != 'N';
}

}  // namespace orch
