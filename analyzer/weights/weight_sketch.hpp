// The numbers of a trace's weight record (docs/FORMAT.md, "weight"), computed from a checkpoint.
#pragma once
#include <array>
#include <vector>

#include "analyzer/weights/model_tensor.hpp"
#include "core/digest.hpp"

namespace orch {

/// Rows [first, first + count) of a weight's outputs: what one thread digests at a time.
struct RowBlock {
    std::size_t tensor = 0;
    std::int64_t first = 0;
    std::int64_t count = 0;
};

/// Large enough that most weights are one block, and their sums those of a trace to the last digit;
/// small enough that threads end together.
inline constexpr std::int64_t default_block_bytes = std::int64_t{64} << 20;

/// Cuts all tensors that can be read, in their order. A block depends on the tensor alone, never on
/// the number of threads: the sums of an index are always the same.
std::vector<RowBlock> row_blocks(const std::vector<ModelTensor>& tensors,
                                 std::int64_t block_bytes = default_block_bytes);

Digest digest_rows(const ModelTensor& tensor, std::int64_t first, std::int64_t count);

struct WeightSketch {
    double energy = 0;
    double sum = 0;
    float absmax = 0;
    std::uint64_t hash = 0;
    Nonfinite nonfinite;
    std::array<double, sketch_size> sketch{};
    /// 0, 1, 2, 4, 8, 16, 32 as far as there are, and the last.
    std::vector<RowDigest> rows;

    /// The blocks of a tensor, in order.
    explicit WeightSketch(const std::vector<Digest>& blocks);
};

/// The first values of row 0, at most `count`.
std::vector<double> first_values(const ModelTensor& tensor, std::size_t count);

}  // namespace orch
