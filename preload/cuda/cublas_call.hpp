// A call of cuBLAS as data, and its normal form: tokens x features in, tokens x features out, as in
// preload/blas_call.hpp. Everything is column-major here, so the weight stands in A.
#pragma once
#include <cstdint>
#include <string_view>

#include "device/protocol.hpp"

namespace orch::cublas {

/// Element types that a function's name implies; `given` ones are arguments of the call.
enum class Type : std::uint8_t { given, f32, f64, f16, bf16, c32, c64 };

/// Parameters by the names they have in cuBLAS. A function sets those it has.
struct Call {
    Type inputs = Type::given;
    Type output = Type::given;
    Type scalars = Type::given;
    void* handle = nullptr;
    int transa = 0;
    int transb = 0;
    int trans = 0;
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    const void* alpha = nullptr;
    const void* beta = nullptr;
    const void* A = nullptr;
    const void* B = nullptr;
    const void* C = nullptr;
    const void* x = nullptr;
    const void* y = nullptr;
    const void* const* Aarray = nullptr;
    const void* const* Barray = nullptr;
    const void* const* Carray = nullptr;
    const void* const* xarray = nullptr;
    const void* const* yarray = nullptr;
    int Atype = -1;
    int Btype = -1;
    int Ctype = -1;
    std::int64_t lda = 0;
    std::int64_t ldb = 0;
    std::int64_t ldc = 0;
    std::int64_t incx = 1;
    std::int64_t incy = 1;
    std::int64_t strideA = 0;
    std::int64_t strideB = 0;
    std::int64_t strideC = 0;
    std::int64_t stridex = 0;
    std::int64_t stridey = 0;
    std::int64_t batchCount = 1;
    int computeType = -1;
};

/// Groups of products of one shape each. All lists but those of pointers are the host's.
template <class Int>
struct GroupedCall {
    Type inputs = Type::given;
    Type output = Type::given;
    Type scalars = Type::given;
    void* handle = nullptr;
    const int* transa_array = nullptr;
    const int* transb_array = nullptr;
    const Int* m_array = nullptr;
    const Int* n_array = nullptr;
    const Int* k_array = nullptr;
    const void* alpha_array = nullptr;
    const void* beta_array = nullptr;
    const void* const* Aarray = nullptr;
    const void* const* Barray = nullptr;
    const void* const* Carray = nullptr;
    int Atype = -1;
    int Btype = -1;
    int Ctype = -1;
    const Int* lda_array = nullptr;
    const Int* ldb_array = nullptr;
    const Int* ldc_array = nullptr;
    Int group_count = 0;
    const Int* group_size = nullptr;
    int computeType = -1;
};

/// In what cuBLAS may compute, where that is not what the operands' types imply: sums of f64 for
/// f64, of i32 for integers, of f32 for all others. Narrower than the operands: those are rounded
/// to it before they are multiplied; as narrow as they: sums are kept in it.
enum class Arithmetic : std::uint8_t { implied, f16, bf16, tf32, f32, f64, bf16x9, fixed_point };
/// As records show it; empty: implied.
std::string_view arithmetic_name(Arithmetic arithmetic) noexcept;

/// What the environment and the handle allow.
struct MathMode {
    int of_handle = 0;            ///< cublasMath_t; of cuBLASLt always the default
    bool tf32_forbidden = false;  ///< NVIDIA_TF32_OVERRIDE=0
};
/// False: the handle's math mode changes nothing for a call of these types.
bool depends_on_math_mode(const Call& call) noexcept;
Arithmetic arithmetic_of(const Call& call, const MathMode& mode) noexcept;

/// y[tokens x out] = alpha x[tokens x in] W[out x in]^T + beta y, in device memory.
struct DeviceProduct {
    device::Operand x;
    device::Operand weight;
    device::Operand y;
    double alpha = 1;
    double beta = 0;
    bool scalars_known = true;  ///< false: alpha and beta lie in device memory
    bool is_product = true;     ///< false: y has more in it, as a bias
    Arithmetic arithmetic = Arithmetic::implied;

    bool empty() const { return y.rows <= 0 || y.cols <= 0 || x.cols <= 0; }
};

/// cudaDataType to a type that the digest reads; false: complex, 4-bit and the like.
bool device_type(int cuda_data_type, device::Type& out) noexcept;
/// "f16" and so on, as records show it.
const char* type_name(device::Type type) noexcept;

/// The scalar at `value`, in the host's memory.
double scalar(const void* value, Type type, int compute_type) noexcept;

/// Member `index` of the call's batch, its scalars apart. False: its types are not digested.
bool normalise(const Call& call, std::int64_t index, DeviceProduct& out) noexcept;

/// A column-major operand whose rows become the view's rows (or, not contiguous, its columns do).
device::Operand operand(const void* data, device::Type type, std::int64_t rows, std::int64_t cols,
                        std::int64_t ld, bool rows_are_contiguous) noexcept;

}  // namespace orch::cublas
