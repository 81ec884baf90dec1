// Blocks of ggml's types with content that is always the same.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzer/weights/element_type.hpp"
#include "core/hash.hpp"

namespace orch {

/// Where a block of this type has its scales, which are halves.
inline std::vector<std::size_t> scales_of(const ElementType& type) {
    switch (type.ggml_id) {
        case 3:   // q4_1
        case 7:   // q5_1
        case 12:  // q4_K
        case 13:  // q5_K
            return {0, 2};
        case 14:  // q6_K
            return {208};
        default:
            return {0};
    }
}

/// Every bit is drawn, but that the scales are finite.
inline std::vector<std::uint8_t> some_blocks(const ElementType& type, std::size_t count) {
    std::vector<std::uint8_t> bytes(count * static_cast<std::size_t>(type.block_bytes));
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::uint8_t>(mix64(i + (std::uint64_t{type.ggml_id} << 32)));
    for (std::size_t block = 0; block < count; ++block) {
        for (const std::size_t scale : scales_of(type)) {
            const std::size_t at = block * static_cast<std::size_t>(type.block_bytes) + scale + 1;
            if ((bytes[at] & 0x7c) == 0x7c) bytes[at] ^= 0x40;
        }
    }
    return bytes;
}

}  // namespace orch
