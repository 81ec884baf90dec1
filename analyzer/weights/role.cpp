#include "analyzer/weights/role.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <vector>

namespace orch {
namespace {

using Words = std::vector<std::string_view>;

struct Leaf {
    std::string_view word;
    Part part;
};

/// Outside of any layer.
constexpr Leaf global_leaves[] = {
    {"token_embd", Part::embedding},
    {"embed_tokens", Part::embedding},
    {"wte", Part::embedding},
    {"tok_embeddings", Part::embedding},
    {"word_embeddings", Part::embedding},
    {"embed_in", Part::embedding},
    {"output_norm", Part::final_norm},
    {"norm", Part::final_norm},
    {"ln_f", Part::final_norm},
    {"norm_f", Part::final_norm},
    {"final_norm", Part::final_norm},
    {"final_layer_norm", Part::final_norm},
    {"final_layernorm", Part::final_norm},
    {"output", Part::head},
    {"lm_head", Part::head},
    {"embed_out", Part::head},
    {"output_layer", Part::head},
};

/// Directly in a layer. GGUF has all of its parts here, the others their norms.
constexpr Leaf layer_leaves[] = {
    {"attn_norm", Part::attn_norm},
    {"input_layernorm", Part::attn_norm},
    {"attention_norm", Part::attn_norm},
    {"self_attn_layer_norm", Part::attn_norm},
    {"ln_1", Part::attn_norm},
    {"norm_1", Part::attn_norm},
    {"ln_attn", Part::attn_norm},
    {"attn_q", Part::q},
    {"attn_k", Part::k},
    {"attn_v", Part::v},
    {"attn_qkv", Part::qkv},
    {"att_proj", Part::qkv},
    {"attn_output", Part::o},
    {"attn_out", Part::o},
    {"attn_q_norm", Part::q_norm},
    {"attn_k_norm", Part::k_norm},
    {"ffn_norm", Part::ffn_norm},
    {"post_attention_layernorm", Part::ffn_norm},
    {"pre_feedforward_layernorm", Part::ffn_norm},
    {"final_layer_norm", Part::ffn_norm},
    {"ln_2", Part::ffn_norm},
    {"norm_2", Part::ffn_norm},
    {"ln_mlp", Part::ffn_norm},
    {"ffn_gate", Part::gate},
    {"ffn_gate_shexp", Part::gate},
    {"ffn_up", Part::up},
    {"ffn_up_shexp", Part::up},
    {"fc1", Part::up},
    {"ff_proj", Part::gate_up},
    {"ffn_down", Part::down},
    {"ffn_down_shexp", Part::down},
    {"fc2", Part::down},
    {"ff_out", Part::down},
    {"ffn_gate_inp", Part::router},
    {"ffn_gate_exps", Part::expert_gate},
    {"ffn_up_exps", Part::expert_up},
    {"ffn_down_exps", Part::expert_down},
    {"ffn_gate_up_exps", Part::gate_up},
};

constexpr std::string_view attention_words[] = {"attn", "self_attn", "attention", "self_attention"};
constexpr Leaf attention_leaves[] = {
    {"q_proj", Part::q},
    {"wq", Part::q},
    {"query", Part::q},
    {"k_proj", Part::k},
    {"wk", Part::k},
    {"key", Part::k},
    {"v_proj", Part::v},
    {"wv", Part::v},
    {"value", Part::v},
    {"qkv_proj", Part::qkv},
    {"query_key_value", Part::qkv},
    {"c_attn", Part::qkv},
    {"Wqkv", Part::qkv},
    {"wqkv", Part::qkv},
    {"qkv", Part::qkv},
    {"W_pack", Part::qkv},
    {"o_proj", Part::o},
    {"wo", Part::o},
    {"out_proj", Part::o},
    {"dense", Part::o},
    {"c_proj", Part::o},
    {"q_norm", Part::q_norm},
    {"q_layernorm", Part::q_norm},
    {"query_layernorm", Part::q_norm},
    {"k_norm", Part::k_norm},
    {"k_layernorm", Part::k_norm},
    {"key_layernorm", Part::k_norm},
};

constexpr std::string_view feed_forward_words[] = {"mlp", "feed_forward", "ffn",
                                                   "block_sparse_moe"};
constexpr Leaf feed_forward_leaves[] = {
    {"gate_proj", Part::gate}, {"w1", Part::gate},          {"up_proj", Part::up},
    {"w3", Part::up},          {"fc1", Part::up},           {"c_fc", Part::up},
    {"fc_in", Part::up},       {"dense_h_to_4h", Part::up}, {"gate_up_proj", Part::gate_up},
    {"down_proj", Part::down}, {"w2", Part::down},          {"fc2", Part::down},
    {"c_proj", Part::down},    {"fc_out", Part::down},      {"dense_4h_to_h", Part::down},
    {"gate", Part::router},    {"router", Part::router},
};

template <class Range>
bool contains(const Range& range, std::string_view word) {
    return std::find(std::begin(range), std::end(range), word) != std::end(range);
}

Part find_leaf(std::span<const Leaf> leaves, std::string_view word) {
    const auto* leaf = std::find_if(leaves.data(), leaves.data() + leaves.size(),
                                    [word](const Leaf& l) { return l.word == word; });
    return leaf != leaves.data() + leaves.size() ? leaf->part : Part::other;
}

/// -1: no number, or none that counts layers or experts.
int number_of(std::string_view word) {
    int value = -1;
    const char* end = word.data() + word.size();
    if (word.empty() || word.size() > 6) return -1;
    const auto [stop, error] = std::from_chars(word.data(), end, value);
    return error == std::errc{} && stop == end ? value : -1;
}

Words split(std::string_view name) {
    Words words;
    for (;;) {
        const std::size_t dot = name.find('.');
        words.push_back(name.substr(0, dot));
        if (dot == std::string_view::npos) return words;
        name.remove_prefix(dot + 1);
    }
}

Part of_expert(Part part) {
    switch (part) {
        case Part::gate:
            return Part::expert_gate;
        case Part::up:
            return Part::expert_up;
        case Part::down:
            return Part::expert_down;
        case Part::gate_up:
            return Part::gate_up;
        default:
            return Part::other;
    }
}

/// Towers for other inputs have layers of their own that must not pass for the language model's.
bool is_of_another_tower(std::span<const std::string_view> words) {
    // An encoder, as Whisper and T5 have it. ChatGLM calls its only stack transformer.encoder.
    if (words.front() != "transformer" && contains(words, "encoder")) return true;
    constexpr std::string_view exact[] = {"v", "a", "t", "mm", "enc", "mtp", "visual"};
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
        return contains(exact, word) || word.starts_with("vision") || word.starts_with("audio") ||
               word.starts_with("image");
    });
}

