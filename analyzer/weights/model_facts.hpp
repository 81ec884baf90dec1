// What a checkpoint says of its model, beside the weights. 0 or empty: it does not say, or not the
// same for every layer.
#pragma once
#include <cstdint>
#include <string>

namespace orch {

struct ModelFacts {
    std::string architecture;  ///< "llama", "qwen2"
    std::string name;
    std::string file_type;  ///< of most weights: "q4_0", "bfloat16"
    std::int64_t block_count = 0;
    std::int64_t embedding_length = 0;
    std::int64_t feed_forward_length = 0;
    std::int64_t head_count = 0;
    std::int64_t head_count_kv = 0;
    std::int64_t head_dim = 0;
    std::int64_t vocab_size = 0;
    std::int64_t context_length = 0;
    std::int64_t expert_count = 0;
    std::int64_t expert_used_count = 0;
    std::int64_t rope_dimension_count = 0;
    double rope_freq_base = 0;
    double norm_epsilon = 0;
};

/// The members as (name, value), for whoever writes or reads them all.
template <class Facts, class Visit>
void for_each_fact(Facts& facts, Visit&& visit) {
    visit("architecture", facts.architecture);
    visit("name", facts.name);
    visit("file_type", facts.file_type);
    visit("block_count", facts.block_count);
    visit("embedding_length", facts.embedding_length);
    visit("feed_forward_length", facts.feed_forward_length);
    visit("head_count", facts.head_count);
    visit("head_count_kv", facts.head_count_kv);
    visit("head_dim", facts.head_dim);
    visit("vocab_size", facts.vocab_size);
    visit("context_length", facts.context_length);
    visit("expert_count", facts.expert_count);
    visit("expert_used_count", facts.expert_used_count);
    visit("rope_dimension_count", facts.rope_dimension_count);
    visit("rope_freq_base", facts.rope_freq_base);
    visit("norm_epsilon", facts.norm_epsilon);
}

/// head_dim and rope_dimension_count follow from others where a checkpoint leaves them out.
void complete(ModelFacts& facts);

}  // namespace orch
