#include "analyzer/weights/safetensors.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <set>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// As the format's own reader has it.
constexpr std::uint64_t max_header = 100'000'000;
constexpr std::size_t max_name = 512;
constexpr std::size_t max_extents = 8;
constexpr std::size_t max_tensors = std::size_t{1} << 20;

object parse_object(simdjson::dom::parser& parser, ByteSpan json, std::string_view what) {
    // The parser reads past the end of what it is given; its copy is padded.
    const simdjson::padded_string text{reinterpret_cast<const char*>(json.data()), json.size()};
    element root;
    object result;
    if (parser.parse(text).get(root) != simdjson::SUCCESS ||
        root.get(result) != simdjson::SUCCESS) {
        throw MalformedFile(fmt::format("{} is no JSON object", what));
    }
    return result;
}

struct Info {
    std::string_view name;
    std::string_view type;
    std::vector<std::uint64_t> extents;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

std::vector<std::uint64_t> numbers_at(object json, std::string_view key, std::string_view name,
                                      std::size_t most) {
    std::vector<std::uint64_t> result;
    array list;
    bool good = json.at_key(key).get(list) == simdjson::SUCCESS && list.size() <= most;
    if (good) {
        for (element item : list) {
            result.push_back(0);
            good = good && item.get(result.back()) == simdjson::SUCCESS;
        }
    }
    if (!good) throw MalformedFile(fmt::format("tensor {}: its {} is no list of sizes", name, key));
    return result;
}

Info read_info(std::string_view name, element value) {
    Info info;
    info.name = name;
    const std::string shown = printable(name.substr(0, max_name));
    if (name.empty() || name.size() > max_name)
        throw MalformedFile(fmt::format("the name of a tensor has {} bytes", name.size()));
    object json;
    if (value.get(json) != simdjson::SUCCESS ||
        json.at_key("dtype").get(info.type) != simdjson::SUCCESS) {
        throw MalformedFile(fmt::format("tensor {}: it has no type", shown));
    }
    info.extents = numbers_at(json, "shape", shown, max_extents);
    const auto offsets = numbers_at(json, "data_offsets", shown, 2);
    if (offsets.size() != 2 || offsets[0] > offsets[1])
        throw MalformedFile(fmt::format("tensor {}: its data_offsets are no range", shown));
    info.begin = offsets[0];
    info.end = offsets[1];
    if (info.extents.empty()) info.extents = {1};  // a single number
    return info;
}

void check_size(const Info& info, const ElementType& type) {
    std::optional<std::uint64_t> bytes = static_cast<std::uint64_t>(type.block_bytes);
    for (const std::uint64_t extent : info.extents)
        bytes = bytes ? checked_product(*bytes, extent) : bytes;
    if (bytes != info.end - info.begin)
        throw MalformedFile(fmt::format("tensor {}: its shape and the size of its data disagree",
                                        printable(info.name)));
}

ModelTensor tensor_of(const Info& info, ByteSpan data) {
    if (info.end > data.size())
        throw MalformedFile(
            fmt::format("tensor {} lies beyond the end of the file; is the download complete?",
                        printable(info.name)));
    ModelTensor tensor;
    tensor.name = info.name;
    tensor.type = safetensors_element_type(info.type);
    tensor.data = data.subspan(info.begin, info.end - info.begin);
    if (tensor.type.kind == ElementType::Kind::unknown) {
        tensor.left_out =
            fmt::format("elements of type {} are not known", printable(info.type.substr(0, 32)));
        tensor.data = {};
        return tensor;
    }
    check_size(info, tensor.type);
    if (tensor.type.kind == ElementType::Kind::integer) tensor.left_out = "it holds integers";
    return tensor;
}

/// Scaled FP8: the weight is the product with a tensor beside it, in blocks of one size or another.
void leave_out_scaled(std::vector<ModelTensor>& tensors, const std::set<std::string_view>& names) {
    for (ModelTensor& tensor : tensors) {
        if (tensor.type.kind != ElementType::Kind::block || !tensor.left_out.empty()) continue;
        const std::string name = tensor.name.substr(0, tensor.name.find('['));
        const std::string bare = name.substr(0, name.rfind('.'));
        for (const std::string& scale :
             {name + "_scale_inv", name + "_scale", bare + ".scale_weight", bare + ".scale"}) {
            if (names.contains(scale))
                tensor.left_out = "it is FP8 with scales in another tensor, which are not applied";
        }
    }
}

/// The first of `keys` that is there.
std::optional<element> find_first(object json, std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
        element value;
        if (json.at_key(key).get(value) == simdjson::SUCCESS && !value.is_null()) return value;
    }
    return std::nullopt;
}

std::int64_t count_at(object json, std::initializer_list<const char*> keys) {
    const auto value = find_first(json, keys);
    std::int64_t count = 0;
    constexpr std::int64_t largest = 1'000'000'000'000'000;
    return value && value->get(count) == simdjson::SUCCESS && count > 0 && count <= largest ? count
                                                                                            : 0;
}

