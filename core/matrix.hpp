// A call's operands, normalised: rows are tokens (or a weight's output rows), columns are features.
#pragma once
#include <cstdint>

#include "core/dtype.hpp"

namespace orch {

/// Decodes columns [first, first + count) of one row of a block type into `out`.
using BlockDecoder = void (*)(const void* row, float* out, std::int64_t count);

/// Element (r, c) lies at data + (r * row_stride + c * col_stride) * element_size. For DType::block
/// the row stride is in bytes, a row is contiguous, and `decode` turns it into f32.
struct MatrixView {
    const void* data = nullptr;
    DType dtype = DType::f32;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::int64_t row_stride = 0;
    std::int64_t col_stride = 1;
    BlockDecoder decode = nullptr;
    std::int64_t block_bytes = 0;   ///< bytes of one block (DType::block only)
    std::int64_t block_values = 1;  ///< values in one block (DType::block only)
};

/// Which token each row is. Without a list, row r is position `first + r`.
struct Positions {
    std::int64_t first = 0;
    const std::int32_t* list = nullptr;

    std::int64_t operator[](std::int64_t row) const {
        return list != nullptr ? list[row] : first + row;
    }
};

}  // namespace orch
