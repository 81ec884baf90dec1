#include "analyzer/weights/gguf.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <set>
#include <unordered_map>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

constexpr std::string_view magic = "GGUF";
constexpr std::uint64_t max_entries = std::uint64_t{1} << 20;
constexpr std::uint64_t max_key = 65535;
constexpr std::uint64_t max_name = 512;
constexpr std::uint64_t default_alignment = 32;
constexpr std::uint64_t max_alignment = std::uint64_t{1} << 20;
constexpr std::uint32_t max_extents = 4;
constexpr int max_nesting = 4;

/// Of values in the metadata, as the format numbers them.
enum ValueType : std::uint32_t {
    u8_value,
    i8_value,
    u16_value,
    i16_value,
    u32_value,
    i32_value,
    f32_value,
    bool_value,
    string_value,
    array_value,
    u64_value,
    i64_value,
    f64_value,
};

/// What is kept of a value. An array of equal numbers is that number: values per layer.
struct Value {
    std::optional<double> number;
    std::string_view text;
    std::uint64_t array_count = 0;
};

std::optional<double> read_number(ByteReader& in, std::uint32_t type) {
    switch (type) {
        case u8_value:
        case bool_value:
            return in.number<std::uint8_t>();
        case i8_value:
            return in.number<std::int8_t>();
        case u16_value:
            return in.number<std::uint16_t>();
        case i16_value:
            return in.number<std::int16_t>();
        case u32_value:
            return in.number<std::uint32_t>();
        case i32_value:
            return in.number<std::int32_t>();
        case f32_value:
            return in.number<float>();
        case u64_value:
            return static_cast<double>(in.number<std::uint64_t>());
        case i64_value:
            return static_cast<double>(in.number<std::int64_t>());
        case f64_value:
            return in.number<double>();
        default:
            return std::nullopt;
    }
}

std::string_view read_string(ByteReader& in) {
    return in.text(in.number<std::uint64_t>());
}

Value read_value(ByteReader& in, std::uint32_t type, int nesting) {
    Value value;
    if (type == string_value) {
        value.text = read_string(in);
    } else if (type == array_value) {
        if (nesting == max_nesting) throw MalformedFile("its metadata are nested too deeply");
        const auto element_type = in.number<std::uint32_t>();
        value.array_count = in.number<std::uint64_t>();
        // Each element takes a byte at least, so the file's size bounds the loop.
        for (std::uint64_t i = 0; i < value.array_count; ++i) {
            const Value element = read_value(in, element_type, nesting + 1);
            if (i == 0) {
                value.number = element.number;
            } else if (value.number != element.number) {
                value.number.reset();
            }
        }
    } else {
        value.number = read_number(in, type);
        if (!value.number)
            throw MalformedFile(fmt::format("its metadata hold a value of unknown type {}", type));
    }
    return value;
}

class Metadata {
  public:
    Metadata(ByteReader& in, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            const auto length = in.number<std::uint64_t>();
            if (length > max_key) throw MalformedFile("a name in its metadata is absurdly long");
            const std::string_view key = in.text(length);
            const auto type = in.number<std::uint32_t>();
            values_.insert_or_assign(key, read_value(in, type, 0));
        }
    }

    std::string text(std::string_view key) const {
        const Value* value = find(key);
        return value != nullptr ? std::string{value->text.substr(0, max_name)} : std::string{};
    }
    double number(std::string_view key) const {
        const Value* value = find(key);
        return value != nullptr && value->number && std::isfinite(*value->number) ? *value->number
                                                                                  : 0;
    }
    /// 0 where there is none that could be a size.
    std::uint64_t count(std::string_view key) const {
        const double value = number(key);
        constexpr double largest = 1e15;
        return value >= 1 && value <= largest ? static_cast<std::uint64_t>(value) : 0;
    }
    std::uint64_t array_count(std::string_view key) const {
        const Value* value = find(key);
        return value != nullptr ? value->array_count : 0;
    }

  private:
    const Value* find(std::string_view key) const {
        const auto found = values_.find(key);
        return found != values_.end() ? &found->second : nullptr;
    }

    std::unordered_map<std::string_view, Value> values_;
};

ModelFacts facts_of(const Metadata& metadata) {
    ModelFacts facts;
    facts.architecture = metadata.text("general.architecture");
    facts.name = metadata.text("general.name");
    const auto key = [&facts](std::string_view rest) {
        return fmt::format("{}.{}", facts.architecture, rest);
    };
    const auto count = [&](std::string_view rest) {
        return static_cast<std::int64_t>(metadata.count(key(rest)));
    };
    facts.block_count = count("block_count");
    facts.embedding_length = count("embedding_length");
    facts.feed_forward_length = count("feed_forward_length");
    facts.head_count = count("attention.head_count");
    facts.head_count_kv = count("attention.head_count_kv");
    facts.head_dim = count("attention.key_length");
    facts.vocab_size = count("vocab_size");
    if (facts.vocab_size == 0)
        facts.vocab_size = static_cast<std::int64_t>(metadata.array_count("tokenizer.ggml.tokens"));
    facts.context_length = count("context_length");
    facts.expert_count = count("expert_count");
    facts.expert_used_count = count("expert_used_count");
    facts.rope_dimension_count = count("rope.dimension_count");
    facts.rope_freq_base = metadata.number(key("rope.freq_base"));
    facts.norm_epsilon = metadata.number(key("attention.layer_norm_rms_epsilon"));
    if (facts.norm_epsilon == 0)
        facts.norm_epsilon = metadata.number(key("attention.layer_norm_epsilon"));
    return facts;
}

