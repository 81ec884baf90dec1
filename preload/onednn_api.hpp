// oneDNN 2.x and 3.x through functions found at run time, never through a oneDNN header: one build
// serves both. In 2.x a memory descriptor is a public struct, in 3.x it is opaque and queried;
// either way a descriptor of known content is read back before any other is believed.
#pragma once
#include <cstdint>

#include "core/dtype.hpp"

namespace orch {

enum class OnednnKind : std::uint8_t { other, matmul, inner_product };

/// A memory object as the library describes it; the pointers live as long as the object.
struct OnednnTensor {
    const char* data = nullptr;
    int ndims = 0;
    const std::int64_t* dims = nullptr;
    const std::int64_t* strides = nullptr;  ///< in elements; null unless plain
    bool plain = false;                     ///< strides alone say where an element lies
    bool floating = false;                  ///< `dtype` holds; false for integers and 8-bit floats
    DType dtype = DType::f32;
};

struct OnednnApi {
    int (*primitive_get_primitive_desc)(const void* primitive, const void** desc);
    int (*primitive_desc_query)(const void* desc, int what, int index, void* result);
    int (*memory_get_memory_desc)(const void* memory, const void** desc);
    int (*memory_get_data_handle)(const void* memory, void** handle);
    int (*memory_get_engine)(const void* memory, void** engine);
    int (*engine_get_kind)(void* engine, int* kind);
    int (*stream_wait)(void* stream);
    int (*primitive_desc_get_attr)(const void* desc, const void** attr);
    int (*primitive_attr_get_post_ops)(const void* attr, const void** post_ops);
    int (*post_ops_len)(const void* post_ops);
    // 2.x
    int (*primitive_attr_get_output_scales)(const void* attr, std::int64_t* count, int* mask,
                                            const float** scales);
    int (*memory_desc_init_by_strides)(void* desc, int ndims, const std::int64_t* dims, int type,
                                       const std::int64_t* strides);
    // 3.x
    int (*memory_desc_query)(const void* desc, int what, void* result);
    int (*memory_desc_create_with_strides)(void** desc, int ndims, const std::int64_t* dims,
                                           int type, const std::int64_t* strides);
    int (*memory_desc_destroy)(void* desc);

    int major;
    bool may_be_asynchronous;

    OnednnKind kind(const void* primitive) const noexcept;
    bool has_post_ops(const void* primitive) const noexcept;
    /// The primitive holds a factor for its result. (3.x is given its factors with each execution.)
    bool has_output_scale(const void* primitive) const noexcept;
    bool on_cpu(const void* memory) const noexcept;
    /// False if the library refuses to describe it.
    bool read(const void* memory, OnednnTensor& out) const noexcept;
    bool describe(const void* memory_desc, OnednnTensor& out, std::int64_t& offset) const noexcept;
};

/// The API of the library that `real`, one of its functions, belongs to. Null if the probe is off
/// (a blind_spot record says why), and for a second oneDNN in the same process.
const OnednnApi* onednn_api(const void* real) noexcept;

}  // namespace orch
