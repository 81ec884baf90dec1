#include "preload/onednn_api.hpp"

#include <dlfcn.h>

#include <atomic>
#include <cstddef>
#include <cstring>

#include "core/fixed_string.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

constexpr int success = 0;
constexpr int max_ndims = 12;
constexpr int blocked_format = 2;
constexpr int cpu_engine = 1;

// dnnl_data_type_t, the same in 2.x and 3.x (f64 since 3.0).
constexpr int type_f16 = 1;
constexpr int type_bf16 = 2;
constexpr int type_f32 = 3;
constexpr int type_f64 = 7;

// dnnl_query_t. The first is in both, the others are of 3.x.
constexpr int query_primitive_kind = 2;
constexpr int query_strides = 14;
constexpr int query_ndims = 256;
constexpr int query_dims = 257;
constexpr int query_data_type = 258;
constexpr int query_offset = 259;
constexpr int query_format_kind = 262;
constexpr int query_inner_blocks = 263;

// dnnl_version_t::cpu_runtime
constexpr unsigned runtime_threadpool = 8;
constexpr unsigned runtimes_known = 1 | 2 | 4 | runtime_threadpool;  // sequential, OpenMP, TBB

/// dnnl_version_t, since 1.0.
struct Version {
    int major;
    int minor;
    int patch;
    const char* hash;
    unsigned cpu_runtime;
    unsigned gpu_runtime;
};

/// dnnl_memory_desc_t of 2.x, up to the last member that is read.
struct MemoryDesc2 {
    int ndims;
    std::int64_t dims[max_ndims];
    int data_type;
    std::int64_t padded_dims[max_ndims];
    std::int64_t padded_offsets[max_ndims];
    std::int64_t offset0;
    int format_kind;
    alignas(8) std::int64_t strides[max_ndims];
    int inner_nblks;
};

enum State : int { unknown, loading, ready, off };
constinit std::atomic<int> state{unknown};
constinit OnednnApi the_api{};
constinit const void* the_module = nullptr;
/// Functions of the library that was loaded, the last one seen: spares a dladdr a call.
constinit std::atomic<const void*> known_function{nullptr};

struct Function {
    const char* name;
    std::size_t offset;
    int major;  ///< the one that has it; 0: both
};

#define MEMBER(member, version)                               \
    Function {                                                \
        "dnnl_" #member, offsetof(OnednnApi, member), version \
    }
constexpr Function functions[] = {
    MEMBER(primitive_get_primitive_desc, 0),
    MEMBER(primitive_desc_query, 0),
    MEMBER(memory_get_memory_desc, 0),
    MEMBER(memory_get_data_handle, 0),
    MEMBER(memory_get_engine, 0),
    MEMBER(engine_get_kind, 0),
    MEMBER(stream_wait, 0),
    MEMBER(primitive_attr_get_output_scales, 2),
    MEMBER(memory_desc_init_by_strides, 2),
    MEMBER(memory_desc_query, 3),
    MEMBER(memory_desc_create_with_strides, 3),
    MEMBER(memory_desc_destroy, 3),
    MEMBER(primitive_desc_get_attr, 0),
    MEMBER(primitive_attr_get_post_ops, 0),
    MEMBER(post_ops_len, 0),
};
#undef MEMBER

const void* module_base(const void* address) noexcept {
    Dl_info info{};
    return ::dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

/// What this very library exports: its handles mean nothing to another copy.
void* find_beside(const char* name, const void* function) noexcept {
    Dl_info info{};
    if (::dladdr(function, &info) == 0) return nullptr;
    if (void* handle = ::dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD); handle != nullptr) {
        void* found = real_dlsym(handle, name);  // the handle is kept: the library must stay
        if (found != nullptr && module_base(found) == info.dli_fbase) return found;
    }
    void* found = find_for_caller(name, function);
    return found != nullptr && module_base(found) == info.dli_fbase ? found : nullptr;
}

DType dtype_of(int type, bool& floating) noexcept {
    floating = true;
    switch (type) {
        case type_f16:
            return DType::f16;
        case type_bf16:
            return DType::bf16;
        case type_f32:
            return DType::f32;
        case type_f64:
            return DType::f64;
        default:
            floating = false;
            return DType::f32;
    }
}

/// Odd numbers in, the same numbers out: the layout or the queries are the ones we know.
bool reads_back(const OnednnApi& api) noexcept {
    constexpr std::int64_t dims[max_ndims] = {3, 5, 7};
    constexpr std::int64_t strides[max_ndims] = {101, 19, 2};
    constexpr int ndims = 3;
    alignas(16) unsigned char memory[8192];
    std::memset(memory, 0xA5, sizeof memory);  // a zero that is read back was written
    void* desc = memory;
    const int made =
        api.major == 2
            ? api.memory_desc_init_by_strides(desc, ndims, dims, type_bf16, strides)
            : api.memory_desc_create_with_strides(&desc, ndims, dims, type_bf16, strides);
    if (made != success) return false;
    OnednnTensor read;
    std::int64_t offset = -1;
    bool same = api.describe(desc, read, offset) && read.ndims == ndims && read.plain &&
                read.floating && read.dtype == DType::bf16 && offset == 0;
    for (int d = 0; same && d < ndims; ++d) {
        same = read.dims[d] == dims[d] && read.strides[d] == strides[d];
        if (api.major == 2) {
            const auto* known = static_cast<const MemoryDesc2*>(desc);
            same = same && known->padded_dims[d] == dims[d] && known->padded_offsets[d] == 0;
        }
    }
    if (api.major == 3) api.memory_desc_destroy(desc);
    return same;
}

