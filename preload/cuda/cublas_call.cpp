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

// cublasComputeType_t: what alpha and beta are, where the name of the function does not say.
enum ComputeType {
    compute_16f = 64,
    compute_16f_pedantic = 65,
    compute_64f = 70,
    compute_64f_pedantic = 71,
    compute_32i = 72,
    compute_32i_pedantic = 73,
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