/// In the layer's own `block`: what stands between the layer's number and the last word.
Part part_in_block(std::span<const std::string_view> block, std::string_view leaf) {
    if (block.empty()) return find_leaf(layer_leaves, leaf);
    const bool shared = block.back() == "shared_expert" || block.back() == "shared_experts";
    const std::string_view outer = block.front();
    if (block.size() == 1 && contains(attention_words, outer))
        return find_leaf(attention_leaves, leaf);
    // Cross-attention, adapters and whatever nests deeper than is known here: other.
    if (!contains(feed_forward_words, outer) || block.size() > (shared ? 2U : 1U))
        return Part::other;
    return find_leaf(feed_forward_leaves, leaf);
}

/// Two families use a common word in a sense of their own.
Part exception(std::span<const std::string_view> all, std::string_view block, std::string_view leaf,
               Part part) {
    // The first Qwen multiplies w1's result by the activation of w2's.
    if (all.front() == "transformer" && block == "mlp") {
        if (leaf == "w1") return Part::up;
        if (leaf == "w2") return Part::gate;
    }
    // ChatGLM's has the gate in it.
    if (leaf == "dense_h_to_4h" && all.size() > 1 && all[1] == "encoder") return Part::gate_up;
    return part;
}

/// `rest`: the words behind the layer's number, without "weight".
void read_layer_part(const Words& all, std::span<const std::string_view> rest, Role& role) {
    if (rest.empty()) return;
    // blk.0.ffn_gate.3: how GGUF named single experts at first.
    const int last_number = rest.size() == 2 ? number_of(rest[1]) : -1;
    if (last_number >= 0) {
        role.part = of_expert(find_leaf(layer_leaves, rest[0]));
        if (role.part != Part::other) role.expert = last_number;
        return;
    }
    const std::string_view leaf = rest.back();
    const auto experts = std::find(rest.begin(), rest.end(), "experts");
    if (experts == rest.end()) {
        const auto block = rest.first(rest.size() - 1);
        role.part = part_in_block(block, leaf);
        if (block.size() == 1) role.part = exception(all, block[0], leaf, role.part);
        return;
    }
    // mlp.experts.3.up_proj, or mlp.experts.up_proj with all of them in one tensor.
    const auto behind = static_cast<std::size_t>(rest.end() - experts);
    const bool numbered = behind == 3 && number_of(experts[1]) >= 0;
    if (behind != 2 && !numbered) return;
    const auto block = rest.first(static_cast<std::size_t>(experts - rest.begin()));
    role.part = of_expert(part_in_block(block, leaf));
    if (numbered && role.part != Part::other) role.expert = number_of(experts[1]);
}

}  // namespace

Role role_of(std::string_view name) {
    Role role;
    int indexed_expert = -1;
    if (name.ends_with(']')) {  // one expert of a tensor that holds all: "….weight[3]"
        const std::size_t open = name.rfind('[');
        if (open == std::string_view::npos) return role;
        indexed_expert = number_of(name.substr(open + 1, name.size() - open - 2));
        name = name.substr(0, open);
    }
    Words words = split(name);
    const bool is_bias = words.back() == "bias";
    if (words.back() == "weight" || is_bias) words.pop_back();
    if (words.empty()) return role;

    constexpr std::string_view layer_words[] = {"blk", "layers", "layer", "h", "blocks", "block"};
    std::size_t number_at = 0;
    for (std::size_t i = 1; i < words.size() && number_at == 0; ++i) {
        if (number_of(words[i]) >= 0 && contains(layer_words, words[i - 1])) number_at = i;
    }
    const std::span<const std::string_view> all{words};
    if (is_of_another_tower(all.first(number_at != 0 ? number_at : all.size()))) return role;
    if (number_at == 0) {
        if (!is_bias) role.part = find_leaf(global_leaves, words.back());
        return role;
    }
    role.layer = number_of(words[number_at]);
    if (is_bias) return role;
    read_layer_part(words, all.subspan(number_at + 1), role);
    if (indexed_expert >= 0) role.expert = indexed_expert;
    return role;
}

std::string_view part_name(Part part) {
    constexpr std::array<std::string_view, 21> names = {
        "embedding", "attn_norm",   "q",         "k",           "v",          "qkv",     "o",
        "q_norm",    "k_norm",      "ffn_norm",  "gate",        "up",         "gate_up", "down",
        "router",    "expert_gate", "expert_up", "expert_down", "final_norm", "head",    "other"};
    const auto index = static_cast<std::size_t>(part);
    return index < names.size() ? names[index] : names.back();
}

}  // namespace orch
