// oneDNN on the CPU: the BLAS-like calls, and primitives that are a matrix product (matmul,
// inner_product). Engines create a primitive once per shape and cache it; only its execution is
// seen on every pass, so all is read from the memories that it is given. The result is what the
// primitive wrote: after the bias and after fused operations, and `op` says which there were.
#include "generated/hook_table.hpp"
#include "preload/blas_call.hpp"
#include "preload/onednn_api.hpp"
#include "preload/product_record.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

constexpr int status_success = 0;

/// dnnl_exec_arg_t
struct ExecArg {
    int arg;
    void* memory;
};

constexpr int arg_src = 1;
constexpr int arg_dst = 17;
constexpr int arg_weights = 33;
constexpr int arg_bias = 41;
/// In 3.x, scales and what else changes the result lie above it. (In 2.x they are attributes, and
/// engines hand over such arguments without using them.)
constexpr int first_attribute_arg = 500;

struct Operands {
    OnednnTensor src;
    OnednnTensor weights;
    OnednnTensor dst;
    bool weights_readable = true;
    bool is_product = true;  ///< no bias, no fused operation, no scale
};

constexpr std::string_view no_weights_why =
    "the weights are in a layout of oneDNN's own, or of integers: x and y are recorded without "
    "them";

/// The rows and columns of one matrix of a tensor, `offset` elements in.
struct Axis {
    std::int64_t extent;
    std::int64_t stride;
};

MatrixView view(const OnednnTensor& t, std::int64_t offset, Axis rows, Axis cols) noexcept {
    const char* data = t.data;
    if (data != nullptr) data += offset * static_cast<std::int64_t>(element_size(t.dtype));
    return {data, t.dtype, rows.extent, cols.extent, rows.stride, cols.stride};
}

Axis axis(const OnednnTensor& t, int d) noexcept {
    return {t.dims[d], t.strides[d]};
}

/// Dimensions 1 and up as one axis: channels and what is left of an image.
bool merged_axis(const OnednnTensor& t, Axis& out) noexcept {
    out = {1, 1};
    for (int d = t.ndims - 1; d >= 1; --d) {
        if (t.dims[d] == 1) continue;
        if (out.extent == 1) out.stride = t.strides[d];
        if (t.strides[d] != out.stride * out.extent) return false;
        out.extent *= t.dims[d];
    }
    return true;
}

std::int64_t merged_extent(const OnednnTensor& t) noexcept {
    std::int64_t extent = 1;
    for (int d = 1; d < t.ndims; ++d)
        extent *= t.dims[d];
    return extent;
}

bool record_inner_product(const Hook& hook, std::string_view op, Operands& o) noexcept {
    const OnednnTensor& w = o.weights;
    if (o.dst.ndims != 2 || o.src.ndims < 2 || w.ndims != o.src.ndims ||
        o.src.dims[0] != o.dst.dims[0] || w.dims[0] != o.dst.dims[1] ||
        merged_extent(w) != merged_extent(o.src)) {
        return false;
    }
    Axis src_features;
    if (!merged_axis(o.src, src_features)) return false;
    Axis weight_features;
    o.weights_readable = o.weights_readable && merged_axis(w, weight_features);
    Product product;
    product.is_product = o.is_product;
    product.x = view(o.src, 0, axis(o.src, 0), src_features);
    product.y = view(o.dst, 0, axis(o.dst, 0), axis(o.dst, 1));
    if (o.weights_readable) product.weight = view(w, 0, axis(w, 0), weight_features);
    record_product(hook, op, product);
    return true;
}

bool fits_matmul(const Operands& o) noexcept {
    const int n = o.dst.ndims;
    if (n < 2 || o.src.ndims != n || o.weights.ndims != n) return false;
    for (int d = 0; d < n - 2; ++d) {  // a batch of 1 is used for all
        if (o.src.dims[d] != o.dst.dims[d] && o.src.dims[d] != 1) return false;
        if (o.weights.dims[d] != o.dst.dims[d] && o.weights.dims[d] != 1) return false;
    }
    return o.src.dims[n - 2] == o.dst.dims[n - 2] && o.weights.dims[n - 1] == o.dst.dims[n - 1] &&
           o.weights.dims[n - 2] == o.src.dims[n - 1];
}

/// Where the matrix of batch `index` begins, counted over the batch dimensions of `dst`.
std::int64_t batch_offset(const OnednnTensor& t, const OnednnTensor& dst,
                          std::int64_t index) noexcept {
    std::int64_t offset = 0;
    for (int d = dst.ndims - 3; d >= 0; --d) {
        if (t.dims[d] != 1) offset += index % dst.dims[d] * t.strides[d];
        index /= dst.dims[d];
    }
    return offset;
}

bool record_matmul(const Hook& hook, std::string_view op, const Operands& o) noexcept {
    if (!fits_matmul(o)) return false;
    const int row = o.dst.ndims - 2;
    const int col = o.dst.ndims - 1;
    std::int64_t batch = 1;
    for (int d = 0; d < row; ++d)
        batch *= o.dst.dims[d];
    for (std::int64_t i = 0; i < batch; ++i) {
        Product product;
        product.is_product = o.is_product;
        product.x = view(o.src, batch_offset(o.src, o.dst, i), axis(o.src, row), axis(o.src, col));
        product.y = view(o.dst, batch_offset(o.dst, o.dst, i), axis(o.dst, row), axis(o.dst, col));
        if (o.weights_readable) {
            product.weight = view(o.weights, batch_offset(o.weights, o.dst, i),
                                  axis(o.weights, col), axis(o.weights, row));
        }
        record_product(hook, op, product, row == 0 ? -1 : i);
    }
    return true;
}

