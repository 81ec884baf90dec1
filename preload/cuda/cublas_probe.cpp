// cuBLAS: the whole family of products with one handle. A record is made of what a call has written
// when the stream gets there: nothing here waits for the device, nor reads its memory.
#include "preload/cuda/cublas_probe.hpp"

#include <cstdlib>
#include <string_view>

#include "core/records.hpp"
#include "core/trace.hpp"
#include "generated/hook_table.hpp"
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
          pointer_mode(cuda::function_beside<GetMode>("cublasGetPointerMode_v2", called)),
          math_mode(cuda::function_beside<GetMode>("cublasGetMathMode", called)) {}

    using GetStream = int (*)(void* handle, void** stream);
    using GetMode = int (*)(void* handle, int* mode);
    GetStream stream = nullptr;
    GetMode pointer_mode = nullptr;
    GetMode math_mode = nullptr;
};

constinit cuda::FunctionsBeside<Getters> getters;

/// What goes for all members of a batch.
struct Common {
    void* stream = nullptr;
    double alpha = 1;
    double beta = 0;
    bool scalars_known = false;
    Arithmetic arithmetic = Arithmetic::implied;
    bool usable = false;
};

/// `call` says of which types; what is apart is another for each group.
Common common_of(const Hook& hook, const Call& call, void* handle, const void* alpha,
                 const void* beta) noexcept {
    Common common;
    const Getters library = getters.of(hook.real);
    if (library.stream == nullptr || library.stream(handle, &common.stream) != 0) return common;
    common.usable = true;
    int mode = scalars_on_host;
    common.scalars_known = library.pointer_mode != nullptr &&
                           library.pointer_mode(handle, &mode) == 0 && mode == scalars_on_host &&
                           alpha != nullptr && beta != nullptr;
    if (common.scalars_known) {
        common.alpha = scalar(alpha, call.scalars, call.computeType);
        common.beta = scalar(beta, call.scalars, call.computeType);
    }
    MathMode math;
    math.tf32_forbidden = is_tf32_forbidden();
    if (library.math_mode != nullptr && depends_on_math_mode(call))
        library.math_mode(handle, &math.of_handle);
    common.arithmetic = arithmetic_of(call, math);
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
        product.arithmetic = common.arithmetic;
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
        one.scalars = call.scalars;
        one.computeType = call.computeType;
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
        const Common common =
            common_of(hook, one, call.handle, at(call.alpha_array), at(call.beta_array));
        record_members(hook, op, one, common, index);
        index += one.batchCount;
    }
}

}  // namespace

bool is_tf32_forbidden() noexcept {
    static constinit std::atomic<int> forbidden{-1};
    int known = forbidden.load(std::memory_order_relaxed);
    if (known < 0) {
        const char* value = std::getenv("NVIDIA_TF32_OVERRIDE");
        known = value != nullptr && std::string_view{value} == "0" ? 1 : 0;
        forbidden.store(known, std::memory_order_relaxed);
    }
    return known != 0;
}

/// Reductions in a workspace of another size may go another way. Each size is said once: an engine
/// may set it before each call.
void note_workspace(std::uint64_t bytes) noexcept {
    static constinit std::atomic<std::uint64_t> said[8]{};
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    for (auto& one : said) {
        std::uint64_t known = one.load(std::memory_order_relaxed);
        if (known == 0 && one.compare_exchange_strong(known, bytes + 1)) {
            const Guard guard;
            write_setting(*trace, "cublasSetWorkspace_v2", bytes);
            return;
        }
        if (known == bytes + 1) return;
    }
}

bool count_unselected(std::string_view op, std::int64_t products) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return true;
    const Selector& wanted = trace->config().checkpoints;
    // Which products end a layer is seen by their shapes.
    if (wanted.selects_call(CheckpointGroup::layers, "gemm", op) ||
        wanted.group(CheckpointGroup::logits)) {
        return false;
    }
    const auto count = static_cast<std::uint64_t>(products > 0 ? products : 0);
    trace->ledger()[RecordClass::gemm].unselected.fetch_add(count, std::memory_order_relaxed);
    return true;
}

void record(const Hook& hook, std::string_view op, const Call& call) noexcept {
    const Common common = common_of(hook, call, call.handle, call.alpha, call.beta);
    record_members(hook, op, call, common, 0);
}

void record(const Hook& hook, std::string_view op, const GroupedCall<int>& call) noexcept {
    record_groups(hook, op, call);
}

void record(const Hook& hook, std::string_view op, const GroupedCall<std::int64_t>& call) noexcept {
    record_groups(hook, op, call);
}

}  // namespace orch::cublas

namespace orch::probe {

int cublasSetWorkspace_v2(const Hook&, cublasSetWorkspace_v2_fn real, void* handle, void* workspace,
                          std::size_t workspaceSizeInBytes) {
    const int status = cublas::call_real(real, handle, workspace, workspaceSizeInBytes);
    if (status == 0) cublas::note_workspace(workspaceSizeInBytes);
    return status;
}

}  // namespace orch::probe
