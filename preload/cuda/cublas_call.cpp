#include "preload/cuda/cublas_call.hpp"

#include <cstring>

#include "core/half.hpp"

namespace orch::cublas {
namespace {

// cudaDataType_t, of library_types.h.
enum CudaType {
    R_32F = 0,
    R_64F = 1,
    R_16F = 2,
    R_8I = 3,
    C_32F = 4,
    C_64F = 5,
    R_32I = 10,
    R_16BF = 14,
    R_8F_E4M3 = 28,
    R_8F_E5M2 = 29,
};

// cublasComputeType_t: what sums, alpha and beta are, where the name of the function does not say.
enum ComputeType {
    compute_by_name = -1,
    compute_16f = 64,
    compute_16f_pedantic = 65,
    compute_32f = 68,
    compute_64f = 70,
    compute_64f_pedantic = 71,
    compute_32i = 72,
    compute_32i_pedantic = 73,
    compute_32f_fast_16f = 74,
    compute_32f_fast_16bf = 75,
    compute_32f_fast_tf32 = 77,
    compute_32f_emulated_16bfx9 = 78,
    compute_64f_emulated_fixed_point = 79,
};

// cublasMath_t, but for flags that stand above it.
enum HandleMode {
    mode_tensor_op = 1,  // deprecated; cublas_api.h: as compute_32f_fast_16f
    mode_tf32 = 3,
    mode_emulated_16bfx9 = 4,
    mode_bits = 15,
};

int cuda_type(Type implied, int given) noexcept {
    switch (implied) {
        case Type::given:
            return given;
        case Type::f32:
            return R_32F;
        case Type::f64:
            return R_64F;
        case Type::f16:
            return R_16F;
        case Type::bf16:
            return R_16BF;
        case Type::c32:
            return C_32F;
        case Type::c64:
            return C_64F;
    }
    return -1;
}

Arithmetic implied_by(device::Type input) noexcept {
    if (input == device::Type::f64) return Arithmetic::f64;
    const bool whole = input == device::Type::i8 || input == device::Type::i32;
    return whole ? Arithmetic::implied : Arithmetic::f32;
}

/// Of sums and of what is rounded before, for operands of f32.
Arithmetic of_f32(int compute_type, const MathMode& mode) noexcept {
    const auto tf32 = mode.tf32_forbidden ? Arithmetic::f32 : Arithmetic::tf32;
    switch (compute_type) {
        case compute_32f_fast_16f:
            return Arithmetic::f16;
        case compute_32f_fast_16bf:
            return Arithmetic::bf16;
        case compute_32f_fast_tf32:
            return tf32;
        case compute_32f_emulated_16bfx9:
            return Arithmetic::bf16x9;
        case compute_32f:
        case compute_by_name:
            break;
        default:
            return Arithmetic::f32;
    }
    switch (mode.of_handle & mode_bits) {
        case mode_tensor_op:
            return Arithmetic::f16;
        case mode_tf32:
            return tf32;
        case mode_emulated_16bfx9:
            return Arithmetic::bf16x9;
        default:
            return Arithmetic::f32;
    }
}

std::uint64_t address(const void* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

/// Where member `index` of a batch lies: behind a list of pointers, or at a stride.
void place(device::Operand& operand, const void* const* list, std::int64_t stride,
           std::int64_t index) noexcept {
    if (list != nullptr) {
        operand.data = address(list + index);
        operand.indirect = true;
    } else {
        operand.data += static_cast<std::uint64_t>(index * stride * device::size_of(operand.type));
    }
}

/// A vector as one row. BLAS walks a negative increment from the far end.
device::Operand vector(const void* data, device::Type type, std::int64_t count,
                       std::int64_t increment) noexcept {
    device::Operand v{address(data), 1, count, count, increment, type, false};
    if (increment < 0 && data != nullptr)
        v.data += static_cast<std::uint64_t>((1 - count) * increment * device::size_of(type));
    return v;
}

}  // namespace

bool device_type(int cuda_data_type, device::Type& out) noexcept {
    switch (cuda_data_type) {
        case R_32F:
            out = device::Type::f32;
            return true;
        case R_64F:
            out = device::Type::f64;
            return true;
        case R_16F:
            out = device::Type::f16;
            return true;
        case R_16BF:
            out = device::Type::bf16;
            return true;
        case R_8I:
            out = device::Type::i8;
            return true;
        case R_32I:
            out = device::Type::i32;
            return true;
        case R_8F_E4M3:
            out = device::Type::e4m3;
            return true;
        case R_8F_E5M2:
            out = device::Type::e5m2;
            return true;
        default:
            return false;
    }
}

const char* type_name(device::Type type) noexcept {
    switch (type) {
        case device::Type::f32:
            return "f32";
        case device::Type::f64:
            return "f64";
        case device::Type::f16:
            return "f16";
        case device::Type::bf16:
            return "bf16";
        case device::Type::e4m3:
            return "f8_e4m3";
        case device::Type::e5m2:
            return "f8_e5m2";
        case device::Type::i8:
            return "i8";
        case device::Type::i32:
            return "i32";
    }
    return "unknown";
}

std::string_view arithmetic_name(Arithmetic arithmetic) noexcept {
    switch (arithmetic) {
        case Arithmetic::implied:
            break;
        case Arithmetic::f16:
            return "f16";
        case Arithmetic::bf16:
            return "bf16";
        case Arithmetic::tf32:
            return "tf32";
        case Arithmetic::f32:
            return "f32";
        case Arithmetic::f64:
            return "f64";
        case Arithmetic::bf16x9:
            return "bf16x9";
        case Arithmetic::fixed_point:
            return "fixed_point";
    }
    return {};
}

bool depends_on_math_mode(const Call& call) noexcept {
    const bool of_f32 = cuda_type(call.inputs, call.Atype) == R_32F;
    return of_f32 && (call.computeType == compute_by_name ? call.scalars == Type::f32
                                                          : call.computeType == compute_32f);
}

Arithmetic arithmetic_of(const Call& call, const MathMode& mode) noexcept {
    device::Type input;
    if (!device_type(cuda_type(call.inputs, call.Atype), input)) return Arithmetic::implied;
    Arithmetic result = Arithmetic::f32;
    switch (call.computeType) {
        case compute_16f:
        case compute_16f_pedantic:
            result = Arithmetic::f16;
            break;
        case compute_64f:
        case compute_64f_pedantic:
            result = Arithmetic::f64;
            break;
        case compute_64f_emulated_fixed_point:
            result = Arithmetic::fixed_point;
            break;
        case compute_32i:
        case compute_32i_pedantic:
            return Arithmetic::implied;
        case compute_by_name:
            if (call.scalars == Type::f16) result = Arithmetic::f16;
            if (call.scalars == Type::f64) result = Arithmetic::f64;
            break;
        default:
            break;
    }
    if (input == device::Type::f32 && result == Arithmetic::f32)
        result = of_f32(call.computeType, mode);
    return result == implied_by(input) ? Arithmetic::implied : result;
}

double scalar(const void* value, Type type, int compute_type) noexcept {
    if (type == Type::f64 || compute_type == compute_64f || compute_type == compute_64f_pedantic) {
        double v;
        std::memcpy(&v, value, sizeof v);
        return v;
    }
    if (type == Type::f16 || compute_type == compute_16f || compute_type == compute_16f_pedantic) {
        std::uint16_t v;
        std::memcpy(&v, value, sizeof v);
        return f16_to_f32(v);
    }
    if (compute_type == compute_32i || compute_type == compute_32i_pedantic) {
        std::int32_t v;
        std::memcpy(&v, value, sizeof v);
        return v;
    }
    float v;
    std::memcpy(&v, value, sizeof v);
    return v;
}

device::Operand operand(const void* data, device::Type type, std::int64_t rows, std::int64_t cols,
                        std::int64_t ld, bool rows_are_contiguous) noexcept {
    return rows_are_contiguous ? device::Operand{address(data), rows, cols, ld, 1, type, false}
                               : device::Operand{address(data), rows, cols, 1, ld, type, false};
}

bool normalise(const Call& call, std::int64_t index, DeviceProduct& out) noexcept {
    const bool vectors = call.x != nullptr || call.xarray != nullptr;
    device::Type a;
    device::Type b;
    device::Type c;
    if (!device_type(cuda_type(call.inputs, call.Atype), a) ||
        !device_type(cuda_type(call.inputs, call.Btype), b) ||
        !device_type(cuda_type(call.output, call.Ctype), c)) {
        return false;
    }
    if (vectors) {
        const bool transposed = call.trans != 0;
        const std::int64_t outputs = transposed ? call.n : call.m;
        const std::int64_t inputs = transposed ? call.m : call.n;
        out.weight = operand(call.A, a, outputs, inputs, call.lda, transposed);
        out.x = vector(call.x, a, inputs, call.incx);
        out.y = vector(call.y, c, outputs, call.incy);
        place(out.x, call.xarray, call.stridex, index);
        place(out.y, call.yarray, call.stridey, index);
    } else {
        out.weight = operand(call.A, a, call.m, call.k, call.lda, call.transa != 0);
        out.x = operand(call.B, b, call.n, call.k, call.ldb, call.transb == 0);
        out.y = operand(call.C, c, call.n, call.m, call.ldc, true);
        place(out.x, call.Barray, call.strideB, index);
        place(out.y, call.Carray, call.strideC, index);
    }
    place(out.weight, call.Aarray, call.strideA, index);
    return true;
}

}  // namespace orch::cublas
