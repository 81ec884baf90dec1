// The ggml of the fake engine: as much of its interface as a trace needs, and three operations.
// Built in variants, each a ggml that is not as known:
//   FAKE_NO_UNRAVEL   a function is missing
//   FAKE_MOVED_TYPE   a tensor does not begin with its type
//   FAKE_TRAITS       ggml_type_traits has other members
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr int f32 = 0;
constexpr int f16 = 1;
constexpr int block = 8;
constexpr int i32 = 26;
constexpr std::int64_t block_values = 32;

struct Block {
    float scale;
    std::int8_t q[block_values];
};

struct Buffer {
    bool opaque;
};

struct Tensor {
#ifdef FAKE_MOVED_TYPE
    int version = f16;  // where the type is elsewhere, and a type, too
#endif
    int type;
    std::int64_t ne[4] = {1, 1, 1, 1};
    const char* op = "NONE";
    Tensor* source[2] = {};
    Buffer* buffer = nullptr;
    std::vector<char> data;
    char name[64] = {};
    Tensor* next = nullptr;
};

struct Context {
    Tensor* first = nullptr;
    std::vector<Tensor*> nodes;
};

struct Traits {
#ifdef FAKE_TRAITS
    std::int64_t blck_size;
    const char* type_name;
#else
    const char* type_name;
    std::int64_t blck_size;
#endif
    std::int64_t blck_size_interleave;
    std::size_t type_size;
    bool is_quantized;
    void (*to_float)(const void*, float*, std::int64_t);
};

void decode(const void* row, float* out, std::int64_t count) {
    const auto* blocks = static_cast<const Block*>(row);
    for (std::int64_t i = 0; i < count; ++i) {
        const Block& b = blocks[i / block_values];
        out[i] = b.scale * static_cast<float>(b.q[i % block_values]);
    }
}

Traits traits(int type) {
    Traits t{};
    t.blck_size = type == block ? block_values : 1;
    t.type_name = type == f32 ? "f32" : type == f16 ? "f16" : type == i32 ? "i32" : "q8_fake";
    t.type_size = type == block ? sizeof(Block) : type == f16 ? 2 : 4;
    t.is_quantized = type == block;
    t.to_float = type == block ? decode : nullptr;
    return t;
}

const Tensor* tensor_of(const void* t) {
    return static_cast<const Tensor*>(t);
}

Tensor* tensor_of(void* t) {
    return static_cast<Tensor*>(t);
}

std::size_t size_of(int type, std::int64_t elements) {
    const Traits t = traits(type);
    return static_cast<std::size_t>(elements / t.blck_size) * t.type_size;
}

std::int64_t elements(const Tensor* t) {
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

/// A buffer with a layout of its own holds every byte inverted.
void invert(std::vector<char>& bytes) {
    for (char& byte : bytes)
        byte = static_cast<char>(~byte);
}

std::vector<float> row_of(const Tensor* t, std::int64_t row) {
    std::vector<char> bytes = t->data;
    if (t->buffer != nullptr && t->buffer->opaque) invert(bytes);
    std::vector<float> values(static_cast<std::size_t>(t->ne[0]));
    const char* from = bytes.data() + size_of(t->type, t->ne[0] * row);
    if (t->type == block) {
        decode(from, values.data(), t->ne[0]);
    } else {
        std::memcpy(values.data(), from, values.size() * sizeof(float));
    }
    return values;
}

void compute(Tensor* t) {
    const Tensor* a = t->source[0];
    const Tensor* b = t->source[1];
    auto* out = reinterpret_cast<float*>(t->data.data());
    for (std::int64_t i = 0; i < t->ne[1]; ++i) {
        if (std::strcmp(t->op, "GET_ROWS") == 0) {
            const auto* index = reinterpret_cast<const std::int32_t*>(b->data.data());
            for (float v : row_of(a, index[i]))
                *out++ = v;
            continue;
        }
        const std::vector<float> x = row_of(b, i);
        for (std::int64_t n = 0; n < t->ne[0]; ++n) {
            const std::vector<float> w = row_of(a, n);
            float sum = 0;
            for (std::size_t k = 0; k < x.size(); ++k)
                sum += w[k] * x[k];
            *out++ = sum;
        }
    }
}

Buffer plain_buffer{false};
Buffer opaque_buffer{true};
int a_backend = 0;

}  // namespace

