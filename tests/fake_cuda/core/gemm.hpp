// Matrix products by the definition, in double precision, whatever the types are.
#pragma once
#include <complex>
#include <functional>
#include <vector>

#include "core/types.hpp"

namespace fake {

using Value = std::complex<double>;

/// Bytes of one element; 0: a type that is not known here.
std::size_t size_of(int type);
Value load(const void* data, int type, std::int64_t index);
void store(void* data, int type, std::int64_t index, Value value);

/// alpha or beta: read when the call is made, or on the device when the product is.
struct Scalar {
    const void* device = nullptr;
    int type = r32f;
    Value value = 0;
    Value get() const { return device != nullptr ? load(device, type, 0) : value; }
};

struct Matrix {
    const void* data = nullptr;
    int type = r32f;
    std::int64_t ld = 0;
    std::int64_t stride = 0;  ///< between the matrices of a batch, in elements
    bool indirect = false;    ///< data is an array of pointers, one per matrix
    bool row_major = false;
    const void* of(std::int64_t batch) const;
    std::int64_t at(std::int64_t row, std::int64_t col) const {
        return row_major ? row * ld + col : col * ld + row;
    }
};

struct Gemm {
    int transa = 0;  ///< 0 N, 1 T, 2 C
    int transb = 0;
    std::int64_t m = 0, n = 0, k = 0;
    Scalar alpha, beta;
    Matrix a, b, c, d;  ///< d = alpha a b + beta c
    std::int64_t batch = 1;
    bool tf32 = false;  ///< what is multiplied has ten bits behind the point
    /// Of the value of row i, before it is stored; empty: none.
    std::function<Value(std::int64_t batch, std::int64_t row, Value)> epilogue;
};

/// Whether cuBLAS computes this in TF32: FAKE_CUBLAS_TF32=allowed, where the caller allows it, or
/// =always, which no caller is told of. As NVIDIA's, it asks NVIDIA_TF32_OVERRIDE.
bool in_tf32(int a_type, int b_type, bool allowed);

void compute(const Gemm& gemm);

}  // namespace fake
