// An engine on the fake libllama: a prompt with positions, then two tokens without. Prints logits.
#include <cstdio>

#include "tests/apps/fake_ggml.hpp"

int main() {
    void* ctx = fake_llama_open();
    std::int32_t prompt[] = {1, 4, 2, 7};
    std::int32_t positions[] = {0, 1, 2, 3};
    std::int32_t next = 5;
    for (int step = 0; step < 3; ++step) {
        llama_batch batch =
            step == 0 ? llama_batch_get_one(prompt, 4) : llama_batch_get_one(&next, 1);
        if (step == 0) batch.pos = positions;
#ifdef FAKE_BATCH_LONG
        batch.first_pos = step == 0 ? 0 : 3 + step;
        batch.pos_step = 1;
        batch.all_seq_id = 77;
#endif
        if (llama_decode(ctx, batch) != 0) return 1;
        const float* logits = fake_llama_logits(ctx);
        for (int i = 0; i < 8; ++i)
            std::printf("%.9g%c", static_cast<double>(logits[i]), i == 7 ? '\n' : ' ');
    }
    return 0;
}
