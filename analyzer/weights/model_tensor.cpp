#include "analyzer/weights/model_tensor.hpp"

#include <fmt/format.h>

#include <utility>

#include "analyzer/util/text.hpp"
#include "analyzer/weights/role.hpp"

namespace orch {
namespace {

constexpr std::uint64_t max_experts = 4096;
constexpr std::size_t max_tensors = std::size_t{1} << 20;

bool holds_experts(std::string_view name) {
    switch (role_of(name).part) {
        case Part::expert_gate:
        case Part::expert_up:
        case Part::expert_down:
            return true;
        case Part::gate_up:
            return name.find("exp") != std::string_view::npos;
        default:
            return false;
    }
}

std::uint64_t product(std::span<const std::uint64_t> extents, const std::string& name) {
    std::uint64_t result = 1;
    for (const std::uint64_t extent : extents) {
        const auto next = checked_product(result, extent);
        // What counts rows here is signed.
        if (!next || *next > std::uint64_t{1} << 62)
            throw MalformedFile(fmt::format("tensor {} has an impossible shape", printable(name)));
        result = *next;
    }
    return result;
}

}  // namespace

std::optional<std::uint64_t> bytes_of(const ElementType& type, std::uint64_t rows,
                                      std::uint64_t cols) {
    const auto values = static_cast<std::uint64_t>(type.block_values);
    if (cols % values != 0) return std::nullopt;
    const auto row = checked_product(cols / values, static_cast<std::uint64_t>(type.block_bytes));
    return row ? checked_product(rows, *row) : std::nullopt;
}

void add_tensor(std::vector<ModelTensor>& to, ModelTensor tensor,
                std::span<const std::uint64_t> extents) {
    const std::uint64_t experts = extents.front();
    if (extents.size() == 3 && experts > 1 && experts <= max_experts &&
        holds_experts(tensor.name)) {
        const ByteSpan all = tensor.data;
        const std::string name = tensor.name;
        const std::size_t each = all.size() / experts;
        for (std::uint64_t expert = 0; expert < experts; ++expert) {
            tensor.name = fmt::format("{}[{}]", name, expert);
            tensor.data = all.subspan(expert * each, each);
            add_tensor(to, tensor, extents.subspan(1));
        }
        return;
    }
    if (to.size() >= max_tensors) throw MalformedFile("it has more than a million tensors");
    tensor.rows =
        static_cast<std::int64_t>(product(extents.first(extents.size() - 1), tensor.name));
    tensor.cols = static_cast<std::int64_t>(product(extents.last(1), tensor.name));
    if (tensor.left_out.empty() && (tensor.rows == 0 || tensor.cols == 0))
        tensor.left_out = "it is empty";
    to.push_back(std::move(tensor));
}

}  // namespace orch