extern "C" {

void* fake_ggml_context() {
    return new Context;
}

void* fake_ggml_tensor(void* ctx, int type, std::int64_t ne0, std::int64_t ne1) {
    auto* c = static_cast<Context*>(ctx);
    auto* t = new Tensor;
    t->type = type;
    t->ne[0] = ne0;
    t->ne[1] = ne1;
    t->data.resize(size_of(type, ne0 * ne1));
    t->next = c->first;
    c->first = t;
    return t;
}

void fake_ggml_add_node(void* graph, void* tensor) {
    static_cast<Context*>(graph)->nodes.push_back(tensor_of(tensor));
}

void* fake_ggml_sched() {
    return &a_backend;
}

void* fake_ggml_buffer_type(bool opaque) {
    return opaque ? &opaque_buffer : &plain_buffer;
}

void* ggml_new_graph_custom(void* ctx, std::size_t, bool) {
    return ctx;
}

void* ggml_set_name(void* tensor, const char* name) {
    std::snprintf(tensor_of(tensor)->name, sizeof tensor_of(tensor)->name, "%s", name);
    return tensor;
}

void* ggml_format_name(void* tensor, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(tensor_of(tensor)->name, sizeof tensor_of(tensor)->name, format, arguments);
    va_end(arguments);
    return tensor;
}

void* ggml_mul_mat(void* ctx, void* a, void* b) {
    Tensor* t = tensor_of(fake_ggml_tensor(ctx, f32, tensor_of(a)->ne[1], tensor_of(b)->ne[1]));
    t->op = "MUL_MAT";
    t->source[0] = tensor_of(a);
    t->source[1] = tensor_of(b);
    return t;
}

void* ggml_get_rows(void* ctx, void* a, void* b) {
    Tensor* t = tensor_of(fake_ggml_tensor(ctx, f32, tensor_of(a)->ne[0], tensor_of(b)->ne[0]));
    t->op = "GET_ROWS";
    t->source[0] = tensor_of(a);
    t->source[1] = tensor_of(b);
    return t;
}

void* ggml_backend_alloc_ctx_tensors_from_buft(void* ctx, void* buft) {
    for (Tensor* t = static_cast<Context*>(ctx)->first; t != nullptr; t = t->next)
        t->buffer = static_cast<Buffer*>(buft);
    return buft;
}

int ggml_backend_tensor_alloc(void* buffer, void* tensor, void*) {
    tensor_of(tensor)->buffer = static_cast<Buffer*>(buffer);
    return 0;
}

void ggml_backend_tensor_set(void* tensor, const void* data, std::size_t offset, std::size_t size) {
    Tensor* t = tensor_of(tensor);
    std::memcpy(t->data.data() + offset, data, size);
    if (t->buffer != nullptr && t->buffer->opaque) invert(t->data);
}

void ggml_backend_tensor_get(const void* tensor, void* data, std::size_t offset, std::size_t size) {
    std::memcpy(data, tensor_of(tensor)->data.data() + offset, size);
}

int ggml_backend_sched_graph_compute_async(void*, void* graph) {
    for (Tensor* t : static_cast<Context*>(graph)->nodes)
        compute(t);
    return 0;
}

void ggml_backend_sched_synchronize(void*) {}
void ggml_backend_sched_set_eval_callback(void*, void*, void*) {}
void ggml_set_output(void*) {}

void* ggml_backend_sched_get_tensor_backend(void*, void*) {
    return &a_backend;
}

void* ggml_backend_get_default_buffer_type(void*) {
    return &plain_buffer;
}

bool ggml_backend_buft_is_host(void* buft) {
    return !static_cast<Buffer*>(buft)->opaque;
}

bool ggml_backend_buffer_is_host(void* buffer) {
    return !static_cast<Buffer*>(buffer)->opaque;
}

const char* ggml_backend_buffer_name(void* buffer) {
    return static_cast<Buffer*>(buffer)->opaque ? "CPU_REPACK" : "CPU";
}

const char* ggml_get_name(const void* t) {
    return tensor_of(t)->name;
}

std::int64_t ggml_nelements(const void* t) {
    return elements(tensor_of(t));
}

std::size_t ggml_nbytes(const void* t) {
    return tensor_of(t)->data.size();
}

void* ggml_get_data(const void* t) {
    return const_cast<char*>(tensor_of(t)->data.data());
}

std::size_t ggml_element_size(const void* t) {
    return traits(tensor_of(t)->type).type_size;
}

const char* ggml_op_desc(const void* t) {
    return tensor_of(t)->op;
}

bool ggml_is_contiguous(const void*) {
    return true;
}

#ifndef FAKE_NO_UNRAVEL
void ggml_unravel_index(const void* t, std::int64_t i, std::int64_t* i0, std::int64_t* i1,
                        std::int64_t* i2, std::int64_t* i3) {
    const std::int64_t* ne = tensor_of(t)->ne;
    *i0 = i % ne[0];
    *i1 = i / ne[0] % ne[1];
    *i2 = i / (ne[0] * ne[1]) % ne[2];
    *i3 = i / (ne[0] * ne[1] * ne[2]);
}
#endif

const char* ggml_type_name(int type) {
    return traits(type).type_name;
}

std::size_t ggml_type_size(int type) {
    return traits(type).type_size;
}

std::int64_t ggml_blck_size(int type) {
    return traits(type).blck_size;
}

bool ggml_is_quantized(int type) {
    return traits(type).is_quantized;
}

const void* ggml_get_type_traits(int type) {
    static Traits table[32];
    table[type] = traits(type);
    return &table[type];
}

int ggml_graph_n_nodes(void* graph) {
    return static_cast<int>(static_cast<Context*>(graph)->nodes.size());
}

void* ggml_graph_node(void* graph, int i) {
    return static_cast<Context*>(graph)->nodes[static_cast<std::size_t>(i)];
}

void* ggml_get_first_tensor(void* ctx) {
    return static_cast<Context*>(ctx)->first;
}

void* ggml_get_next_tensor(void*, void* t) {
    return tensor_of(t)->next;
}
}
