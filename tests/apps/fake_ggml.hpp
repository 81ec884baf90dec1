// llama_batch as the fake engine has it: as known, in another order, or longer, as it once was.
#pragma once
#include <cstdint>

extern "C" {

struct llama_batch {
#ifdef FAKE_BATCH_ORDER
    std::int32_t* token;
    float* embd;
    std::int32_t* pos;
    std::int32_t* n_seq_id;
    std::int32_t** seq_id;
    std::int8_t* logits;
    std::int32_t n_tokens;
#else
    std::int32_t n_tokens;
    std::int32_t* token;
    float* embd;
    std::int32_t* pos;
    std::int32_t* n_seq_id;
    std::int32_t** seq_id;
    std::int8_t* logits;
#endif
#ifdef FAKE_BATCH_LONG
    std::int32_t first_pos;
    std::int32_t pos_step;
    std::int32_t all_seq_id;
#endif
};

void* fake_llama_open();
const float* fake_llama_logits(void* ctx);
llama_batch llama_batch_get_one(std::int32_t* tokens, std::int32_t n_tokens);
int llama_decode(void* ctx, llama_batch batch);
}