double number_at(object json, std::initializer_list<const char*> keys) {
    const auto value = find_first(json, keys);
    double number = 0;
    return value && value->get(number) == simdjson::SUCCESS ? number : 0;
}

std::string text_at(object json, std::initializer_list<const char*> keys) {
    const auto value = find_first(json, keys);
    std::string_view text;
    return value && value->get(text) == simdjson::SUCCESS ? std::string{text.substr(0, max_name)}
                                                          : std::string{};
}

}  // namespace

std::vector<ModelTensor> parse_safetensors(ByteSpan file) {
    ByteReader in{file};
    const auto header_size = in.number<std::uint64_t>();
    if (header_size > max_header)
        throw MalformedFile(
            fmt::format("not a safetensors file: its header would have {} bytes", header_size));
    simdjson::dom::parser parser;
    const object header = parse_object(parser, in.take(header_size), "its header");
    const ByteSpan data = file.subspan(in.position());

    std::vector<Info> infos;
    std::set<std::string_view> names;
    for (const auto [name, value] : header) {
        if (name == "__metadata__") continue;
        infos.push_back(read_info(name, value));
        if (infos.size() > max_tensors) throw MalformedFile("it lists more than a million tensors");
        if (!names.insert(name).second)
            throw MalformedFile(fmt::format("it has two tensors {}", printable(name)));
    }
    std::stable_sort(infos.begin(), infos.end(),
                     [](const Info& a, const Info& b) { return a.begin < b.begin; });
    std::vector<ModelTensor> tensors;
    for (const Info& info : infos)
        add_tensor(tensors, tensor_of(info, data), info.extents);
    leave_out_scaled(tensors, names);
    return tensors;
}

std::map<std::string, std::vector<std::string>> parse_shard_index(ByteSpan json) {
    simdjson::dom::parser parser;
    const object root = parse_object(parser, json, "it");
    object map;
    if (root.at_key("weight_map").get(map) != simdjson::SUCCESS)
        throw MalformedFile("it has no \"weight_map\"");
    std::map<std::string, std::vector<std::string>> files;
    for (const auto [name, value] : map) {
        std::string_view file;
        if (value.get(file) != simdjson::SUCCESS || file.empty() || file.size() > max_name ||
            file.find_first_of(std::string_view{"/\0", 2}) != std::string_view::npos ||
            file == "." || file == "..") {
            throw MalformedFile(
                fmt::format("tensor {}: the name of its file is no plain name", printable(name)));
        }
        files[std::string{file}].emplace_back(name);
    }
    if (files.empty()) throw MalformedFile("it names no file");
    return files;
}

ModelFacts parse_config(ByteSpan json) {
    simdjson::dom::parser parser;
    const object root = parse_object(parser, json, "it");
    object config = root;
    // A model for text and images has the language model's part inside.
    object text;
    if (root.at_key("text_config").get(text) == simdjson::SUCCESS) config = text;

    ModelFacts facts;
    facts.architecture = text_at(config, {"model_type"});
    facts.name = text_at(root, {"_name_or_path"});
    facts.block_count =
        count_at(config, {"num_hidden_layers", "n_layer", "n_layers", "num_layers"});
    facts.embedding_length = count_at(config, {"hidden_size", "n_embd", "d_model", "dim"});
    facts.feed_forward_length =
        count_at(config, {"intermediate_size", "n_inner", "ffn_hidden_size", "hidden_dim"});
    facts.head_count = count_at(config, {"num_attention_heads", "n_head", "n_heads"});
    facts.head_count_kv =
        count_at(config, {"num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_head_kv"});
    facts.head_dim = count_at(config, {"head_dim"});
    facts.vocab_size = count_at(config, {"vocab_size"});
    facts.context_length = count_at(config, {"max_position_embeddings", "n_positions"});
    facts.expert_count = count_at(config, {"num_local_experts", "num_experts", "n_routed_experts"});
    facts.expert_used_count = count_at(config, {"num_experts_per_tok"});
    facts.rope_freq_base = number_at(config, {"rope_theta", "rotary_emb_base"});
    object rope;
    if (facts.rope_freq_base == 0 &&
        config.at_key("rope_parameters").get(rope) == simdjson::SUCCESS) {
        facts.rope_freq_base = number_at(rope, {"rope_theta"});
    }
    facts.norm_epsilon = number_at(config, {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon",
                                            "layernorm_epsilon", "norm_eps"});
    complete(facts);
    const double rotated = number_at(config, {"partial_rotary_factor", "rotary_pct"});
    if (rotated > 0 && rotated < 1)
        facts.rope_dimension_count =
            static_cast<std::int64_t>(rotated * static_cast<double>(facts.head_dim));
    return facts;
}

}  // namespace orch
