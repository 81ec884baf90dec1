#include "analyzer/weights/model_facts.hpp"

namespace orch {

void complete(ModelFacts& facts) {
    if (facts.head_count_kv == 0) facts.head_count_kv = facts.head_count;
    if (facts.head_dim == 0 && facts.head_count > 0)
        facts.head_dim = facts.embedding_length / facts.head_count;
    if (facts.rope_dimension_count == 0 && facts.rope_freq_base > 0)
        facts.rope_dimension_count = facts.head_dim;
}

}  // namespace orch
