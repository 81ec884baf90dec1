// A library with the interface of oneDNN 3 that computes one f32 product, [2 x 3] times [3 x 4],
// and that can be every oneDNN we cannot or should not read. FAKE_ONEDNN says which:
//
//   (unset)     readable
//   version     of a major version that nobody knows
//   sycl        CPU memory that is no plain memory
//   scrambled   queries answer with something else
//   gpu         the memories are a GPU's
//   threadpool  the result is there only after dnnl_stream_wait
//   blocked     y is in a blocked layout
//   gradient    an execution without a source
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define API extern "C" __attribute__((visibility("default")))

namespace {

constexpr int ok = 0;
constexpr int refused = 2;
constexpr int rows = 2;
constexpr int inner = 3;
constexpr int cols = 4;

bool is(const char* wanted) {
    const char* mode = std::getenv("FAKE_ONEDNN");
    return mode != nullptr && std::strcmp(mode, wanted) == 0;
}

struct Desc {
    int ndims = 0;
    std::int64_t dims[12] = {};
    std::int64_t strides[12] = {};
    int type = 3;
    int inner_blocks = 0;
};

struct Memory {
    Desc desc;
    void* data;
};

struct Argument {
    int arg;
    Memory* memory;
};

struct Version {
    int major, minor, patch;
    const char* hash;
    unsigned cpu_runtime, gpu_runtime;
};

float src[rows][inner] = {{1, 2, 3}, {4, 5, 6}};
float weights[inner][cols] = {{1, -1, 2, 0}, {0, 3, 1, -2}, {2, 0, -1, 1}};
float dst[rows][cols] = {};
Memory src_memory{{2, {rows, inner}, {inner, 1}}, src};
Memory weights_memory{{2, {inner, cols}, {cols, 1}}, weights};
Memory dst_memory{{2, {rows, cols}, {cols, 1}}, dst};
Argument arguments[3] = {{1, &src_memory}, {33, &weights_memory}, {17, &dst_memory}};

void compute() {
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < cols; ++c) {
            dst[r][c] = 0;
            for (int i = 0; i < inner; ++i)
                dst[r][c] += src[r][i] * weights[i][c];
        }
    }
}

}  // namespace

API const Argument* fake_arguments(int* count) {
    const bool gradient = is("gradient");
    *count = gradient ? 2 : 3;
    if (is("blocked")) dst_memory.desc.inner_blocks = 1;
    return arguments + (gradient ? 1 : 0);
}

API const float* fake_result() {
    return dst[0];
}

API const Version* dnnl_version() {
    static const Version version{
        is("version") ? 4 : 3, 0, 0, "fake", is("sycl") ? 512U : is("threadpool") ? 8U : 2U, 0};
    return &version;
}

API int dnnl_primitive_execute(const void*, void*, int, const void*) {
    if (!is("threadpool")) compute();
    return ok;
}

API int dnnl_stream_wait(void*) {
    compute();
    return ok;
}

API int dnnl_primitive_get_primitive_desc(const void* primitive, const void** desc) {
    *desc = primitive;
    return ok;
}

API int dnnl_primitive_desc_query(const void*, int what, int, void* result) {
    constexpr int matmul = 14;
    if (what != 2) return refused;
    *static_cast<int*>(result) = matmul;
    return ok;
}

API int dnnl_primitive_desc_get_attr(const void* desc, const void** attr) {
    *attr = desc;
    return ok;
}

API int dnnl_primitive_attr_get_post_ops(const void* attr, const void** ops) {
    *ops = attr;
    return ok;
}

API int dnnl_post_ops_len(const void*) {
    return 0;
}

API int dnnl_memory_get_memory_desc(const Memory* memory, const Desc** desc) {
    *desc = &memory->desc;
    return ok;
}

API int dnnl_memory_get_data_handle(const Memory* memory, void** handle) {
    *handle = is("gpu") ? reinterpret_cast<void*>(0x1000) : memory->data;
    return ok;
}

API int dnnl_memory_get_engine(const Memory*, void** engine) {
    *engine = &src_memory;
    return ok;
}

API int dnnl_engine_get_kind(void*, int* kind) {
    *kind = is("gpu") ? 2 : 1;
    return ok;
}

API int dnnl_memory_desc_create_with_strides(Desc** desc, int ndims, const std::int64_t* dims,
                                             int type, const std::int64_t* strides) {
    *desc = new Desc;
    (*desc)->ndims = ndims;
    for (int d = 0; d < ndims; ++d) {
        (*desc)->dims[d] = dims[d];
        (*desc)->strides[d] = strides[d];
    }
    (*desc)->type = type;
    return ok;
}

API int dnnl_memory_desc_destroy(Desc* desc) {
    delete desc;
    return ok;
}

API int dnnl_memory_desc_query(const Desc* desc, int what, void* result) {
    const auto number = [&](int value) { *static_cast<int*>(result) = value; };
    const auto list = [&](const std::int64_t* values) {
        *static_cast<const std::int64_t**>(result) = values;
    };
    switch (what) {
        case 14:
            list(is("scrambled") ? desc->dims : desc->strides);
            break;
        case 256:
            number(desc->ndims);
            break;
        case 257:
            list(desc->dims);
            break;
        case 258:
            number(desc->type);
            break;
        case 259:
            *static_cast<std::int64_t*>(result) = 0;
            break;
        case 262:
            number(2);
            break;
        case 263:
            number(desc->inner_blocks);
            break;
        default:
            return refused;
    }
    return ok;
}
