// BLAS on the CPU: every engine that multiplies through one is traced here. One record stands for
// one product (of a batch, for each member). The values are read after the call, on the calling
// thread, before the engine goes on. Not seen: products that an engine computes in its own loops,
// and 64-bit-integer BLAS under suffixed names.
#include "generated/hook_table.hpp"
#include "preload/blas_call.hpp"
#include "preload/product_record.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

constexpr int row_major_order = 101;  // CblasRowMajor
constexpr int no_transpose = 111;     // CblasNoTrans

template <class Value>
constexpr DType type_of();
template <>
constexpr DType type_of<float>() {
    return DType::f32;
}
template <>
constexpr DType type_of<double>() {
    return DType::f64;
}
template <>
constexpr DType type_of<std::uint16_t>() {
    return DType::bf16;  // OpenBLAS's bfloat16
}

/// Runs the real call, with calls that it makes itself (CBLAS on top of Fortran BLAS) unobserved.
template <class Real, class... Arguments>
void call_real(Real real, Arguments... arguments) noexcept {
    const Guard guard;
    real(arguments...);
}

template <class In, class Out, class Real>
void fortran_gemm(const Hook& hook, std::string_view op, Real real, const char* transa,
                  const char* transb, const int* m, const int* n, const int* k, const Out* alpha,
                  const In* a, const int* lda, const In* b, const int* ldb, const Out* beta, Out* c,
                  const int* ldc, std::size_t la, std::size_t lb) noexcept {
    call_real(real, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, la, lb);
    record_product(hook, op,
                   normalise(GemmCall{type_of<In>(), type_of<Out>(), false, is_transposed(*transa),
                                      is_transposed(*transb), *m, *n, *k, *alpha, *beta, a, *lda, b,
                                      *ldb, c, *ldc}));
}

