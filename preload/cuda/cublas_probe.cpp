// cuBLAS: the whole family of products with one handle. A record is made of what a call has written
// when the stream gets there: nothing here waits for the device, nor reads its memory.
#include "preload/cuda/cublas_probe.hpp"

#include "preload/cuda/beside.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/session.hpp"

namespace orch::cublas {
namespace {

constexpr int scalars_on_host = 0;  // CUBLAS_POINTER_MODE_HOST

/// The getters of one copy of cuBLAS.
struct Getters {
    constexpr Getters() = default;
    explicit Getters(const void* called) noexcept
        : stream(cuda::function_beside<GetStream>("cublasGetStream_v2", called)),
          pointer_mode(cuda::function_beside<GetMode>("cublasGetPointerMode_v2", called)) {}

    using GetStream = int (*)(void* handle, void** stream);
    using GetMode = int (*)(void* handle, int* mode);
    GetStream stream = nullptr;
    GetMode pointer_mode = nullptr;
};

constinit cuda::FunctionsBeside<Getters> getters;

/// What goes for all members of a batch.
struct Common {
    void* stream = nullptr;
    double alpha = 1;
    double beta = 0;
    bool scalars_known = false;
    bool usable = false;
};

Common common_of(const Hook& hook, void* handle, const void* alpha, const void* beta, Type type,
                 int compute_type) noexcept {
    Common common;
    const Getters library = getters.of(hook.real);
    if (library.stream == nullptr || library.stream(handle, &common.stream) != 0) return common;
    common.usable = true;
    int mode = scalars_on_host;
    common.scalars_known = library.pointer_mode != nullptr &&
                           library.pointer_mode(handle, &mode) == 0 && mode == scalars_on_host &&
                           alpha != nullptr && beta != nullptr;
    if (common.scalars_known) {
        common.alpha = scalar(alpha, type, compute_type);
        common.beta = scalar(beta, type, compute_type);
    }
    return common;
}

void record_members(const Hook& hook, std::string_view op, const Call& call, const Common& common,
                    std::int64_t first_index) noexcept {
    const bool is_batch = call.batchCount > 1 || call.Aarray != nullptr;
    for (std::int64_t i = 0; i < call.batchCount; ++i) {
        DeviceProduct product;
        if (!common.usable || !normalise(call, i, product)) {
            cuda::count_undigested();
            session::blind_spot(op, common.usable
                                        ? "complex numbers, or a type that is not digested"
                                        : "its cuBLAS does not say which stream a handle uses");
            continue;
        }
        product.alpha = common.alpha;
        product.beta = common.beta;
        product.scalars_known = common.scalars_known;
        cuda::record_product(hook, op, common.stream, product, is_batch ? first_index + i : -1);
    }
}

template <class Int>
void record_groups(const Hook& hook, std::string_view op, const GroupedCall<Int>& call) noexcept {
    std::int64_t index = 0;
    for (Int g = 0; g < call.group_count; ++g) {
        Call one;
        one.inputs = call.inputs;
        one.output = call.output;
        one.transa = call.transa_array[g];
        one.transb = call.transb_array[g];
        one.m = call.m_array[g];
        one.n = call.n_array[g];
        one.k = call.k_array[g];
        one.Atype = call.Atype;
        one.Btype = call.Btype;
        one.Ctype = call.Ctype;
        one.lda = call.lda_array[g];
        one.ldb = call.ldb_array[g];
        one.ldc = call.ldc_array[g];
        one.Aarray = call.Aarray + index;
        one.Barray = call.Barray + index;
        one.Carray = call.Carray + index;
        one.batchCount = call.group_size[g];
        // One scalar per group, of 4 or 8 bytes.
        const std::size_t size = call.scalars == Type::f64 ? 8 : 4;
        const auto at = [&](const void* list) -> const void* {
            return list == nullptr
                       ? nullptr
                       : static_cast<const char*>(list) + static_cast<std::size_t>(g) * size;
        };
        const Common common = common_of(hook, call.handle, at(call.alpha_array),
                                        at(call.beta_array), call.scalars, call.computeType);
        record_members(hook, op, one, common, index);
        index += one.batchCount;
    }
}

}  // namespace

void record(const Hook& hook, std::string_view op, const Call& call) noexcept {
    const Common common =
        common_of(hook, call.handle, call.alpha, call.beta, call.scalars, call.computeType);
    record_members(hook, op, call, common, 0);
}

void record(const Hook& hook, std::string_view op, const GroupedCall<int>& call) noexcept {
    record_groups(hook, op, call);
}

void record(const Hook& hook, std::string_view op, const GroupedCall<std::int64_t>& call) noexcept {
    record_groups(hook, op, call);
}

}  // namespace orch::cublas
