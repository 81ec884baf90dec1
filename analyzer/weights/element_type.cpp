#include "analyzer/weights/element_type.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "analyzer/weights/block_decoders.hpp"

namespace orch {
namespace {

using Kind = ElementType::Kind;

constexpr ElementType plain(std::string_view name, DType type, std::uint32_t id = 0) {
    return {name, 1, static_cast<std::int64_t>(element_size(type)), Kind::plain, type, nullptr, id};
}

constexpr ElementType block(std::uint32_t id, std::string_view name, std::int64_t values,
                            std::int64_t bytes) {
    return {name, values, bytes, Kind::block, DType::block, nullptr, id};
}

constexpr ElementType integer(std::string_view name, std::int64_t bytes, std::uint32_t id = 0) {
    return {name, 1, bytes, Kind::integer, DType::block, nullptr, id};
}

constexpr ElementType ggml_types[] = {
    plain("f32", DType::f32, 0),   plain("f16", DType::f16, 1),    block(2, "q4_0", 32, 18),
    block(3, "q4_1", 32, 20),      block(6, "q5_0", 32, 22),       block(7, "q5_1", 32, 24),
    block(8, "q8_0", 32, 34),      block(9, "q8_1", 32, 36),       block(10, "q2_K", 256, 84),
    block(11, "q3_K", 256, 110),   block(12, "q4_K", 256, 144),    block(13, "q5_K", 256, 176),
    block(14, "q6_K", 256, 210),   block(15, "q8_K", 256, 292),    block(16, "iq2_xxs", 256, 66),
    block(17, "iq2_xs", 256, 74),  block(18, "iq3_xxs", 256, 98),  block(19, "iq1_s", 256, 50),
    block(20, "iq4_nl", 32, 18),   block(21, "iq3_s", 256, 110),   block(22, "iq2_s", 256, 82),
    block(23, "iq4_xs", 256, 136), integer("i8", 1, 24),           integer("i16", 2, 25),
    integer("i32", 4, 26),         integer("i64", 8, 27),          plain("f64", DType::f64, 28),
    block(29, "iq1_m", 256, 56),   plain("bf16", DType::bf16, 30), block(34, "tq1_0", 256, 54),
    block(35, "tq2_0", 256, 66),   block(39, "mxfp4", 32, 17),     block(40, "nvfp4", 64, 36),
    block(41, "q1_0", 128, 18),    block(42, "q2_0", 64, 18),
};

constexpr auto ggml_ids = [] {
    std::array<std::uint32_t, std::size(ggml_types)> ids{};
    for (std::size_t i = 0; i < ids.size(); ++i)
        ids[i] = ggml_types[i].ggml_id;
    return ids;
}();

struct SafetensorsName {
    std::string_view word;
    ElementType type;
};

constexpr SafetensorsName safetensors_types[] = {
    {"F64", plain("f64", DType::f64)},
    {"F32", plain("f32", DType::f32)},
    {"F16", plain("f16", DType::f16)},
    {"BF16", plain("bf16", DType::bf16)},
    {"F8_E4M3", {"f8_e4m3", 1, 1, Kind::block, DType::block, decode_f8_e4m3, 0}},
    {"F8_E5M2", {"f8_e5m2", 1, 1, Kind::block, DType::block, decode_f8_e5m2, 0}},
    {"I64", integer("i64", 8)},
    {"U64", integer("u64", 8)},
    {"I32", integer("i32", 4)},
    {"U32", integer("u32", 4)},
    {"I16", integer("i16", 2)},
    {"U16", integer("u16", 2)},
    {"I8", integer("i8", 1)},
    {"U8", integer("u8", 1)},
    {"BOOL", integer("bool", 1)},
};

}  // namespace

ElementType ggml_element_type(std::uint32_t id) {
    const auto* found = std::find_if(std::begin(ggml_types), std::end(ggml_types),
                                     [id](const ElementType& type) { return type.ggml_id == id; });
    ElementType type = found != std::end(ggml_types) ? *found : ElementType{};
    type.ggml_id = id;
    if (type.kind == Kind::block) type.decode = built_in_decoder(static_cast<GgmlType>(id));
    return type;
}

ElementType safetensors_element_type(std::string_view name) {
    const auto* found = std::find_if(std::begin(safetensors_types), std::end(safetensors_types),
                                     [name](const SafetensorsName& t) { return t.word == name; });
    return found != std::end(safetensors_types) ? found->type : ElementType{};
}

std::span<const std::uint32_t> known_ggml_types() {
    return ggml_ids;
}

}  // namespace orch
