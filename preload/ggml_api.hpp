// ggml through its exported functions alone. No structure of ggml is copied here, with two
// exceptions that are checked against those functions before they are believed: a tensor's first
// member is its type, and ggml_type_traits holds `to_float`.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/matrix.hpp"

namespace orch {

struct GgmlTypeTraits {
    const char* type_name;
    std::int64_t blck_size;
    std::int64_t blck_size_interleave;
    std::size_t type_size;
    bool is_quantized;
    BlockDecoder to_float;
};

/// Extents, innermost first, as ggml counts them.
struct GgmlShape {
    std::int64_t ne[4] = {0, 0, 0, 0};
    std::int64_t elements() const { return ne[0] * ne[1] * ne[2] * ne[3]; }
};

struct GgmlApi {
    void (*set_output)(void* tensor);
    const char* (*get_name)(const void* tensor);
    std::int64_t (*nelements)(const void* tensor);
    std::size_t (*nbytes)(const void* tensor);
    void* (*get_data)(const void* tensor);
    std::size_t (*tensor_element_size)(const void* tensor);
    const char* (*op_desc)(const void* tensor);
    bool (*is_contiguous)(const void* tensor);
    void (*unravel_index)(const void* tensor, std::int64_t i, std::int64_t* i0, std::int64_t* i1,
                          std::int64_t* i2, std::int64_t* i3);
    const char* (*type_name)(int type);
    std::size_t (*type_size)(int type);
    std::int64_t (*blck_size)(int type);
    bool (*is_quantized)(int type);
    const GgmlTypeTraits* (*get_type_traits)(int type);
    int (*graph_n_nodes)(void* graph);
    void* (*graph_node)(void* graph, int i);
    void* (*get_first_tensor)(void* ctx);
    void* (*get_next_tensor)(void* ctx, void* tensor);
    void (*tensor_get)(const void* tensor, void* data, std::size_t offset, std::size_t size);
    void (*sched_synchronize)(void* sched);
    void* (*sched_get_tensor_backend)(void* sched, void* tensor);
    void* (*backend_get_default_buffer_type)(void* backend);
    bool (*buft_is_host)(void* buft);
    bool (*buffer_is_host)(void* buffer);
    const char* (*buffer_name)(void* buffer);
    void (*sched_set_eval_callback)(void* sched, void* callback, void* user_data);

    GgmlShape shape(const void* tensor) const noexcept;
    int type(const void* tensor) const noexcept;
    std::string_view op(const void* tensor) const noexcept { return op_desc(tensor); }
    std::string_view name(const void* tensor) const noexcept { return get_name(tensor); }
    /// A leaf: a weight, an input or a cache; nothing in the graph computes it.
    bool is_leaf(const void* tensor) const noexcept { return op(tensor) == "NONE"; }

    /// The element type, and for block types how to decode a row. False for integers, and for block
    /// types whose `to_float` cannot be trusted.
    bool describe_type(int type, MatrixView& out) const noexcept;
};

/// The API of the ggml that the module around `caller` uses; null if the probe is off here, because
/// a function is missing or the layout is not the one we know (a blind_spot record says which).
const GgmlApi* ggml_api(const void* caller) noexcept;

/// One look at a tensor whose numbers are known; turns the probe off if they do not fit.
void verify_ggml_layout(const GgmlApi& api, const void* tensor) noexcept;

}  // namespace orch
