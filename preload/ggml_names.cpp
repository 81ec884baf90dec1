#include "preload/ggml_names.hpp"

#include "core/slice.hpp"

namespace orch {
namespace {

struct Known {
    std::string_view engine;
    std::string_view stable;
    CheckpointGroup group;
};

constexpr Known global_names[] = {
    {"embd", "embedding", CheckpointGroup::layers},
    {"inp_embd", "embedding", CheckpointGroup::layers},
    {"result_norm", "final_norm", CheckpointGroup::layers},
    {"result_output", "logits", CheckpointGroup::logits},
};

/// What follows "layer_N_". Anything else keeps the engine's word.
constexpr Known layer_names[] = {
    {"l_out", "output", CheckpointGroup::layers},
    {"Qcur", "q", CheckpointGroup::inner},
    {"Kcur", "k", CheckpointGroup::inner},
    {"Vcur", "v", CheckpointGroup::inner},
    {"kq_soft_max", "attn_scores", CheckpointGroup::inner},
    {"kqv_out", "attn_context", CheckpointGroup::inner},
    {"attn_out", "attn_out", CheckpointGroup::inner},
    {"ffn_norm", "ffn_norm", CheckpointGroup::inner},
    {"ffn_out", "ffn_out", CheckpointGroup::inner},
};

}  // namespace

bool is_view_operation(std::string_view op) noexcept {
    return op == "VIEW" || op == "RESHAPE" || op == "PERMUTE" || op == "TRANSPOSE";
}

bool stable_name(std::string_view name, std::string_view op, StableName& out) noexcept {
    if (name.empty() || name.find(' ') != std::string_view::npos) return false;
    if (op == "NONE" || is_view_operation(op)) return false;
    if (name.starts_with("node_") || name.starts_with("leaf_") ||
        (name.starts_with("inp_") && name != "inp_embd")) {
        return false;
    }
    out = {};
    const std::size_t dash = name.rfind('-');
    const std::string_view layer = dash == std::string_view::npos ? "" : slice(name, dash + 1);
    if (layer.empty() || layer.find_first_not_of("0123456789") != std::string_view::npos) {
        for (const Known& known : global_names) {
            if (known.engine != name) continue;
            out.checkpoint.append(known.stable);
            out.group = known.group;
            return true;
        }
        return out.checkpoint.append(name);
    }
    std::string_view part = slice(name, 0, dash);
    for (const Known& known : layer_names) {
        if (known.engine != part) continue;
        part = known.stable;
        out.group = known.group;
        break;
    }
    out.checkpoint.append("layer_");
    out.checkpoint.append(layer);
    out.checkpoint.append("_");
    const bool fits = out.checkpoint.append(part);
    return (op == "ROPE" ? out.checkpoint.append("_rope") : true) && fits;
}

FixedString<95> product_name(std::string_view weight) noexcept {
    constexpr std::string_view suffix = ".weight";
    if (weight.ends_with(suffix)) weight.remove_suffix(suffix.size());
    FixedString<95> name{"gemm."};
    name.append(weight);
    return name;
}

}  // namespace orch
