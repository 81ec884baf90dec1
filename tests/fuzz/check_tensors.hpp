// What must hold of the tensors of any checkpoint, and what an index computes of them.
#pragma once
#include <vector>

#include "analyzer/weights/model_file.hpp"
#include "analyzer/weights/weight_sketch.hpp"
#include "tests/fuzz/target.hpp"

namespace orch::fuzz {

inline ByteSpan as_bytes(const std::uint8_t* data, std::size_t size) {
    return std::as_bytes(std::span{data, size});
}

inline bool is_part(ByteSpan part, ByteSpan whole) {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
}

/// Few enough that a second tries hundreds of inputs.
inline constexpr std::int64_t most_values = 1 << 18;

inline void check_tensors(std::vector<ModelTensor> tensors, const ModelFacts& facts,
                          ByteSpan file) {
    mark_transposed(tensors, facts);
    std::int64_t values = 0;
    for (const RowBlock& block : row_blocks(tensors)) {
        const ModelTensor& tensor = tensors.at(block.tensor);
        require(tensor.left_out.empty(), "what is left out is not read");
        require(block.count > 0 && block.first + block.count <= tensor.outputs(),
                "blocks are in the tensor");
        const bool is_readable =
            tensor.type.kind == ElementType::Kind::plain || tensor.type.decode != nullptr;
        values += block.count * tensor.inputs();
        if (!is_readable || values > most_values) continue;
        const WeightSketch sketch{{digest_rows(tensor, block.first, block.count)}};
        require(!sketch.rows.empty(), "a sketch has its last row");
        require(first_values(tensor, 10).size() <= 10, "no more values than asked for");
    }
    for (const ModelTensor& tensor : tensors) {
        require(is_part(tensor.data, file), "a tensor's data are in the file");
        if (!tensor.left_out.empty()) continue;
        const auto bytes = bytes_of(tensor.type, static_cast<std::uint64_t>(tensor.rows),
                                    static_cast<std::uint64_t>(tensor.cols));
        require(bytes == tensor.data.size(), "a tensor's data have the size of its shape");
    }
}

}  // namespace orch::fuzz