FixedString<63> op_name(const OnednnApi& api, const void* primitive, OnednnKind kind,
                        bool bias) noexcept {
    FixedString<63> op{kind == OnednnKind::matmul ? "dnnl_matmul" : "dnnl_inner_product"};
    if (bias) op.append("+bias");
    if (api.has_post_ops(primitive)) op.append("+post_ops");
    return op;
}

void observe(const Hook& hook, const OnednnApi& api, const void* primitive, OnednnKind kind,
             void* stream, int nargs, const ExecArg* args) noexcept {
    const void* src = nullptr;
    const void* weights = nullptr;
    const void* dst = nullptr;
    bool bias = false;
    bool scaled = false;
    for (int i = 0; i < nargs; ++i) {
        switch (args[i].arg) {
            case arg_src:
                src = args[i].memory;
                break;
            case arg_weights:
                weights = args[i].memory;
                break;
            case arg_dst:
                dst = args[i].memory;
                break;
            case arg_bias:
                bias = args[i].memory != nullptr;
                break;
            default:
                scaled = scaled || (api.major > 2 && args[i].arg >= first_attribute_arg);
                break;
        }
    }
    if (src == nullptr || weights == nullptr || dst == nullptr) {
        session::blind_spot("oneDNN gradients", "only the products of forward passes are recorded");
        return;
    }
    if (!api.on_cpu(dst)) {
        session::blind_spot("oneDNN on a GPU", "only the CPU engine is observed");
        return;
    }
    if (api.may_be_asynchronous) api.stream_wait(stream);
    Operands o;
    if (!api.read(src, o.src) || !api.read(weights, o.weights) || !api.read(dst, o.dst)) {
        session::blind_spot("oneDNN memory", "the library does not describe an operand");
        return;
    }
    if (!o.src.floating || !o.dst.floating) {
        session::blind_spot("oneDNN integer products", "only f16, bf16, f32 and f64 are recorded");
        return;
    }
    if (!o.src.plain || !o.dst.plain) {
        session::blind_spot("oneDNN blocked activations", "x or y is in a layout of oneDNN's own");
        return;
    }
    o.weights_readable = o.weights.plain && o.weights.floating && o.weights.data != nullptr;
    const auto op = op_name(api, primitive, kind, bias);
    o.is_product = !bias && !scaled && !api.has_output_scale(primitive) &&
                   !std::string_view{op}.ends_with("+post_ops");
    const bool recorded =
        kind == OnednnKind::matmul ? record_matmul(hook, op, o) : record_inner_product(hook, op, o);
    if (!recorded) {
        session::blind_spot("oneDNN shapes", "a product whose dimensions do not fit together");
    } else if (!o.weights_readable) {
        session::blind_spot("oneDNN weights", no_weights_why);
    }
}

}  // namespace

namespace probe {

int dnnl_sgemm(const Hook& hook, dnnl_sgemm_fn real, char transa, char transb, std::int64_t m,
               std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
               const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    int status;
    {
        const Guard guard;  // it may be built on a BLAS that is hooked too
        status = real(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    }
    if (status != status_success) return status;
    constexpr bool row_major = true;
    record_product(
        hook, "dnnl_sgemm",
        normalise(GemmCall{DType::f32, DType::f32, row_major, is_transposed(transa),
                           is_transposed(transb), m, n, k, alpha, beta, a, lda, b, ldb, c, ldc}));
    return status;
}

int dnnl_gemm_bf16bf16f32(const Hook& hook, dnnl_gemm_bf16bf16f32_fn real, char transa, char transb,
                          std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                          const std::uint16_t* a, std::int64_t lda, const std::uint16_t* b,
                          std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    int status;
    {
        const Guard guard;
        status = real(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    }
    if (status != status_success) return status;
    constexpr bool row_major = true;
    record_product(
        hook, "dnnl_gemm_bf16bf16f32",
        normalise(GemmCall{DType::bf16, DType::f32, row_major, is_transposed(transa),
                           is_transposed(transb), m, n, k, alpha, beta, a, lda, b, ldb, c, ldc}));
    return status;
}

int dnnl_primitive_execute(const Hook& hook, dnnl_primitive_execute_fn real, const void* primitive,
                           void* stream, int nargs, const void* args) {
    int status;
    {
        const Guard guard;
        status = real(primitive, stream, nargs, args);
    }
    if (status != status_success) return status;
    const OnednnApi* api = onednn_api(hook.real);
    if (api == nullptr) return status;
    const Guard guard;
    const OnednnKind kind = api->kind(primitive);  // addresses are reused, so asked every time
    if (kind != OnednnKind::other) {
        observe(hook, *api, primitive, kind, stream, nargs, static_cast<const ExecArg*>(args));
    }
    return status;
}

}  // namespace probe
}  // namespace orch