/// Fills `the_api`; else says why not.
bool load(const void* real, FixedString<127>& why) noexcept {
    auto* version = reinterpret_cast<const Version* (*)()>(find_beside("dnnl_version", real));
    const Version* v = version != nullptr ? version() : nullptr;
    if (v == nullptr || v->major < 2 || v->major > 3) {
        why.append("neither oneDNN 2 nor oneDNN 3");
        return false;
    }
    if ((v->cpu_runtime & runtimes_known) == 0) {
        why.append("its CPU runtime keeps memory where it cannot be read (SYCL)");
        return false;
    }
    the_api.major = v->major;
    the_api.may_be_asynchronous = v->cpu_runtime == runtime_threadpool;
    for (const Function& function : functions) {
        if (function.major != 0 && function.major != v->major) continue;
        void* address = find_beside(function.name, real);
        if (address == nullptr) {
            why.append("this oneDNN does not export ");
            why.append(function.name);
            return false;
        }
        std::memcpy(reinterpret_cast<char*>(&the_api) + function.offset, &address, sizeof address);
    }
    if (!reads_back(the_api)) {
        why.append("memory descriptors of this oneDNN are not laid out as known");
        return false;
    }
    the_module = module_base(real);
    return true;
}

int load_once(const void* real) noexcept {
    int expected = unknown;
    if (!state.compare_exchange_strong(expected, loading, std::memory_order_acq_rel)) {
        while ((expected = state.load(std::memory_order_acquire)) == loading) {
        }
        return expected;
    }
    const Guard guard;
    FixedString<127> why;
    const int result = load(real, why) ? ready : off;
    state.store(result, std::memory_order_release);
    if (result == off) session::blind_spot("oneDNN primitives", why);
    return result;
}

}  // namespace

const OnednnApi* onednn_api(const void* real) noexcept {
    int now = state.load(std::memory_order_acquire);
    if (now == unknown || now == loading) now = load_once(real);
    if (now != ready) return nullptr;
    if (known_function.load(std::memory_order_relaxed) != real) {
        if (module_base(real) != the_module) {
            session::blind_spot("a second oneDNN", "only the one that was used first is observed");
            return nullptr;
        }
        known_function.store(real, std::memory_order_relaxed);
    }
    return &the_api;
}

OnednnKind OnednnApi::kind(const void* primitive) const noexcept {
    const void* desc = nullptr;
    int number = 0;
    if (primitive_get_primitive_desc(primitive, &desc) != success ||
        primitive_desc_query(desc, query_primitive_kind, 0, &number) != success) {
        return OnednnKind::other;
    }
    if (number == (major == 2 ? 18 : 14)) return OnednnKind::matmul;
    if (number == (major == 2 ? 13 : 10)) return OnednnKind::inner_product;
    return OnednnKind::other;
}

bool OnednnApi::has_post_ops(const void* primitive) const noexcept {
    const void* desc = nullptr;
    const void* attr = nullptr;
    const void* post_ops = nullptr;
    return primitive_get_primitive_desc(primitive, &desc) == success &&
           primitive_desc_get_attr(desc, &attr) == success &&
           primitive_attr_get_post_ops(attr, &post_ops) == success && post_ops_len(post_ops) > 0;
}

bool OnednnApi::has_output_scale(const void* primitive) const noexcept {
    if (major != 2) return false;
    const void* desc = nullptr;
    const void* attr = nullptr;
    std::int64_t count = 0;
    int mask = 0;
    const float* scales = nullptr;
    const bool plain = primitive_get_primitive_desc(primitive, &desc) == success &&
                       primitive_desc_get_attr(desc, &attr) == success &&
                       primitive_attr_get_output_scales(attr, &count, &mask, &scales) == success &&
                       count == 1 && *scales == 1.0F;
    return !plain;
}

bool OnednnApi::on_cpu(const void* memory) const noexcept {
    void* engine = nullptr;
    int kind = 0;
    return memory_get_engine(memory, &engine) == success &&
           engine_get_kind(engine, &kind) == success && kind == cpu_engine;
}

bool OnednnApi::describe(const void* desc, OnednnTensor& out, std::int64_t& offset) const noexcept {
    int type = 0;
    int format = 0;
    int blocks = 0;
    if (major == 2) {
        const auto* d = static_cast<const MemoryDesc2*>(desc);
        out.ndims = d->ndims;
        out.dims = d->dims;
        out.strides = d->strides;
        offset = d->offset0;
        type = d->data_type;
        format = d->format_kind;
        blocks = d->inner_nblks;
    } else {
        const auto query = [&](int what, auto& result) {
            return memory_desc_query(desc, what, &result) == success;
        };
        if (!query(query_ndims, out.ndims) || !query(query_dims, out.dims) ||
            !query(query_data_type, type) || !query(query_offset, offset) ||
            !query(query_format_kind, format)) {
            return false;
        }
        if (format == blocked_format &&
            (!query(query_strides, out.strides) || !query(query_inner_blocks, blocks))) {
            return false;
        }
    }
    if (out.ndims < 0 || out.ndims > max_ndims) return false;
    out.plain = format == blocked_format && blocks == 0;
    if (!out.plain) out.strides = nullptr;
    out.dtype = dtype_of(type, out.floating);
    return true;
}

bool OnednnApi::read(const void* memory, OnednnTensor& out) const noexcept {
    const void* desc = nullptr;
    void* data = nullptr;
    std::int64_t offset = 0;
    if (memory_get_memory_desc(memory, &desc) != success || desc == nullptr ||
        !describe(desc, out, offset) || memory_get_data_handle(memory, &data) != success) {
        return false;
    }
    out.data = static_cast<const char*>(data);
    if (data != nullptr) out.data += offset * static_cast<std::int64_t>(element_size(out.dtype));
    return true;
}

}  // namespace orch
