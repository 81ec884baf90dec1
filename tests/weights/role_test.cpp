#include "analyzer/weights/role.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <set>

namespace orch {

void PrintTo(const Role& role, std::ostream* out) {
    *out << "layer " << role.layer << ", " << part_name(role.part) << ", expert " << role.expert;
}

namespace {

struct Named {
    const char* name;
    Role role;
};

class Roles : public testing::TestWithParam<Named> {};

TEST_P(Roles, OfAName) {
    EXPECT_EQ(role_of(GetParam().name), GetParam().role) << GetParam().name;
}

constexpr Named gguf[] = {
    {"token_embd.weight", {-1, Part::embedding, -1}},
    {"token_embd", {-1, Part::embedding, -1}},
    {"output_norm.weight", {-1, Part::final_norm, -1}},
    {"output.weight", {-1, Part::head, -1}},
    {"rope_freqs.weight", {-1, Part::other, -1}},
    {"blk.0.attn_norm.weight", {0, Part::attn_norm, -1}},
    {"blk.11.attn_q.weight", {11, Part::q, -1}},
    {"blk.11.attn_q.bias", {11, Part::other, -1}},
    {"blk.3.attn_k.weight", {3, Part::k, -1}},
    {"blk.3.attn_v.weight", {3, Part::v, -1}},
    {"blk.3.attn_qkv.weight", {3, Part::qkv, -1}},
    {"blk.3.attn_output.weight", {3, Part::o, -1}},
    {"blk.3.attn_q_norm.weight", {3, Part::q_norm, -1}},
    {"blk.3.attn_k_norm.weight", {3, Part::k_norm, -1}},
    {"blk.3.post_attention_norm.weight", {3, Part::other, -1}},
    {"blk.3.ffn_norm.weight", {3, Part::ffn_norm, -1}},
    {"blk.127.ffn_gate.weight", {127, Part::gate, -1}},
    {"blk.3.ffn_up.weight", {3, Part::up, -1}},
    {"blk.3.ffn_down.weight", {3, Part::down, -1}},
    {"blk.3.ffn_gate_inp.weight", {3, Part::router, -1}},
    {"blk.3.ffn_gate_exps.weight", {3, Part::expert_gate, -1}},
    {"blk.3.ffn_gate_exps.weight[7]", {3, Part::expert_gate, 7}},
    {"blk.3.ffn_up_exps.weight[0]", {3, Part::expert_up, 0}},
    {"blk.3.ffn_down_exps.weight[63]", {3, Part::expert_down, 63}},
    {"blk.3.ffn_down_shexp.weight", {3, Part::down, -1}},
    {"blk.3.ffn_gate.5.weight", {3, Part::expert_gate, 5}},
    {"v.blk.3.attn_q.weight", {-1, Part::other, -1}},
    {"enc.blk.3.attn_q.weight", {-1, Part::other, -1}},
    {"mm.0.weight", {-1, Part::other, -1}},
};
INSTANTIATE_TEST_SUITE_P(Gguf, Roles, testing::ValuesIn(gguf));

constexpr Named hugging_face[] = {
    // Llama, Mistral, Qwen2 and 3, Gemma
    {"model.embed_tokens.weight", {-1, Part::embedding, -1}},
    {"model.norm.weight", {-1, Part::final_norm, -1}},
    {"lm_head.weight", {-1, Part::head, -1}},
    {"model.layers.0.input_layernorm.weight", {0, Part::attn_norm, -1}},
    {"model.layers.31.self_attn.q_proj.weight", {31, Part::q, -1}},
    {"model.layers.31.self_attn.q_proj.bias", {31, Part::other, -1}},
    {"model.layers.31.self_attn.k_proj.weight", {31, Part::k, -1}},
    {"model.layers.31.self_attn.v_proj.weight", {31, Part::v, -1}},
    {"model.layers.31.self_attn.o_proj.weight", {31, Part::o, -1}},
    {"model.layers.31.self_attn.q_norm.weight", {31, Part::q_norm, -1}},
    {"model.layers.31.self_attn.rotary_emb.inv_freq", {31, Part::other, -1}},
    {"model.layers.31.post_attention_layernorm.weight", {31, Part::ffn_norm, -1}},
    {"model.layers.31.pre_feedforward_layernorm.weight", {31, Part::ffn_norm, -1}},
    {"model.layers.31.post_feedforward_layernorm.weight", {31, Part::other, -1}},
    {"model.layers.31.mlp.gate_proj.weight", {31, Part::gate, -1}},
    {"model.layers.31.mlp.up_proj.weight", {31, Part::up, -1}},
    {"model.layers.31.mlp.down_proj.weight", {31, Part::down, -1}},
    {"model.layers.31.self_attn.q_proj.lora_A.weight", {31, Part::other, -1}},
    {"model.layers.31.mlp.down_proj.weight_scale_inv", {31, Part::other, -1}},
    {"language_model.model.layers.2.self_attn.q_proj.weight", {2, Part::q, -1}},
    {"model.language_model.layers.2.mlp.up_proj.weight", {2, Part::up, -1}},
    {"model.visual.blocks.2.attn.qkv.weight", {-1, Part::other, -1}},
    {"vision_tower.vision_model.encoder.layers.2.self_attn.q_proj.weight", {-1, Part::other, -1}},
    {"mtp.layers.0.self_attn.q_proj.weight", {-1, Part::other, -1}},
    // Phi-2 and 3
    {"model.layers.4.self_attn.qkv_proj.weight", {4, Part::qkv, -1}},
    {"model.layers.4.mlp.gate_up_proj.weight", {4, Part::gate_up, -1}},
    {"model.layers.4.self_attn.dense.weight", {4, Part::o, -1}},
    {"model.layers.4.mlp.fc1.weight", {4, Part::up, -1}},
    {"model.layers.4.mlp.fc2.weight", {4, Part::down, -1}},
    {"model.final_layernorm.weight", {-1, Part::final_norm, -1}},
    // GPT-2, with and without the prefix
    {"wte.weight", {-1, Part::embedding, -1}},
    {"wpe.weight", {-1, Part::other, -1}},
    {"transformer.wte.weight", {-1, Part::embedding, -1}},
    {"ln_f.weight", {-1, Part::final_norm, -1}},
    {"h.5.ln_1.weight", {5, Part::attn_norm, -1}},
    {"h.5.attn.c_attn.weight", {5, Part::qkv, -1}},
    {"h.5.attn.bias", {5, Part::other, -1}},
    {"transformer.h.5.attn.c_proj.weight", {5, Part::o, -1}},
    {"transformer.h.5.ln_2.weight", {5, Part::ffn_norm, -1}},
    {"transformer.h.5.mlp.c_fc.weight", {5, Part::up, -1}},
    {"transformer.h.5.mlp.c_proj.weight", {5, Part::down, -1}},
    {"transformer.h.5.crossattention.c_attn.weight", {5, Part::other, -1}},
    // Falcon, Bloom, GPT-NeoX, MPT, GPT-J, OPT, Baichuan, ChatGLM, the first Qwen, OLMo
    {"transformer.word_embeddings.weight", {-1, Part::embedding, -1}},
    {"transformer.h.1.self_attention.query_key_value.weight", {1, Part::qkv, -1}},
    {"transformer.h.1.self_attention.dense.weight", {1, Part::o, -1}},
    {"transformer.h.1.ln_attn.weight", {1, Part::attn_norm, -1}},
    {"transformer.h.1.ln_mlp.weight", {1, Part::ffn_norm, -1}},
    {"transformer.h.1.mlp.dense_h_to_4h.weight", {1, Part::up, -1}},
    {"transformer.h.1.mlp.dense_4h_to_h.weight", {1, Part::down, -1}},
    {"gpt_neox.embed_in.weight", {-1, Part::embedding, -1}},
    {"gpt_neox.layers.9.attention.query_key_value.weight", {9, Part::qkv, -1}},
    {"gpt_neox.final_layer_norm.weight", {-1, Part::final_norm, -1}},
    {"embed_out.weight", {-1, Part::head, -1}},
    {"transformer.blocks.2.attn.Wqkv.weight", {2, Part::qkv, -1}},
    {"transformer.blocks.2.norm_1.weight", {2, Part::attn_norm, -1}},
    {"transformer.blocks.2.ffn.up_proj.weight", {2, Part::up, -1}},
    {"transformer.norm_f.weight", {-1, Part::final_norm, -1}},
    {"transformer.h.2.attn.out_proj.weight", {2, Part::o, -1}},
    {"transformer.h.2.mlp.fc_in.weight", {2, Part::up, -1}},
    {"model.decoder.layers.2.self_attn_layer_norm.weight", {2, Part::attn_norm, -1}},
    {"model.decoder.layers.2.final_layer_norm.weight", {2, Part::ffn_norm, -1}},
    {"model.decoder.layers.2.fc1.weight", {2, Part::up, -1}},
    {"model.decoder.layers.2.encoder_attn.q_proj.weight", {2, Part::other, -1}},
    {"model.encoder.layers.2.self_attn.q_proj.weight", {-1, Part::other, -1}},
    {"model.layers.2.self_attn.W_pack.weight", {2, Part::qkv, -1}},
    {"transformer.encoder.layers.2.self_attention.query_key_value.weight", {2, Part::qkv, -1}},
    {"transformer.encoder.layers.2.mlp.dense_h_to_4h.weight", {2, Part::gate_up, -1}},
    {"transformer.encoder.final_layernorm.weight", {-1, Part::final_norm, -1}},
    {"transformer.output_layer.weight", {-1, Part::head, -1}},
    {"transformer.h.2.mlp.w1.weight", {2, Part::up, -1}},
    {"transformer.h.2.mlp.w2.weight", {2, Part::gate, -1}},
    {"model.transformer.blocks.2.att_proj.weight", {2, Part::qkv, -1}},
    {"model.transformer.blocks.2.ff_proj.weight", {2, Part::gate_up, -1}},
    {"model.transformer.blocks.2.ff_out.weight", {2, Part::down, -1}},
    // Llama's and Mistral's own checkpoints, InternLM2
    {"tok_embeddings.weight", {-1, Part::embedding, -1}},
    {"norm.weight", {-1, Part::final_norm, -1}},
    {"layers.8.attention_norm.weight", {8, Part::attn_norm, -1}},
    {"layers.8.attention.wq.weight", {8, Part::q, -1}},
    {"layers.8.attention.wo.weight", {8, Part::o, -1}},
    {"model.layers.8.attention.wqkv.weight", {8, Part::qkv, -1}},
    {"layers.8.feed_forward.w1.weight", {8, Part::gate, -1}},
    {"layers.8.feed_forward.w2.weight", {8, Part::down, -1}},
    {"layers.8.feed_forward.w3.weight", {8, Part::up, -1}},
};
INSTANTIATE_TEST_SUITE_P(HuggingFace, Roles, testing::ValuesIn(hugging_face));

constexpr Named experts[] = {
    {"model.layers.6.block_sparse_moe.gate.weight", {6, Part::router, -1}},
    {"model.layers.6.block_sparse_moe.experts.3.w1.weight", {6, Part::expert_gate, 3}},
    {"model.layers.6.block_sparse_moe.experts.3.w2.weight", {6, Part::expert_down, 3}},
    {"model.layers.6.block_sparse_moe.experts.3.w3.weight", {6, Part::expert_up, 3}},
    {"layers.6.feed_forward.experts.3.w1.weight", {6, Part::expert_gate, 3}},
    {"model.layers.6.mlp.gate.weight", {6, Part::router, -1}},
    {"model.layers.6.mlp.router.weight", {6, Part::router, -1}},
    {"model.layers.6.mlp.gate.e_score_correction_bias", {6, Part::other, -1}},
    {"model.layers.6.mlp.experts.127.up_proj.weight", {6, Part::expert_up, 127}},
    {"model.layers.6.mlp.experts.down_proj", {6, Part::expert_down, -1}},
    {"model.layers.6.mlp.experts.down_proj[2]", {6, Part::expert_down, 2}},
    {"model.layers.6.mlp.experts.gate_up_proj[2]", {6, Part::gate_up, 2}},
    {"model.layers.6.mlp.experts.gate_up_proj_bias", {6, Part::other, -1}},
    {"model.layers.6.mlp.shared_expert.down_proj.weight", {6, Part::down, -1}},
    {"model.layers.6.mlp.shared_experts.gate_proj.weight", {6, Part::gate, -1}},
    {"model.layers.6.mlp.shared_expert_gate.weight", {6, Part::other, -1}},
};
INSTANTIATE_TEST_SUITE_P(Experts, Roles, testing::ValuesIn(experts));

constexpr Named odd[] = {
    {"", {}},
    {".", {}},
    {"weight", {}},
    {"bias", {}},
    {"]", {}},
    {"[3]", {}},
    {"blk", {}},
    {"blk.", {}},
    {"blk.0", {0, Part::other, -1}},
    {"blk.0.", {0, Part::other, -1}},
    {"blk.-1.attn_q.weight", {}},
    {"blk.9999999999999999999.attn_q.weight", {}},
    {"blk.0.attn_q.weight[99999999999]", {0, Part::q, -1}},
    {"model.layers.0.mlp.experts.experts.experts", {0, Part::other, -1}},
    {"layers.layers.layers", {}},
};
INSTANTIATE_TEST_SUITE_P(Odd, Roles, testing::ValuesIn(odd));

TEST(Roles, EachPartHasAWordOfItsOwn) {
    std::set<std::string_view> words;
    for (int i = 0; i <= static_cast<int>(Part::other); ++i)
        words.insert(part_name(static_cast<Part>(i)));
    EXPECT_EQ(words.size(), static_cast<std::size_t>(Part::other) + 1);
    EXPECT_EQ(part_name(Part::embedding), "embedding");
    EXPECT_EQ(part_name(Part::gate_up), "gate_up");
    EXPECT_EQ(part_name(Part::other), "other");
}

}  // namespace
}  // namespace orch
