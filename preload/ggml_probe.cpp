// ggml graphs while they are built: which tensor has which name, which product uses which weight.
//
// Mark, don't observe: a selected tensor is declared an output (ggml_set_output) when it is built
// or named, so that the allocator keeps its memory until the graph has run; ggml_capture.cpp then
// reads it. Fusion, graph reuse and the order of work stay as they are; an eval callback, the usual
// way, splits the graph at every tensor it looks at. What does not fit into ORCH_TRACE_MEMORY falls
// back to the callback. Not seen: graphs that are built without libllama's calls into ggml, and
// tensors that are changed in place after they were named.
#include <atomic>
#include <cstdio>

#include "generated/hook_table.hpp"
#include "preload/ggml_api.hpp"
#include "preload/ggml_capture.hpp"
#include "preload/ggml_notes.hpp"
#include "preload/ggml_weights.hpp"
#include "preload/llama_pass.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

/// The graph being built on this thread: its number, how many tensors are marked in it, and the
/// bytes that this has added.
thread_local constinit std::uint64_t this_graph = 0;
thread_local constinit std::uint32_t marks = 0;
thread_local constinit std::uint64_t marked_bytes = 0;
constinit std::atomic<std::uint64_t> graphs{0};

/// How many tensors, the first ones, fit into the budget in every graph so far. It only shrinks:
/// ggml lays a graph out once, for the largest batch, and smaller batches reuse that layout without
/// a look at their marks. A mark that the large graph had no room for would not be kept.
constinit std::atomic<std::uint32_t> mark_limit{UINT32_MAX};

void lower_mark_limit(std::uint32_t to) noexcept {
    std::uint32_t now = mark_limit.load(std::memory_order_relaxed);
    while (to < now && !mark_limit.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
    }
}

const Selector& selector() noexcept {
    return session::config().checkpoints;
}

/// Keeps the memory that `tensor` looks at until the graph has run. False if that would exceed the
/// budget: then `tensor` is left to the callback.
bool mark(const GgmlApi& api, Notes& notes, void* tensor) noexcept {
    void* owner = notes.owner(api, tensor);
    if (api.is_leaf(owner)) return true;  // weights and caches stay by themselves
    TensorNote* note = notes.at(owner);
    if (note == nullptr) return false;
    if (note->marked_in == this_graph) return true;
    const std::uint64_t bytes = api.nbytes(owner);
    const std::uint64_t budget =
        session::config().capture == CaptureMode::callback ? 0 : session::config().memory_bytes;
    if (marked_bytes + bytes > budget) lower_mark_limit(marks);
    if (marks >= mark_limit.load(std::memory_order_relaxed)) return false;
    ++marks;
    marked_bytes += bytes;
    note->marked_in = this_graph;
    api.set_output(owner);
    return true;
}

/// Graph inputs (positions, row numbers) are small and always kept.
void keep_input(const GgmlApi& api, void* tensor) noexcept {
    if (tensor != nullptr && api.is_leaf(tensor)) api.set_output(tensor);
}

/// A fresh note for a tensor that was just built: whatever stood at its address before is gone. The
/// name is kept: ggml names views before it returns them.
TensorNote* fresh_note(Notes& notes, void* tensor, NoteKind kind) noexcept {
    TensorNote* note = notes.at(tensor);
    if (note == nullptr) return nullptr;
    TensorNote fresh;
    fresh.tensor = tensor;
    fresh.kind = kind;
    *note = fresh;
    return note;
}

void note_view(const Hook& hook, void* view, void* source) noexcept {
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr || view == nullptr) return;
    Notes notes;
    if (TensorNote* note = fresh_note(notes, view, NoteKind::view)) note->source = source;
}

void note_product(const Hook& hook, void* product, void* weight, void* input) noexcept {
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr || product == nullptr) return;
    verify_ggml_layout(*api, product);
    Notes notes;
    TensorNote* note = fresh_note(notes, product, NoteKind::product);
    if (note == nullptr) return;
    note->weight = weight;
    note->source = input;
    // A product of two activations (attention scores) has no weight and no record of its own.
    if (!api->is_leaf(weight)) return;
    const std::string_view weight_name = api->name(weight);
    if (!selector().selects(CheckpointGroup::gemm, product_name(weight_name), weight_name)) return;
    note->wanted_product = true;
    const bool both = mark(*api, notes, input) && mark(*api, notes, product);
    note->by_callback = !both;
}

void note_index(const Hook& hook, void* result, NoteKind kind, void* data, void* index) noexcept {
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr || result == nullptr) return;
    keep_input(*api, index);
    Notes notes;
    if (TensorNote* note = fresh_note(notes, result, kind)) {
        note->source = data;
        note->index = index;
    }
}

