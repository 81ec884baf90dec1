#include "preload/ggml_weights.hpp"

#include "core/proof.hpp"
#include "core/records.hpp"
#include "preload/floating_point.hpp"
#include "preload/ggml_notes.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

constexpr int weight_rows = 8;

bool wants_sketch() noexcept {
    const WeightMode mode = session::config().weights;
    return mode == WeightMode::proof || mode == WeightMode::sketch;
}

/// True once per weight.
bool claim(void* weight, Probes& probes) noexcept {
    Notes notes;
    TensorNote* note = notes.find(weight);
    if (note == nullptr || !note->weight_recorded) note = notes.at(weight);  // for a change of it
    if (note == nullptr) return false;
    probes = note->probes;
    const bool is_new = !note->weight_recorded;
    note->weight_recorded = true;
    return is_new;
}

void keep_probes(void* weight, const Probes& probes, std::uint64_t hash) noexcept {
    Notes notes;
    TensorNote* note = notes.at(weight);
    if (note == nullptr) return;
    note->probes = probes;
    note->weight_hash = hash;
    note->settled_error = 0;
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

Probes write(const GgmlApi& api, Trace& trace, void* weight, const void* data) noexcept {
    ClassCounts& counts = trace.ledger()[RecordClass::weight];
    bump(counts.seen);
    if (!wants_sketch()) {
        bump(counts.filtered);
        return {};
    }
    MatrixView view;
    if (!weight_view(api, weight, data, view)) {
        bump(counts.dropped);
        session::blind_spot(api.name(weight), "this weight's values cannot be read here");
        return {};
    }
    const KeepFloatingPoint keep;
    Probes probes{nullptr, view.rows, view.cols};
    void* memory = nullptr;
    if (session::config().weights == WeightMode::proof && worth_probing(view))
        memory = session::weights().probe_memory().take(trace, probe_bytes(view.cols));
    Digest result;
    if (digest_weight(trace, view, weight_rows, static_cast<float*>(memory), result)) {
        probes.data = static_cast<const float*>(memory);
        keep_probes(weight, probes, result.hash);
    }
    const std::string_view name = api.name(weight);
    write_weight(trace, {name, name, {view, &result, api.type_name(api.type(weight))}});
    return probes;
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
    note->probes = {};
}

Probes record_weight(const GgmlApi& api, void* weight) noexcept {
    Probes probes;
    if (session::config().weights == WeightMode::off || !claim(weight, probes)) return probes;
    Trace* trace = session::trace();
    if (trace == nullptr) return {};
    return write(api, *trace, weight,
                 is_opaque(api, buffer_of(weight)) ? nullptr : api.get_data(weight));
}

bool weight_has_changed(const GgmlApi& api, void* weight, double error) noexcept {
    constexpr double as_before = 4;
    std::uint64_t hash = 0;
    {
        Notes notes;
        const TensorNote* note = notes.find(weight);
        if (note == nullptr || error <= as_before * note->settled_error) return false;
        hash = note->weight_hash;
    }
    MatrixView view;
    // An opaque buffer cannot be read; what is uploaded into it is seen.
    if (is_opaque(api, buffer_of(weight)) ||
        !weight_view(api, weight, api.get_data(weight), view)) {
        return false;
    }
    DigestRequest request;
    request.selected_rows = 1;
    request.sign_rows = false;
    Digest now;
    digest(view, request, now);
    const bool changed = now.hash != hash;
    Notes notes;
    if (TensorNote* note = notes.at(weight); note != nullptr) {
        note->settled_error = error;
        if (changed) note->probes = {};
    }
    return changed;
}

void record_uploaded_weight(const GgmlApi& api, void* tensor, const void* data,
                            std::size_t size) noexcept {
    const std::string_view name = api.name(tensor);
    if (!name.ends_with(".weight") || size != api.nbytes(tensor)) return;
    if (!wants_sketch() || !is_opaque(api, buffer_of(tensor))) return;
    if (!session::config().checkpoints.selects(CheckpointGroup::gemm, product_name(name), name))
        return;
    Trace* trace = session::trace();
    Probes probes;
    if (trace == nullptr) return;
    if (claim(tensor, probes)) {
        write(api, *trace, tensor, data);
    } else {
        keep_probes(tensor, {}, 0);  // another weight at this place: those of the first say nothing
    }
}

}  // namespace orch
