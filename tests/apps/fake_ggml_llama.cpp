// The libllama of the fake engine: one product in a block type, one in f32, through the fake ggml.
#include <cstring>
#include <vector>

#include "tests/apps/fake_ggml.hpp"

extern "C" {
void* fake_ggml_context();
void* fake_ggml_tensor(void* ctx, int type, std::int64_t ne0, std::int64_t ne1);
void fake_ggml_add_node(void* graph, void* tensor);
void* fake_ggml_sched();
void* fake_ggml_buffer_type(bool opaque);
void* ggml_new_graph_custom(void* ctx, std::size_t size, bool grads);
void* ggml_set_name(void* tensor, const char* name);
void* ggml_format_name(void* tensor, const char* format, ...);
void* ggml_mul_mat(void* ctx, void* a, void* b);
void* ggml_get_rows(void* ctx, void* a, void* b);
void* ggml_get_data(const void* tensor);
void* ggml_backend_alloc_ctx_tensors_from_buft(void* ctx, void* buft);
void ggml_backend_tensor_set(void* tensor, const void* data, std::size_t offset, std::size_t size);
void ggml_backend_tensor_get(const void* tensor, void* data, std::size_t offset, std::size_t size);
int ggml_backend_sched_graph_compute_async(void* sched, void* graph);
void ggml_backend_sched_synchronize(void* sched);
}

namespace {

constexpr int f32 = 0;
constexpr int f16 = 1;
constexpr int block = 8;
constexpr int i32 = 26;
constexpr int features = 32;
constexpr int vocabulary = 8;

struct Block {
    float scale;
    std::int8_t q[features];
};

struct Context {
    void* embedding;
    void* product;
    void* head;
    void* sched;
    std::int32_t length = 0;
    std::vector<float> logits;
};

float number(int row, int col) {
    return static_cast<float>((row * 7 + col * 3 + row * col) % 11 - 5);
}

std::vector<float> matrix(int rows) {
    std::vector<float> values;
    for (int row = 0; row < rows; ++row)
        for (int col = 0; col < features; ++col)
            values.push_back(number(row, col));
    return values;
}

void upload(void* tensor, const void* data, std::size_t size) {
    ggml_backend_tensor_set(tensor, data, 0, size);
}

}  // namespace

extern "C" {

void* fake_llama_open() {
    auto* c = new Context;
    void* plain = fake_ggml_context();
    void* repacked = fake_ggml_context();
    c->embedding = fake_ggml_tensor(plain, f32, features, vocabulary);
    c->head = fake_ggml_tensor(plain, f32, features, vocabulary);
    c->product = fake_ggml_tensor(repacked, block, features, features);
    ggml_set_name(c->embedding, "token_embd.weight");
    ggml_set_name(c->head, "output.weight");
    ggml_set_name(c->product, "blk.0.attn_q.weight");
    ggml_backend_alloc_ctx_tensors_from_buft(plain, fake_ggml_buffer_type(false));
    ggml_backend_alloc_ctx_tensors_from_buft(repacked, fake_ggml_buffer_type(true));
    const std::vector<float> values = matrix(vocabulary);
    upload(c->embedding, values.data(), values.size() * sizeof(float));
    upload(c->head, values.data(), values.size() * sizeof(float));
    std::vector<Block> blocks;
    for (int row = 0; row < features; ++row) {
        Block b{0.25F, {}};
        for (int col = 0; col < features; ++col)
            b.q[col] = static_cast<std::int8_t>(number(col, row));
        blocks.push_back(b);
    }
    upload(c->product, blocks.data(), blocks.size() * sizeof(Block));
    ggml_format_name(fake_ggml_tensor(plain, f16, features, 64), "cache_k_l%d", 0);
    ggml_format_name(fake_ggml_tensor(plain, block, features, 64), "cache_v_l%d", 0);
    c->sched = fake_ggml_sched();
    return c;
}

const float* fake_llama_logits(void* ctx) {
    return static_cast<Context*>(ctx)->logits.data();
}

void* llama_get_memory(void* ctx) {
    return ctx;
}

std::int32_t llama_memory_seq_pos_max(void* memory, std::int32_t) {
    return static_cast<Context*>(memory)->length - 1;
}

llama_batch llama_batch_get_one(std::int32_t* tokens, std::int32_t n_tokens) {
    llama_batch batch{};
    batch.n_tokens = n_tokens;
    batch.token = tokens;
    return batch;
}

int llama_decode(void* ctx, llama_batch batch) {
    auto* c = static_cast<Context*>(ctx);
#ifdef FAKE_BATCH_LONG
    const bool intact = batch.pos_step == 1 && batch.all_seq_id == 77;
    if (!intact || (batch.pos == nullptr && batch.first_pos != c->length)) return 1;
#endif
    void* g = fake_ggml_context();
    void* graph = ggml_new_graph_custom(g, 16, false);
    void* tokens = fake_ggml_tensor(g, i32, batch.n_tokens, 1);
    ggml_set_name(tokens, "inp_tokens");
    void* embd = ggml_get_rows(g, c->embedding, tokens);
    ggml_set_name(embd, "embd");
    void* q = ggml_mul_mat(g, c->product, embd);
    ggml_format_name(q, "%s-%d", "Qcur", 0);
    void* output = ggml_mul_mat(g, c->head, q);
    ggml_set_name(output, "result_output");
    for (void* node : {embd, q, output})
        fake_ggml_add_node(graph, node);
    const auto n_tokens = static_cast<std::size_t>(batch.n_tokens);
    std::memcpy(ggml_get_data(tokens), batch.token, sizeof(std::int32_t) * n_tokens);
    if (ggml_backend_sched_graph_compute_async(c->sched, graph) != 0) return 1;
    ggml_backend_sched_synchronize(c->sched);
    c->length += batch.n_tokens;
    c->logits.resize(vocabulary);
    const std::size_t row = vocabulary * sizeof(float);
    ggml_backend_tensor_get(output, c->logits.data(), row * (n_tokens - 1), row);
    return 0;
}
}