/// The type of the cache decides how exact attention can be.
void note_cache(const Hook& hook, const GgmlApi& api, void* tensor) noexcept {
    if (!api.is_leaf(tensor)) return;
    verify_ggml_layout(api, tensor);
    if (ggml_api(hook.caller.address) == nullptr) return;  // turned off by what was found
    note_cache_tensor(api.name(tensor), api.type_name(api.type(tensor)));
}

/// Names that ggml gives itself are skipped: of views, and of half-built tensors on its stack (its
/// GGUF reader does that), of which nothing but the name may be read.
void note_name(const Hook& hook, void* tensor) noexcept {
    if (hook.internal) return;
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr || tensor == nullptr) return;
    StableName name;
    const std::string_view engine_name = api->name(tensor);
    if (engine_name.starts_with("cache_")) return note_cache(hook, *api, tensor);
    if (!stable_name(engine_name, api->op(tensor), name)) return;
    if (!selector().selects(name.group, name.checkpoint, engine_name)) return;
    Notes notes;
    TensorNote* note = notes.at(tensor);
    if (note == nullptr) {
        session::blind_spot("ggml", "more tensors than the registry holds");
        return;
    }
    note->name = name;
    note->wanted = true;
    note->by_callback = !mark(*api, notes, tensor);
}

}  // namespace

namespace probe {

void* ggml_new_graph_custom(const Hook& hook, ggml_new_graph_custom_fn real, void* ctx,
                            std::size_t size, bool grads) {
    (void)hook;
    this_graph = graphs.fetch_add(1, std::memory_order_relaxed) + 1;
    marks = 0;
    marked_bytes = 0;
    return real(ctx, size, grads);
}

void* ggml_set_name(const Hook& hook, ggml_set_name_fn real, void* tensor, const char* name) {
    void* result = real(tensor, name);
    note_name(hook, tensor);
    return result;
}

void* ggml_format_name(const Hook& hook, ggml_format_name_fn real, void* tensor, const char* format,
                       std::va_list arguments) {
    // A variable argument list cannot be passed on; ggml itself formats and truncates alike.
    char name[256];
    std::vsnprintf(name, sizeof name, format, arguments);
    void* result = real(tensor, "%s", name);
    if (hook.observed) note_name(hook, tensor);
    return result;
}

void* ggml_mul_mat(const Hook& hook, ggml_mul_mat_fn real, void* ctx, void* a, void* b) {
    void* product = real(ctx, a, b);
    note_product(hook, product, a, b);
    return product;
}

void* ggml_mul_mat_id(const Hook& hook, ggml_mul_mat_id_fn real, void* ctx, void* experts, void* b,
                      void* ids) {
    void* product = real(ctx, experts, b, ids);
    note_product(hook, product, experts, b);
    return product;
}

void* ggml_get_rows(const Hook& hook, ggml_get_rows_fn real, void* ctx, void* a, void* b) {
    void* result = real(ctx, a, b);
    note_index(hook, result, NoteKind::rows, a, b);
    return result;
}

void* ggml_rope_ext(const Hook& hook, ggml_rope_ext_fn real, void* ctx, void* a, void* b, void* c,
                    int n_dims, int mode, int n_ctx_orig, float freq_base, float freq_scale,
                    float ext_factor, float attn_factor, float beta_fast, float beta_slow) {
    void* result = real(ctx, a, b, c, n_dims, mode, n_ctx_orig, freq_base, freq_scale, ext_factor,
                        attn_factor, beta_fast, beta_slow);
    note_index(hook, result, NoteKind::rope, a, b);
    return result;
}

void* ggml_rope_multi(const Hook& hook, ggml_rope_multi_fn real, void* ctx, void* a, void* b,
                      void* c, int n_dims, int* sections, int mode, int n_ctx_orig, float freq_base,
                      float freq_scale, float ext_factor, float attn_factor, float beta_fast,
                      float beta_slow) {
    void* result = real(ctx, a, b, c, n_dims, sections, mode, n_ctx_orig, freq_base, freq_scale,
                        ext_factor, attn_factor, beta_fast, beta_slow);
    note_index(hook, result, NoteKind::rope, a, b);
    return result;
}

void* ggml_reshape_1d(const Hook& hook, ggml_reshape_1d_fn real, void* ctx, void* a,
                      std::int64_t ne0) {
    void* view = real(ctx, a, ne0);
    note_view(hook, view, a);
    return view;
}

void* ggml_reshape_2d(const Hook& hook, ggml_reshape_2d_fn real, void* ctx, void* a,
                      std::int64_t ne0, std::int64_t ne1) {
    void* view = real(ctx, a, ne0, ne1);
    note_view(hook, view, a);
    return view;
}

void* ggml_reshape_3d(const Hook& hook, ggml_reshape_3d_fn real, void* ctx, void* a,
                      std::int64_t ne0, std::int64_t ne1, std::int64_t ne2) {
    void* view = real(ctx, a, ne0, ne1, ne2);
    note_view(hook, view, a);
    return view;
}

void* ggml_reshape_4d(const Hook& hook, ggml_reshape_4d_fn real, void* ctx, void* a,
                      std::int64_t ne0, std::int64_t ne1, std::int64_t ne2, std::int64_t ne3) {
    void* view = real(ctx, a, ne0, ne1, ne2, ne3);
    note_view(hook, view, a);
    return view;
}

void* ggml_view_1d(const Hook& hook, ggml_view_1d_fn real, void* ctx, void* a, std::int64_t ne0,
                   std::size_t offset) {
    void* view = real(ctx, a, ne0, offset);
    note_view(hook, view, a);
    return view;
}

void* ggml_view_2d(const Hook& hook, ggml_view_2d_fn real, void* ctx, void* a, std::int64_t ne0,
                   std::int64_t ne1, std::size_t nb1, std::size_t offset) {
    void* view = real(ctx, a, ne0, ne1, nb1, offset);
    note_view(hook, view, a);
    return view;
}

void* ggml_view_3d(const Hook& hook, ggml_view_3d_fn real, void* ctx, void* a, std::int64_t ne0,
                   std::int64_t ne1, std::int64_t ne2, std::size_t nb1, std::size_t nb2,
                   std::size_t offset) {
    void* view = real(ctx, a, ne0, ne1, ne2, nb1, nb2, offset);
    note_view(hook, view, a);
    return view;
}

void* ggml_view_4d(const Hook& hook, ggml_view_4d_fn real, void* ctx, void* a, std::int64_t ne0,
                   std::int64_t ne1, std::int64_t ne2, std::int64_t ne3, std::size_t nb1,
                   std::size_t nb2, std::size_t nb3, std::size_t offset) {
    void* view = real(ctx, a, ne0, ne1, ne2, ne3, nb1, nb2, nb3, offset);
    note_view(hook, view, a);
    return view;
}

void* ggml_permute(const Hook& hook, ggml_permute_fn real, void* ctx, void* a, int axis0, int axis1,
                   int axis2, int axis3) {
    void* view = real(ctx, a, axis0, axis1, axis2, axis3);
    note_view(hook, view, a);
    return view;
}

void* ggml_transpose(const Hook& hook, ggml_transpose_fn real, void* ctx, void* a) {
    void* view = real(ctx, a);
    note_view(hook, view, a);
    return view;
}

int ggml_backend_sched_graph_compute_async(const Hook& hook,
                                           ggml_backend_sched_graph_compute_async_fn real,
                                           void* sched, void* graph) {
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr) return real(sched, graph);
    return compute_and_capture(*api, real, sched, graph);
}

