// cuBLASLt: one function for every product, described by objects that only the library can read.
// Its own getters are asked, of the copy that was called.
#include "generated/hook_table.hpp"
#include "preload/cuda/beside.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/cublas_probe.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

// cublasLt.h: attributes of a product's description, and of a matrix's layout.
namespace desc {
enum Attribute {
    compute_type = 0,
    scale_type = 1,
    pointer_mode = 2,
    transa = 3,
    transb = 4,
    epilogue = 7
};
}
namespace layout {
enum Attribute { type, order, rows, cols, ld, batch_count, batch_stride };
}
constexpr int column_order = 0;
constexpr int row_order = 1;
constexpr int default_epilogue = 1;  // CUBLASLT_EPILOGUE_DEFAULT: nothing behind the product
constexpr int cuda_r_64f = 1;
constexpr int cuda_r_16f = 2;

using GetAttribute = int (*)(void* object, int attribute, void* buffer, std::size_t size,
                             std::size_t* written);

/// The getters of one copy of cuBLASLt.
struct Getters {
    constexpr Getters() = default;
    explicit Getters(const void* called) noexcept
        : desc(cuda::function_beside<GetAttribute>("cublasLtMatmulDescGetAttribute", called)),
          layout(cuda::function_beside<GetAttribute>("cublasLtMatrixLayoutGetAttribute", called)) {}

    GetAttribute desc = nullptr;
    GetAttribute layout = nullptr;
};

constinit cuda::FunctionsBeside<Getters> getters;

template <class Value>
bool get(GetAttribute getter, void* object, int attribute, Value& out) noexcept {
    std::size_t written = 0;
    return getter(object, attribute, &out, sizeof out, &written) == 0 && written == sizeof out;
}

struct Layout {
    std::uint32_t type = 0;
    std::int32_t order = column_order;
    std::uint64_t rows = 0;
    std::uint64_t cols = 0;
    std::int64_t ld = 0;
    std::int32_t batch = 1;
    std::int64_t batch_stride = 0;
};

bool read(GetAttribute getter, void* object, Layout& out) noexcept {
    if (object == nullptr || !get(getter, object, layout::type, out.type) ||
        !get(getter, object, layout::order, out.order) ||
        !get(getter, object, layout::rows, out.rows) ||
        !get(getter, object, layout::cols, out.cols) || !get(getter, object, layout::ld, out.ld)) {
        return false;
    }
    get(getter, object, layout::batch_count, out.batch);
    get(getter, object, layout::batch_stride, out.batch_stride);
    return out.order == column_order || out.order == row_order;
}

/// A matrix behind its op(); the rows of the result are its columns, or its rows.
device::Operand place(const void* data, device::Type type, const Layout& layout, bool transposed,
                      bool wanted_is_cols, std::int64_t batch) noexcept {
    // Of a matrix in columns, a column is contiguous; in rows, a row is.
    const bool lines_are_cols = layout.order == column_order;
    const bool take_cols = wanted_is_cols != transposed;
    const auto r = static_cast<std::int64_t>(layout.rows);
    const auto c = static_cast<std::int64_t>(layout.cols);
    const std::int64_t count = take_cols ? c : r;
    const std::int64_t length = take_cols ? r : c;
    device::Operand operand =
        cublas::operand(data, type, count, length, layout.ld, take_cols == lines_are_cols);
    operand.data += static_cast<std::uint64_t>(batch * layout.batch_stride * device::size_of(type));
    return operand;
}

struct MatmulCall {
    void* desc;
    const void* alpha;
    const void* a;
    void* a_layout;
    const void* b;
    void* b_layout;
    const void* beta;
    void* d;
    void* d_layout;
    void* stream;
};

bool record(const Hook& hook, const MatmulCall& call) noexcept {
    const Getters library = getters.of(hook.real);
    if (library.desc == nullptr || library.layout == nullptr) return false;
    Layout a;
    Layout b;
    Layout d;
    if (!read(library.layout, call.a_layout, a) || !read(library.layout, call.b_layout, b) ||
        !read(library.layout, call.d_layout, d)) {
        return false;
    }
    std::int32_t a_transposed = 0;
    std::int32_t b_transposed = 0;
    std::uint32_t after = default_epilogue;
    std::int32_t mode = 0;
    std::int32_t scale = 0;
    cublas::Call types;
    get(library.desc, call.desc, desc::transa, a_transposed);
    get(library.desc, call.desc, desc::transb, b_transposed);
    get(library.desc, call.desc, desc::epilogue, after);
    get(library.desc, call.desc, desc::pointer_mode, mode);
    get(library.desc, call.desc, desc::scale_type, scale);
    get(library.desc, call.desc, desc::compute_type, types.computeType);
    device::Type a_type;
    device::Type b_type;
    device::Type d_type;
    if (!cublas::device_type(static_cast<int>(a.type), a_type) ||
        !cublas::device_type(static_cast<int>(b.type), b_type) ||
        !cublas::device_type(static_cast<int>(d.type), d_type)) {
        return false;
    }
    // What lies contiguous in D is taken for a token's features: in columns that is a column, whose
    // weight stands in A; in rows a row, whose weight stands in B.
    const bool weight_in_a = d.order == column_order;
    cublas::DeviceProduct product;
    product.scalars_known = mode == 0 && call.alpha != nullptr && call.beta != nullptr;
    if (product.scalars_known) {
        const auto type = scale == cuda_r_64f   ? cublas::Type::f64
                          : scale == cuda_r_16f ? cublas::Type::f16
                                                : cublas::Type::f32;
        product.alpha = cublas::scalar(call.alpha, type, -1);
        product.beta = cublas::scalar(call.beta, type, -1);
    }
    product.is_product = after == default_epilogue;
    types.Atype = static_cast<int>(a.type);
    product.arithmetic = cublas::arithmetic_of(types, {0, cublas::is_tf32_forbidden()});
    for (std::int32_t i = 0; i < d.batch; ++i) {
        const device::Operand first = place(call.a, a_type, a, a_transposed != 0, false, i);
        const device::Operand second = place(call.b, b_type, b, b_transposed != 0, true, i);
        product.weight = weight_in_a ? first : second;
        product.x = weight_in_a ? second : first;
        product.y = place(call.d, d_type, d, false, weight_in_a, i);
        cuda::record_product(hook, "cublasLtMatmul", call.stream, product, d.batch > 1 ? i : -1);
    }
    return true;
}

}  // namespace

namespace probe {

int cublasLtMatmul(const Hook& hook, cublasLtMatmul_fn real, void* handle, void* computeDesc,
                   const void* alpha, const void* A, void* Adesc, const void* B, void* Bdesc,
                   const void* beta, const void* C, void* Cdesc, void* D, void* Ddesc,
                   const void* algo, void* workspace, std::size_t workspaceSizeInBytes,
                   void* stream) {
    const int status =
        cublas::call_real(real, handle, computeDesc, alpha, A, Adesc, B, Bdesc, beta, C, Cdesc, D,
                          Ddesc, algo, workspace, workspaceSizeInBytes, stream);
    if (status == 0 &&
        !record(hook, {computeDesc, alpha, A, Adesc, B, Bdesc, beta, D, Ddesc, stream})) {
        cuda::count_undigested();
        session::blind_spot("cublasLtMatmul",
                            "a layout or a type that orchtrace does not read, or a library "
                            "without getters");
    }
    return status;
}

}  // namespace probe
}  // namespace orch
