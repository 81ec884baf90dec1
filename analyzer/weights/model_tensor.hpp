// One weight of a checkpoint, wherever it came from: a matrix [outputs, inputs] in mapped memory.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analyzer/weights/byte_reader.hpp"
#include "analyzer/weights/element_type.hpp"

namespace orch {

struct ModelTensor {
    std::string name;  ///< the file's; one expert of several has its number behind: "….weight[3]"
    ElementType type;
    /// As they lie: `rows` runs of `cols` values. A vector has one row.
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    ByteSpan data;
    /// The file holds [inputs, outputs].
    bool transposed = false;
    std::string left_out;  ///< why its values cannot be had; empty: they can

    std::int64_t outputs() const { return transposed ? cols : rows; }
    std::int64_t inputs() const { return transposed ? rows : cols; }
};

/// Bytes of a matrix; nullopt if that overflows or the columns are no whole number of blocks.
std::optional<std::uint64_t> bytes_of(const ElementType& type, std::uint64_t rows,
                                      std::uint64_t cols);

/// One per expert where a tensor of three extents holds the experts of a layer, else the tensor
/// itself with its outer extents as rows. `tensor` has name, type and data; `extents` are outermost
/// first, not empty, and the data has their size.
void add_tensor(std::vector<ModelTensor>& to, ModelTensor tensor,
                std::span<const std::uint64_t> extents);

}  // namespace orch