void ggml_backend_sched_set_eval_callback(const Hook& hook,
                                          ggml_backend_sched_set_eval_callback_fn real, void* sched,
                                          void* callback, void* user_data) {
    (void)hook;
    remember_engine_callback(sched, callback, user_data);
    real(sched, callback, user_data);
}

void* ggml_backend_alloc_ctx_tensors_from_buft(const Hook& hook,
                                               ggml_backend_alloc_ctx_tensors_from_buft_fn real,
                                               void* ctx, void* buft) {
    void* buffer = real(ctx, buft);
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr || buffer == nullptr) return buffer;
    for (void* t = api->get_first_tensor(ctx); t != nullptr; t = api->get_next_tensor(ctx, t)) {
        note_buffer(t, buffer);
    }
    return buffer;
}

int ggml_backend_tensor_alloc(const Hook& hook, ggml_backend_tensor_alloc_fn real, void* buffer,
                              void* tensor, void* address) {
    const int status = real(buffer, tensor, address);
    if (ggml_api(hook.caller.address) != nullptr) note_buffer(tensor, buffer);
    return status;
}

void ggml_backend_tensor_set(const Hook& hook, ggml_backend_tensor_set_fn real, void* tensor,
                             const void* data, std::size_t offset, std::size_t size) {
    real(tensor, data, offset, size);
    const GgmlApi* api = ggml_api(hook.caller.address);
    if (api == nullptr || offset != 0) return;
    verify_ggml_layout(*api, tensor);
    if (ggml_api(hook.caller.address) != nullptr) record_uploaded_weight(*api, tensor, data, size);
}

}  // namespace probe
}  // namespace orch
