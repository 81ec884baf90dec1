#include "preload/blas_call.hpp"

#include <utility>

namespace orch {
namespace {

/// View of a column-major operand whose rows become the view's rows, or its columns do.
MatrixView operand(const void* data, DType type, std::int64_t rows, std::int64_t cols,
                   std::int64_t ld, bool rows_are_contiguous) noexcept {
    return rows_are_contiguous ? MatrixView{data, type, rows, cols, ld, 1}
                               : MatrixView{data, type, rows, cols, 1, ld};
}

/// BLAS walks a negative increment from the far end.
MatrixView vector_view(const void* data, DType type, std::int64_t count,
                       std::int64_t increment) noexcept {
    const auto* bytes = static_cast<const char*>(data);
    if (increment < 0) {
        bytes += (1 - count) * increment * static_cast<std::int64_t>(element_size(type));
    }
    return {bytes, type, 1, count, count, increment};
}

}  // namespace

Product normalise(const GemmCall& given) noexcept {
    GemmCall call = given;
    if (call.row_major) {  // C = AB in rows is C^T = B^T A^T in columns
        std::swap(call.m, call.n);
        std::swap(call.a, call.b);
        std::swap(call.lda, call.ldb);
        std::swap(call.transpose_a, call.transpose_b);
    }
    Product product;
    product.weight = operand(call.a, call.input_type, call.m, call.k, call.lda, call.transpose_a);
    product.x = operand(call.b, call.input_type, call.n, call.k, call.ldb, !call.transpose_b);
    product.y = operand(call.c, call.output_type, call.n, call.m, call.ldc, true);
    product.alpha = call.alpha;
    product.beta = call.beta;
    return product;
}

Product normalise(const GemvCall& given) noexcept {
    GemvCall call = given;
    if (call.row_major) {
        std::swap(call.m, call.n);
        call.transpose = !call.transpose;
    }
    const std::int64_t out = call.transpose ? call.n : call.m;
    const std::int64_t in = call.transpose ? call.m : call.n;
    Product product;
    product.weight = operand(call.a, call.type, out, in, call.lda, call.transpose);
    product.x = vector_view(call.x, call.type, in, call.incx);
    product.y = vector_view(call.y, call.type, out, call.incy);
    product.alpha = call.alpha;
    product.beta = call.beta;
    return product;
}

}  // namespace orch