struct TensorInfo {
    std::string_view name;
    std::array<std::uint64_t, max_extents> extents{};  ///< outermost first
    std::uint32_t extent_count = 0;
    std::uint32_t type = 0;
    std::uint64_t offset = 0;
};

TensorInfo read_info(ByteReader& in) {
    TensorInfo info;
    const auto length = in.number<std::uint64_t>();
    if (length == 0 || length > max_name)
        throw MalformedFile(fmt::format("the name of a tensor has {} bytes", length));
    info.name = in.text(length);
    info.extent_count = in.number<std::uint32_t>();
    if (info.extent_count == 0 || info.extent_count > max_extents)
        throw MalformedFile(
            fmt::format("tensor {} has {} extents", printable(info.name), info.extent_count));
    for (std::uint32_t i = info.extent_count; i-- > 0;)
        info.extents[i] = in.number<std::uint64_t>();  // the innermost comes first
    info.type = in.number<std::uint32_t>();
    info.offset = in.number<std::uint64_t>();
    return info;
}

/// The part of the data section that the tensor says is its.
ByteSpan data_of(const TensorInfo& info, const ElementType& type, ByteSpan data) {
    std::uint64_t rows = 1;
    bool fits = true;
    for (std::uint32_t i = 0; i + 1 < info.extent_count; ++i) {
        const auto next = checked_product(rows, info.extents[i]);
        fits = fits && next.has_value();
        rows = next.value_or(0);
    }
    const auto bytes = bytes_of(type, rows, info.extents[info.extent_count - 1]);
    if (!fits || !bytes)
        throw MalformedFile(fmt::format("tensor {} has a shape that {} cannot have",
                                        printable(info.name), type.name));
    if (info.offset > data.size() || *bytes > data.size() - info.offset)
        throw MalformedFile(
            fmt::format("tensor {} lies beyond the end of the file; is the download complete?",
                        printable(info.name)));
    return data.subspan(info.offset, *bytes);
}

ModelTensor tensor_of(const TensorInfo& info, ByteSpan data) {
    ModelTensor tensor;
    tensor.name = info.name;
    tensor.type = ggml_element_type(info.type);
    if (tensor.type.kind == ElementType::Kind::unknown) {
        tensor.left_out = fmt::format("its type {} is newer than this orchtrace", info.type);
        return tensor;
    }
    tensor.data = data_of(info, tensor.type, data);
    if (tensor.type.kind == ElementType::Kind::integer) tensor.left_out = "it holds integers";
    return tensor;
}

void check_version(std::uint32_t version) {
    if (version == 2 || version == 3) return;
    if (version == 0x02000000 || version == 0x03000000)
        throw MalformedFile("a big-endian GGUF file; convert it on a little-endian machine");
    throw MalformedFile(fmt::format("GGUF version {}; versions 2 and 3 are known", version));
}

}  // namespace

bool is_gguf(ByteSpan file) {
    return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

GgufFile parse_gguf(ByteSpan file) {
    ByteReader in{file};
    if (!is_gguf(file)) throw MalformedFile("not a GGUF file");
    in.take(magic.size());
    check_version(in.number<std::uint32_t>());
    const auto tensor_count = in.number<std::uint64_t>();
    const auto value_count = in.number<std::uint64_t>();
    if (tensor_count > max_entries || value_count > max_entries)
        throw MalformedFile(fmt::format("it claims to have {} tensors and {} values of metadata",
                                        tensor_count, value_count));
    const Metadata metadata{in, value_count};
    std::vector<TensorInfo> infos;
    std::set<std::string_view> names;
    for (std::uint64_t i = 0; i < tensor_count; ++i) {
        infos.push_back(read_info(in));
        if (!names.insert(infos.back().name).second)
            throw MalformedFile(fmt::format("it has two tensors {}", printable(infos.back().name)));
    }

    std::uint64_t alignment = metadata.count("general.alignment");
    if (alignment == 0) alignment = default_alignment;
    if (alignment > max_alignment)
        throw MalformedFile(fmt::format("it claims an alignment of {} bytes", alignment));
    const std::uint64_t gap = (alignment - in.position() % alignment) % alignment;
    // Without tensors the padding may be missing.
    in.take(std::min(gap, in.left()));
    const ByteSpan data = file.subspan(in.position());

    GgufFile result;
    result.facts = facts_of(metadata);
    result.split_count = std::max<std::uint64_t>(1, metadata.count("split.count"));
    for (const TensorInfo& info : infos) {
        add_tensor(result.tensors, tensor_of(info, data),
                   std::span{info.extents}.first(info.extent_count));
    }
    return result;
}

}  // namespace orch
