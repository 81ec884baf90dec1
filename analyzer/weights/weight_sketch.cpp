#include "analyzer/weights/weight_sketch.hpp"

#include <algorithm>
#include <cstring>

namespace orch {
namespace {

/// As the tracer has it: seven rows of the spread, and the last.
constexpr int selected_rows = 8;
/// The digest adds up the rows of a column in f32, 1024 at a time. A block is a multiple of that.
constexpr std::int64_t rows_added = 1024;

std::int64_t row_bytes(const ModelTensor& tensor) {
    return tensor.inputs() / tensor.type.block_values * tensor.type.block_bytes;
}

MatrixView view_of(const ModelTensor& tensor) {
    MatrixView view;
    view.data = tensor.data.data();
    view.dtype = tensor.type.dtype;
    view.rows = tensor.outputs();
    view.cols = tensor.inputs();
    if (view.dtype == DType::block) {
        view.decode = tensor.type.decode;
        view.block_values = tensor.type.block_values;
        view.block_bytes = tensor.type.block_bytes;
        view.row_stride = row_bytes(tensor);
    } else {
        view.row_stride = tensor.transposed ? 1 : tensor.cols;
        view.col_stride = tensor.transposed ? tensor.cols : 1;
    }
    return view;
}

bool is_aligned(const ModelTensor& tensor) {
    const std::size_t size = element_size(tensor.type.dtype);
    // The scale of a block is a half.
    const std::size_t wanted = size != 0 ? size : tensor.type.block_bytes > 1 ? 2 : 1;
    return reinterpret_cast<std::uintptr_t>(tensor.data.data()) % wanted == 0;
}

}  // namespace

std::vector<RowBlock> row_blocks(const std::vector<ModelTensor>& tensors,
                                 std::int64_t block_bytes) {
    std::vector<RowBlock> blocks;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const ModelTensor& tensor = tensors[i];
        if (!tensor.left_out.empty()) continue;
        const std::int64_t unit = rows_added * row_bytes(tensor);
        const std::int64_t step = (block_bytes + unit - 1) / unit * rows_added;
        for (std::int64_t row = 0; row < tensor.outputs(); row += step)
            blocks.push_back({i, row, std::min(step, tensor.outputs() - row)});
    }
    return blocks;
}

Digest digest_rows(const ModelTensor& tensor, std::int64_t first, std::int64_t count) {
    std::vector<std::byte> aligned;
    ModelTensor copy;
    const ModelTensor* source = &tensor;
    if (!is_aligned(tensor)) {
        // Old safetensors files may begin their data anywhere.
        copy = tensor;
        aligned.assign(tensor.data.begin(), tensor.data.end());
        copy.data = aligned;
        source = &copy;
    }
    MatrixView view = view_of(*source);
    const std::int64_t unit =
        view.dtype == DType::block ? 1 : static_cast<std::int64_t>(element_size(view.dtype));
    view.data = source->data.data() + first * view.row_stride * unit;
    view.rows = count;
    DigestRequest request;
    request.positions.first = first;
    request.selected_rows = first == 0 ? selected_rows : 1;
    request.sign_rows = false;
    Digest result;
    digest(view, request, result);
    for (int i = 0; i < result.selected; ++i)
        result.row[static_cast<std::size_t>(i)].row += first;
    return result;
}

WeightSketch::WeightSketch(const std::vector<Digest>& blocks) {
    for (const Digest& block : blocks) {
        energy += block.energy;
        sum += block.sum;
        absmax = std::max(absmax, block.absmax);
        hash += block.hash;
        nonfinite.nan += block.nonfinite.nan;
        nonfinite.pos_inf += block.nonfinite.pos_inf;
        nonfinite.neg_inf += block.nonfinite.neg_inf;
        for (std::size_t j = 0; j < sketch.size(); ++j)
            sketch[j] += static_cast<double>(block.mixed[j]);
    }
    // A block's last row is the weight's last row in the last block alone.
    const Digest& front = blocks.front();
    const Digest& back = blocks.back();
    rows.assign(front.row.begin(), front.row.begin() + front.selected - 1);
    rows.push_back(back.row[static_cast<std::size_t>(back.selected) - 1]);
}

std::vector<double> first_values(const ModelTensor& tensor, std::size_t count) {
    const MatrixView view = view_of(tensor);
    count = std::min(count, static_cast<std::size_t>(view.cols));
    std::vector<double> result;
    if (view.dtype == DType::f64) {
        for (std::size_t i = 0; i < count; ++i) {
            double value = 0;
            const auto at = static_cast<std::size_t>(view.col_stride) * i * sizeof value;
            std::memcpy(&value, tensor.data.data() + at, sizeof value);
            result.push_back(value);
        }
        return result;
    }
    // Block types are decoded by whole blocks.
    std::vector<float> values(std::max(count, static_cast<std::size_t>(view.block_values)));
    const auto blocks =
        static_cast<std::int64_t>((count + static_cast<std::size_t>(view.block_values) - 1) /
                                  static_cast<std::size_t>(view.block_values));
    values.resize(static_cast<std::size_t>(blocks * view.block_values));
    copy_row_f32(view, 0, 0, blocks * view.block_values, values.data());
    result.assign(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
    return result;
}

}  // namespace orch
