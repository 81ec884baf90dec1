// cuBLASLt: one function for every product, described by objects that only the library can read.
// Its own getters are asked, of the copy that was called.
#include <atomic>
#include <cstring>

#include "generated/hook_table.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/cublas_probe.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

// cublasLt.h: attributes of a product's description, and of a matrix's layout.
enum DescAttribute {
    compute_type = 0,
    scale_type = 1,
    pointer_mode = 2,
    transa = 3,
    transb = 4,
    epilogue = 7
};
enum LayoutAttribute {
    type = 0,
    order = 1,
    rows = 2,
    cols = 3,
    ld = 4,
    batch_count = 5,
    batch_stride = 6
};
constexpr int column_order = 0;
constexpr int row_order = 1;
constexpr int default_epilogue = 1;  // CUBLASLT_EPILOGUE_DEFAULT: nothing behind the product
constexpr int cuda_r_64f = 1;
constexpr int cuda_r_16f = 2;

using GetAttribute = int (*)(void* object, int attribute, void* buffer, std::size_t size,
                             std::size_t* written);

struct Library {
    GetAttribute desc = nullptr;
    GetAttribute layout = nullptr;
};

Library library_of(const void* function) noexcept {
    // Of the copy that was called last: there is hardly ever another.
    static constinit std::atomic<const void*> known{nullptr};
    static constinit std::atomic<GetAttribute> desc{nullptr};
    static constinit std::atomic<GetAttribute> layout{nullptr};
    if (known.load(std::memory_order_acquire) == function)
        return {desc.load(std::memory_order_relaxed), layout.load(std::memory_order_relaxed)};
    const Library found{
        reinterpret_cast<GetAttribute>(find_beside("cublasLtMatmulDescGetAttribute", function)),
        reinterpret_cast<GetAttribute>(find_beside("cublasLtMatrixLayoutGetAttribute", function))};
    const void* nobody = nullptr;
    if (known.load(std::memory_order_relaxed) == nullptr && found.desc != nullptr &&
        found.layout != nullptr) {
        desc.store(found.desc, std::memory_order_relaxed);
        layout.store(found.layout, std::memory_order_relaxed);
        known.compare_exchange_strong(nobody, function, std::memory_order_release);
    }
    return found;
}

template <class Value>
bool get(GetAttribute getter, void* object, int attribute, Value& out) noexcept {
    std::size_t written = 0;
    return getter(object, attribute, &out, sizeof out, &written) == 0 && written == sizeof out;
}

struct Layout {
    int type = -1;
    int order = column_order;
    std::uint64_t rows = 0;
    std::uint64_t cols = 0;
    std::int64_t ld = 0;
    std::int32_t batch = 1;
    std::int64_t batch_stride = 0;
};

bool read(GetAttribute getter, void* object, Layout& out) noexcept {
    std::uint32_t type_of_values = 0;
    std::int32_t order_of_values = column_order;
    if (object == nullptr || !get(getter, object, LayoutAttribute::type, type_of_values) ||
        !get(getter, object, LayoutAttribute::order, order_of_values) ||
        !get(getter, object, LayoutAttribute::rows, out.rows) ||
        !get(getter, object, LayoutAttribute::cols, out.cols) ||
        !get(getter, object, LayoutAttribute::ld, out.ld)) {
        return false;
    }
    out.type = static_cast<int>(type_of_values);
    out.order = order_of_values;
    get(getter, object, LayoutAttribute::batch_count, out.batch);
    get(getter, object, LayoutAttribute::batch_stride, out.batch_stride);
    return out.order == column_order || out.order == row_order;
}

/// The operand whose rows, as op() leaves them, run along `rows_first`.
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
    const Library library = library_of(hook.real);
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
    get(library.desc, call.desc, DescAttribute::transa, a_transposed);
    get(library.desc, call.desc, DescAttribute::transb, b_transposed);
    get(library.desc, call.desc, DescAttribute::epilogue, after);
    get(library.desc, call.desc, DescAttribute::pointer_mode, mode);
    get(library.desc, call.desc, DescAttribute::scale_type, scale);
    device::Type a_type;
    device::Type b_type;
    device::Type d_type;
    if (!cublas::device_type(a.type, a_type) || !cublas::device_type(b.type, b_type) ||
        !cublas::device_type(d.type, d_type)) {
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
