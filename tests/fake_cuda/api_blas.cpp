// cuBLAS: the products themselves are in core/gemm.cpp.
#include <cstdlib>
#include <cstring>
#include <map>

#include "api.hpp"
#include "core/gemm.hpp"
#include "core/stream.hpp"
#include "nested.hpp"

namespace fake {
namespace {

/// As if the engine had set it.
int first_math_mode() {
    const char* value = std::getenv("FAKE_CUBLAS_MATH_MODE");
    return value == nullptr ? 0 : std::atoi(value);
}

struct Handle {
    void* stream = nullptr;
    int math_mode = first_math_mode();
    int atomics_mode = 0;
    bool device_scalars = false;
};

std::map<void*, std::unique_ptr<Handle>>& all_handles() {
    static auto* const one = new std::map<void*, std::unique_ptr<Handle>>;
    return *one;
}

/// Copies what the handle says now; false if it is none.
bool read_handle(void* handle, Handle* out) {
    const Lock lock(world());
    const auto it = all_handles().find(handle);
    if (it == all_handles().end()) return false;
    *out = *it->second;
    return true;
}

template <class Change>
int with_handle(void* handle, const Change& change) {
    const Lock lock(world());
    const auto it = all_handles().find(handle);
    if (it == all_handles().end()) return blas_not_initialized;
    change(*it->second);
    return blas_ok;
}

/// The type of alpha and beta, which follows from how is computed.
int scale_type(int compute, int c_type) {
    const bool complex = c_type == c32f || c_type == c64f;
    switch (compute) {
        case 64:
        case 65:
            return r16f;
        case 70:
        case 71:
            return complex ? c64f : r64f;
        case 72:
        case 73:
            return c_type == r8i ? r32f : r32i;
        case 68:
        case 69:
        case 74:
        case 75:
        case 77:
            return complex ? c32f : r32f;
        default:
            return -1;
    }
}

Scalar scalar(const Handle& handle, const void* value, int type) {
    if (handle.device_scalars) return {value, type, 0};
    return {nullptr, type, load(value, type, 0)};
}

Matrix matrix(const void* data, int type, std::int64_t ld, std::int64_t stride = 0) {
    return {data, type, ld, stride, false, false};
}
Matrix batched(const void* const* data, int type, std::int64_t ld) {
    return {data, type, ld, 0, true, false};
}

/// What every product has; scale is the type of alpha and beta.
struct Request {
    int transa, transb;
    std::int64_t m, n, k;
    const void* alpha;
    Matrix a, b;
    const void* beta;
    Matrix c;
    std::int64_t batch;
    int scale;
    int compute;
};

constexpr int compute_fast_tf32 = 77;

bool allows_tf32(const Handle& handle, int compute) {
    constexpr int mode_tf32 = 3;
    return compute == compute_fast_tf32 || (compute == 68 && (handle.math_mode & 15) == mode_tf32);
}

bool nests() {
    static const bool value = std::getenv("FAKE_CUBLAS_NESTS") != nullptr;
    return value;
}

int multiply(Call& call, void* handle_value, const Request& r) {
    Handle handle;
    if (!read_handle(handle_value, &handle)) return blas_not_initialized;
    const auto bad_trans = [](int t) { return t < 0 || t > 2; };
    if (bad_trans(r.transa) || bad_trans(r.transb) || r.m < 0 || r.n < 0 || r.k < 0 ||
        r.batch < 0) {
        return blas_invalid_value;
    }
    const auto at_least = [](std::int64_t ld, std::int64_t rows) {
        return ld >= std::max<std::int64_t>(1, rows);
    };
    if (!at_least(r.a.ld, r.transa == 0 ? r.m : r.k) ||
        !at_least(r.b.ld, r.transb == 0 ? r.k : r.n) || !at_least(r.c.ld, r.m) ||
        r.alpha == nullptr || r.beta == nullptr) {
        return blas_invalid_value;
    }
    if (size_of(r.a.type) == 0 || size_of(r.b.type) == 0 || size_of(r.c.type) == 0 || r.scale < 0) {
        return blas_not_supported;
    }
    if (r.m == 0 || r.n == 0 || r.batch == 0) return blas_ok;
    if (nests() && nested_matmul(call.major()) != nullptr && r.batch == 1 && !r.a.indirect) {
        const NestedProduct product{r.transa,
                                    r.transb,
                                    r.m,
                                    r.n,
                                    r.k,
                                    r.alpha,
                                    r.a.data,
                                    r.a.type,
                                    r.a.ld,
                                    r.b.data,
                                    r.b.type,
                                    r.b.ld,
                                    r.beta,
                                    const_cast<void*>(r.c.data),
                                    r.c.type,
                                    r.c.ld,
                                    allows_tf32(handle, r.compute) ? compute_fast_tf32 : r.compute,
                                    r.scale,
                                    handle.device_scalars,
                                    handle.stream};
        return nested_matmul(call.major())(product);
    }
    Gemm gemm{r.transa,
              r.transb,
              r.m,
              r.n,
              r.k,
              scalar(handle, r.alpha, r.scale),
              scalar(handle, r.beta, r.scale),
              r.a,
              r.b,
              r.c,
              r.c,
              r.batch,
              in_tf32(r.a.type, r.b.type, allows_tf32(handle, r.compute)),
              {}};
    const Op op{NodeKind::kernel, call.name(), [gemm] { compute(gemm); }, nullptr, 0};
    return blas_status(submit(call, handle.stream, op));
}

int multiply_vector(Call& call, void* handle_value, int type, int trans, std::int64_t m,
                    std::int64_t n, const void* alpha, const void* a, std::int64_t lda,
                    const void* x, std::int64_t incx, const void* beta, void* y,
                    std::int64_t incy) {
    Handle handle;
    if (!read_handle(handle_value, &handle)) return blas_not_initialized;
    if (trans < 0 || trans > 2 || m < 0 || n < 0 || lda < std::max<std::int64_t>(1, m) ||
        incx == 0 || incy == 0 || alpha == nullptr || beta == nullptr) {
        return blas_invalid_value;
    }
    if (m == 0 || n == 0) return blas_ok;
    const Scalar alpha_value = scalar(handle, alpha, type);
    const Scalar beta_value = scalar(handle, beta, type);
    const std::int64_t rows = trans == 0 ? m : n;
    const std::int64_t terms = trans == 0 ? n : m;
    // With a negative step a vector begins at its end.
    const auto at = [](std::int64_t i, std::int64_t count, std::int64_t step) {
        return step > 0 ? i * step : (i - count + 1) * step;
    };
    const auto run = [=] {
        for (std::int64_t row = 0; row < rows; ++row) {
            Value sum = 0;
            for (std::int64_t i = 0; i < terms; ++i) {
                const std::int64_t place = trans == 0 ? i * lda + row : row * lda + i;
                sum += load(a, type, place) * load(x, type, at(i, terms, incx));
            }
            sum *= alpha_value.get();
            const std::int64_t target = at(row, rows, incy);
            if (beta_value.get() != Value{0}) sum += beta_value.get() * load(y, type, target);
            store(y, type, target, sum);
        }
    };
    return blas_status(
        submit(call, handle.stream, {NodeKind::kernel, call.name(), run, nullptr, 0}));
}

constexpr int compute_32f = 68;
constexpr int compute_64f = 70;
constexpr int compute_16f = 64;

}  // namespace

namespace api {

int cublasCreate_v2(Call&, void** out) {
    if (out == nullptr) return blas_invalid_value;
    const Lock lock(world());
    auto handle = std::make_unique<Handle>();
    *out = handle.get();
    all_handles()[*out] = std::move(handle);
    return blas_ok;
}
int cublasDestroy_v2(Call&, void* handle) {
    const Lock lock(world());
    return all_handles().erase(handle) == 1 ? blas_ok : blas_not_initialized;
}
int cublasGetVersion_v2(Call& call, void*, int* version) {
    *version = call.major() * 10000;
    return blas_ok;
}
int cublasGetProperty(Call& call, int type, int* value) {
    *value = type == 0 ? call.major() : 0;
    return blas_ok;
}
const char* cublasGetStatusName(Call&, int status) {
    switch (status) {
        case blas_ok:
            return "CUBLAS_STATUS_SUCCESS";
        case blas_not_initialized:
            return "CUBLAS_STATUS_NOT_INITIALIZED";
        case blas_alloc_failed:
            return "CUBLAS_STATUS_ALLOC_FAILED";
        case blas_invalid_value:
            return "CUBLAS_STATUS_INVALID_VALUE";
        case blas_execution_failed:
            return "CUBLAS_STATUS_EXECUTION_FAILED";
        case blas_not_supported:
            return "CUBLAS_STATUS_NOT_SUPPORTED";
        default:
            return "CUBLAS_STATUS_INTERNAL_ERROR";
    }
}
const char* cublasGetStatusString(Call& call, int status) {
    return cublasGetStatusName(call, status);
}
int cublasSetStream_v2(Call& call, void* handle, void* stream) {
    {
        const Lock lock(world());
        const auto target = find_stream(call, stream);
        if (!target) return blas_invalid_value;
        call.note("stream", target->id);
    }
    return with_handle(handle, [&](Handle& h) { h.stream = stream; });
}
int cublasGetStream_v2(Call&, void* handle, void** stream) {
    return with_handle(handle, [&](const Handle& h) { *stream = h.stream; });
}
int cublasSetWorkspace_v2(Call&, void* handle, void*, size_t) {
    return with_handle(handle, [](Handle&) {});
}
int cublasSetMathMode(Call&, void* handle, int mode) {
    return with_handle(handle, [&](Handle& h) { h.math_mode = mode; });
}
int cublasGetMathMode(Call&, void* handle, int* mode) {
    return with_handle(handle, [&](const Handle& h) { *mode = h.math_mode; });
}
int cublasSetPointerMode_v2(Call&, void* handle, int mode) {
    return with_handle(handle, [&](Handle& h) { h.device_scalars = mode == 1; });
}
int cublasGetPointerMode_v2(Call&, void* handle, int* mode) {
    return with_handle(handle, [&](const Handle& h) { *mode = h.device_scalars ? 1 : 0; });
}
int cublasSetAtomicsMode(Call&, void* handle, int mode) {
    return with_handle(handle, [&](Handle& h) { h.atomics_mode = mode; });
}
int cublasGetAtomicsMode(Call&, void* handle, int* mode) {
    return with_handle(handle, [&](const Handle& h) { *mode = h.atomics_mode; });
}

// One line per type: the signatures differ in nothing else.
#define FAKE_GEMM(NAME, TYPE, COMPUTE)                                                          \
    int NAME(Call& call, void* handle, int transa, int transb, int64_t m, int64_t n, int64_t k, \
             const void* alpha, const void* a, int64_t lda, const void* b, int64_t ldb,         \
             const void* beta, void* c, int64_t ldc) {                                          \
        return multiply(call, handle,                                                           \
                        {transa, transb, m, n, k, alpha, matrix(a, TYPE, lda),                  \
                         matrix(b, TYPE, ldb), beta, matrix(c, TYPE, ldc), 1, TYPE, COMPUTE});  \
    }
FAKE_GEMM(cublasSgemm_v2, r32f, compute_32f)
FAKE_GEMM(cublasDgemm_v2, r64f, compute_64f)
FAKE_GEMM(cublasCgemm_v2, c32f, compute_32f)
FAKE_GEMM(cublasZgemm_v2, c64f, compute_64f)
FAKE_GEMM(cublasHgemm, r16f, compute_16f)

#define FAKE_GEMM_STRIDED(NAME, TYPE, COMPUTE)                                                  \
    int NAME(Call& call, void* handle, int transa, int transb, int64_t m, int64_t n, int64_t k, \
             const void* alpha, const void* a, int64_t lda, long long stride_a, const void* b,  \
             int64_t ldb, long long stride_b, const void* beta, void* c, int64_t ldc,           \
             long long stride_c, int64_t batch) {                                               \
        return multiply(call, handle,                                                           \
                        {transa, transb, m, n, k, alpha, matrix(a, TYPE, lda, stride_a),        \
                         matrix(b, TYPE, ldb, stride_b), beta, matrix(c, TYPE, ldc, stride_c),  \
                         batch, TYPE, COMPUTE});                                                \
    }
FAKE_GEMM_STRIDED(cublasSgemmStridedBatched, r32f, compute_32f)
FAKE_GEMM_STRIDED(cublasDgemmStridedBatched, r64f, compute_64f)
FAKE_GEMM_STRIDED(cublasHgemmStridedBatched, r16f, compute_16f)

#define FAKE_GEMM_BATCHED(NAME, TYPE, COMPUTE)                                                   \
    int NAME(Call& call, void* handle, int transa, int transb, int64_t m, int64_t n, int64_t k,  \
             const void* alpha, const void* const* a, int64_t lda, const void* const* b,         \
             int64_t ldb, const void* beta, void* const* c, int64_t ldc, int64_t batch) {        \
        return multiply(                                                                         \
            call, handle,                                                                        \
            {transa, transb, m, n, k, alpha, batched(a, TYPE, lda), batched(b, TYPE, ldb), beta, \
             batched(c, TYPE, ldc), batch, TYPE, COMPUTE});                                      \
    }
FAKE_GEMM_BATCHED(cublasSgemmBatched, r32f, compute_32f)
FAKE_GEMM_BATCHED(cublasDgemmBatched, r64f, compute_64f)
FAKE_GEMM_BATCHED(cublasHgemmBatched, r16f, compute_16f)

int cublasSgemmEx(Call& call, void* handle, int transa, int transb, int64_t m, int64_t n, int64_t k,
                  const void* alpha, const void* a, int a_type, int64_t lda, const void* b,
                  int b_type, int64_t ldb, const void* beta, void* c, int c_type, int64_t ldc) {
    return multiply(call, handle,
                    {transa, transb, m, n, k, alpha, matrix(a, a_type, lda), matrix(b, b_type, ldb),
                     beta, matrix(c, c_type, ldc), 1, r32f, compute_32f});
}
int cublasGemmEx(Call& call, void* handle, int transa, int transb, int64_t m, int64_t n, int64_t k,
                 const void* alpha, const void* a, int a_type, int64_t lda, const void* b,
                 int b_type, int64_t ldb, const void* beta, void* c, int c_type, int64_t ldc,
                 int compute, int) {
    return multiply(call, handle,
                    {transa, transb, m, n, k, alpha, matrix(a, a_type, lda), matrix(b, b_type, ldb),
                     beta, matrix(c, c_type, ldc), 1, scale_type(compute, c_type), compute});
}
int cublasGemmStridedBatchedEx(Call& call, void* handle, int transa, int transb, int64_t m,
                               int64_t n, int64_t k, const void* alpha, const void* a, int a_type,
                               int64_t lda, long long stride_a, const void* b, int b_type,
                               int64_t ldb, long long stride_b, const void* beta, void* c,
                               int c_type, int64_t ldc, long long stride_c, int64_t batch,
                               int compute, int) {
    return multiply(call, handle,
                    {transa, transb, m, n, k, alpha, matrix(a, a_type, lda, stride_a),
                     matrix(b, b_type, ldb, stride_b), beta, matrix(c, c_type, ldc, stride_c),
                     batch, scale_type(compute, c_type), compute});
}
int cublasGemmBatchedEx(Call& call, void* handle, int transa, int transb, int64_t m, int64_t n,
                        int64_t k, const void* alpha, const void* const* a, int a_type, int64_t lda,
                        const void* const* b, int b_type, int64_t ldb, const void* beta,
                        void* const* c, int c_type, int64_t ldc, int64_t batch, int compute, int) {
    return multiply(
        call, handle,
        {transa, transb, m, n, k, alpha, batched(a, a_type, lda), batched(b, b_type, ldb), beta,
         batched(c, c_type, ldc), batch, scale_type(compute, c_type), compute});
}
/// Here the pointers of all groups stand in one array on the device; alpha and beta are one per
/// group.
int cublasGemmGroupedBatchedEx(Call& call, void* handle, const int* transa, const int* transb,
                               Ints m, Ints n, Ints k, const void* alpha, const void* const* a,
                               int a_type, Ints lda, const void* const* b, int b_type, Ints ldb,
                               const void* beta, void* const* c, int c_type, Ints ldc,
                               int64_t groups, Ints sizes, int compute) {
    const int scale = scale_type(compute, c_type);
    if (scale < 0) return blas_not_supported;
    const auto bytes = static_cast<std::int64_t>(size_of(scale));
    std::int64_t first = 0;
    for (std::int64_t g = 0; g < groups; first += sizes[g++]) {
        const int status = multiply(
            call, handle,
            {transa[g], transb[g], m[g], n[g], k[g], static_cast<const char*>(alpha) + g * bytes,
             batched(a + first, a_type, lda[g]), batched(b + first, b_type, ldb[g]),
             static_cast<const char*>(beta) + g * bytes, batched(c + first, c_type, ldc[g]),
             sizes[g], scale, compute});
        if (status != blas_ok) return status;
    }
    return blas_ok;
}
int cublasSgemv_v2(Call& call, void* handle, int trans, int64_t m, int64_t n, const void* alpha,
                   const void* a, int64_t lda, const void* x, int64_t incx, const void* beta,
                   void* y, int64_t incy) {
    return multiply_vector(call, handle, r32f, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}
int cublasDgemv_v2(Call& call, void* handle, int trans, int64_t m, int64_t n, const void* alpha,
                   const void* a, int64_t lda, const void* x, int64_t incx, const void* beta,
                   void* y, int64_t incy) {
    return multiply_vector(call, handle, r64f, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}
/// Triangular systems are not products, and no model of the tests has any.
int cublasStrsmBatched(Call&, void*, int, int, int, int, int64_t, int64_t, const void*,
                       const void* const*, int64_t, void* const*, int64_t, int64_t) {
    return blas_not_supported;
}

}  // namespace api
}  // namespace fake
