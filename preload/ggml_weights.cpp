#include "preload/ggml_weights.hpp"

#include "core/digest.hpp"
#include "core/records.hpp"
#include "preload/floating_point.hpp"
#include "preload/ggml_notes.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

constexpr int weight_rows = 8;

/// True once per weight.
bool claim(void* weight) noexcept {
    Notes notes;
    TensorNote* note = notes.at(weight);
    if (note == nullptr || note->weight_recorded) return false;
    note->weight_recorded = true;
    return true;
}

void* buffer_of(void* weight) noexcept {
    Notes notes;
    const TensorNote* note = notes.find(weight);
    return note != nullptr ? note->buffer : nullptr;
}

/// Output rows x input features; the experts of a mixture follow each other.
bool weight_view(const GgmlApi& api, const void* weight, const void* data,
                 MatrixView& view) noexcept {
    if (data == nullptr || !api.is_contiguous(weight) ||
        !api.describe_type(api.type(weight), view)) {
        return false;
    }
    const GgmlShape shape = api.shape(weight);
    view.data = data;
    view.cols = shape.ne[0];
    view.rows = shape.elements() / (shape.ne[0] > 0 ? shape.ne[0] : 1);
    view.row_stride = view.dtype == DType::block ? static_cast<std::int64_t>(api.nbytes(weight)) /
                                                       (view.rows > 0 ? view.rows : 1)
                                                 : view.cols;
    return view.rows > 0;
}

void write(const GgmlApi& api, Trace& trace, void* weight, const void* data) noexcept {
    ClassCounts& counts = trace.ledger()[RecordClass::weight];
    bump(counts.seen);
    if (trace.config().weights != WeightMode::sketch) {
        bump(counts.filtered);
        return;
    }
    MatrixView view;
    if (!weight_view(api, weight, data, view)) {
        bump(counts.dropped);
        session::blind_spot(api.name(weight), "this weight's values cannot be read here");
        return;
    }
    const KeepFloatingPoint keep;
    DigestRequest request;
    request.selected_rows = weight_rows;
    request.sign_rows = false;
    Digest result;
    digest(view, request, result);
    const std::string_view name = api.name(weight);
    write_weight(trace, {name, name, {view, &result, api.type_name(api.type(weight))}});
}

/// "CPU_REPACK", "AMX" and their like keep a layout of their own that cannot be read back.
bool is_opaque(const GgmlApi& api, void* buffer) noexcept {
    return buffer != nullptr && !api.buffer_is_host(buffer);
}

}  // namespace

void note_buffer(void* tensor, void* buffer) noexcept {
    Notes notes;
    TensorNote* note = notes.at(tensor);
    if (note == nullptr) return;
    note->buffer = buffer;
    note->weight_recorded = false;
}

void record_weight(const GgmlApi& api, void* weight) noexcept {
    if (session::config().weights == WeightMode::off || !claim(weight)) return;
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    write(api, *trace, weight, is_opaque(api, buffer_of(weight)) ? nullptr : api.get_data(weight));
}

void record_uploaded_weight(const GgmlApi& api, void* tensor, const void* data,
                            std::size_t size) noexcept {
    const std::string_view name = api.name(tensor);
    if (!name.ends_with(".weight") || size != api.nbytes(tensor)) return;
    if (session::config().weights != WeightMode::sketch || !is_opaque(api, buffer_of(tensor)))
        return;
    if (!session::config().checkpoints.selects(CheckpointGroup::gemm, product_name(name), name))
        return;
    Trace* trace = session::trace();
    if (trace != nullptr && claim(tensor)) write(api, *trace, tensor, data);
}

}  // namespace orch