template <class In, class Out, class Real>
void cblas_gemm(const Hook& hook, std::string_view op, Real real, int order, int transa, int transb,
                int m, int n, int k, Out alpha, const In* a, int lda, const In* b, int ldb,
                Out beta, Out* c, int ldc) noexcept {
    call_real(real, order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    record_product(hook, op,
                   normalise(GemmCall{type_of<In>(), type_of<Out>(), order == row_major_order,
                                      transa != no_transpose, transb != no_transpose, m, n, k,
                                      alpha, beta, a, lda, b, ldb, c, ldc}));
}

template <class Value, class Real>
void fortran_gemv(const Hook& hook, std::string_view op, Real real, const char* trans, const int* m,
                  const int* n, const Value* alpha, const Value* a, const int* lda, const Value* x,
                  const int* incx, const Value* beta, Value* y, const int* incy,
                  std::size_t length) noexcept {
    call_real(real, trans, m, n, alpha, a, lda, x, incx, beta, y, incy, length);
    record_product(hook, op,
                   normalise(GemvCall{type_of<Value>(), false, is_transposed(*trans), *m, *n,
                                      *alpha, *beta, a, *lda, x, *incx, y, *incy}));
}

template <class Value, class Real>
void cblas_gemv(const Hook& hook, std::string_view op, Real real, int order, int trans, int m,
                int n, Value alpha, const Value* a, int lda, const Value* x, int incx, Value beta,
                Value* y, int incy) noexcept {
    call_real(real, order, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
    record_product(
        hook, op,
        normalise(GemvCall{type_of<Value>(), order == row_major_order, trans != no_transpose, m, n,
                           alpha, beta, a, lda, x, incx, y, incy}));
}

/// A batch: groups of products of one shape each.
template <class Value, class Transposed>
void record_batch(const Hook& hook, std::string_view op, bool row_major, Transposed transposed,
                  const int* m, const int* n, const int* k, const Value* alpha,
                  const Value* const* a, const int* lda, const Value* const* b, const int* ldb,
                  const Value* beta, Value* const* c, const int* ldc, int groups,
                  const int* group_size) noexcept {
    std::int64_t index = 0;
    for (int g = 0; g < groups; ++g) {
        for (int i = 0; i < group_size[g]; ++i, ++index) {
            const auto [ta, tb] = transposed(g);
            record_product(hook, op,
                           normalise(GemmCall{type_of<Value>(), type_of<Value>(), row_major, ta, tb,
                                              m[g], n[g], k[g], alpha[g], beta[g], a[index], lda[g],
                                              b[index], ldb[g], c[index], ldc[g]}),
                           index);
        }
    }
}

template <class Value, class Real>
void fortran_batch(const Hook& hook, std::string_view op, Real real, const char* transa,
                   const char* transb, const int* m, const int* n, const int* k, const Value* alpha,
                   const Value* const* a, const int* lda, const Value* const* b, const int* ldb,
                   const Value* beta, Value* const* c, const int* ldc, const int* group_count,
                   const int* group_size) noexcept {
    call_real(real, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, group_count,
              group_size);
    const auto transposed = [&](int g) {
        return std::pair{is_transposed(transa[g]), is_transposed(transb[g])};
    };
    record_batch(hook, op, false, transposed, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
                 *group_count, group_size);
}

template <class Value, class Real>
void cblas_batch(const Hook& hook, std::string_view op, Real real, int order, const int* transa,
                 const int* transb, const int* m, const int* n, const int* k, const Value* alpha,
                 const Value* const* a, const int* lda, const Value* const* b, const int* ldb,
                 const Value* beta, Value* const* c, const int* ldc, int group_count,
                 const int* group_size) noexcept {
    call_real(real, order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
              group_count, group_size);
    const auto transposed = [&](int g) {
        return std::pair{transa[g] != no_transpose, transb[g] != no_transpose};
    };
    record_batch(hook, op, order == row_major_order, transposed, m, n, k, alpha, a, lda, b, ldb,
                 beta, c, ldc, group_count, group_size);
}

}  // namespace

namespace probe {

void sgemm_(const Hook& hook, sgemm__fn real, const char* ta, const char* tb, const int* m,
            const int* n, const int* k, const float* alpha, const float* a, const int* lda,
            const float* b, const int* ldb, const float* beta, float* c, const int* ldc,
            std::size_t la, std::size_t lb) {
    fortran_gemm(hook, "sgemm_", real, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, la,
                 lb);
}

void dgemm_(const Hook& hook, dgemm__fn real, const char* ta, const char* tb, const int* m,
            const int* n, const int* k, const double* alpha, const double* a, const int* lda,
            const double* b, const int* ldb, const double* beta, double* c, const int* ldc,
            std::size_t la, std::size_t lb) {
    fortran_gemm(hook, "dgemm_", real, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, la,
                 lb);
}

void sbgemm_(const Hook& hook, sbgemm__fn real, const char* ta, const char* tb, const int* m,
             const int* n, const int* k, const float* alpha, const std::uint16_t* a, const int* lda,
             const std::uint16_t* b, const int* ldb, const float* beta, float* c, const int* ldc,
             std::size_t la, std::size_t lb) {
    fortran_gemm(hook, "sbgemm_", real, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, la,
                 lb);
}

void sgemv_(const Hook& hook, sgemv__fn real, const char* trans, const int* m, const int* n,
            const float* alpha, const float* a, const int* lda, const float* x, const int* incx,
            const float* beta, float* y, const int* incy, std::size_t length) {
    fortran_gemv(hook, "sgemv_", real, trans, m, n, alpha, a, lda, x, incx, beta, y, incy, length);
}

void dgemv_(const Hook& hook, dgemv__fn real, const char* trans, const int* m, const int* n,
            const double* alpha, const double* a, const int* lda, const double* x, const int* incx,
            const double* beta, double* y, const int* incy, std::size_t length) {
    fortran_gemv(hook, "dgemv_", real, trans, m, n, alpha, a, lda, x, incx, beta, y, incy, length);
}

void sgemm_batch_(const Hook& hook, sgemm_batch__fn real, const char* ta, const char* tb,
                  const int* m, const int* n, const int* k, const float* alpha,
                  const float* const* a, const int* lda, const float* const* b, const int* ldb,
                  const float* beta, float* const* c, const int* ldc, const int* groups,
                  const int* sizes) {
    fortran_batch(hook, "sgemm_batch_", real, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
                  groups, sizes);
}

void dgemm_batch_(const Hook& hook, dgemm_batch__fn real, const char* ta, const char* tb,
                  const int* m, const int* n, const int* k, const double* alpha,
                  const double* const* a, const int* lda, const double* const* b, const int* ldb,
                  const double* beta, double* const* c, const int* ldc, const int* groups,
                  const int* sizes) {
    fortran_batch(hook, "dgemm_batch_", real, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
                  groups, sizes);
}

void cblas_sgemm(const Hook& hook, cblas_sgemm_fn real, int order, int ta, int tb, int m, int n,
                 int k, float alpha, const float* a, int lda, const float* b, int ldb, float beta,
                 float* c, int ldc) {
    cblas_gemm(hook, "cblas_sgemm", real, order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c,
               ldc);
}

void cblas_dgemm(const Hook& hook, cblas_dgemm_fn real, int order, int ta, int tb, int m, int n,
                 int k, double alpha, const double* a, int lda, const double* b, int ldb,
                 double beta, double* c, int ldc) {
    cblas_gemm(hook, "cblas_dgemm", real, order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c,
               ldc);
}

void cblas_sbgemm(const Hook& hook, cblas_sbgemm_fn real, int order, int ta, int tb, int m, int n,
                  int k, float alpha, const std::uint16_t* a, int lda, const std::uint16_t* b,
                  int ldb, float beta, float* c, int ldc) {
    cblas_gemm(hook, "cblas_sbgemm", real, order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c,
               ldc);
}

void cblas_sgemv(const Hook& hook, cblas_sgemv_fn real, int order, int trans, int m, int n,
                 float alpha, const float* a, int lda, const float* x, int incx, float beta,
                 float* y, int incy) {
    cblas_gemv(hook, "cblas_sgemv", real, order, trans, m, n, alpha, a, lda, x, incx, beta, y,
               incy);
}

void cblas_dgemv(const Hook& hook, cblas_dgemv_fn real, int order, int trans, int m, int n,
                 double alpha, const double* a, int lda, const double* x, int incx, double beta,
                 double* y, int incy) {
    cblas_gemv(hook, "cblas_dgemv", real, order, trans, m, n, alpha, a, lda, x, incx, beta, y,
               incy);
}

void cblas_sgemm_batch(const Hook& hook, cblas_sgemm_batch_fn real, int order, const int* ta,
                       const int* tb, const int* m, const int* n, const int* k, const float* alpha,
                       const float* const* a, const int* lda, const float* const* b, const int* ldb,
                       const float* beta, float* const* c, const int* ldc, int groups,
                       const int* sizes) {
    cblas_batch(hook, "cblas_sgemm_batch", real, order, ta, tb, m, n, k, alpha, a, lda, b, ldb,
                beta, c, ldc, groups, sizes);
}

void cblas_dgemm_batch(const Hook& hook, cblas_dgemm_batch_fn real, int order, const int* ta,
                       const int* tb, const int* m, const int* n, const int* k, const double* alpha,
                       const double* const* a, const int* lda, const double* const* b,
                       const int* ldb, const double* beta, double* const* c, const int* ldc,
                       int groups, const int* sizes) {
    cblas_batch(hook, "cblas_dgemm_batch", real, order, ta, tb, m, n, k, alpha, a, lda, b, ldb,
                beta, c, ldc, groups, sizes);
}

}  // namespace probe
}  // namespace orch
