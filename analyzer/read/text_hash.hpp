// A 64-bit hash of text. The sidecar index keeps such hashes: its version changes with this file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace orch {

/// Folds the 128-bit product of two words: every bit of both reaches every bit of the result.
inline std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <class Word>
std::uint64_t word_at(const char* at) {
    Word word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

/// Never 0.
inline std::uint64_t text_hash(std::string_view text) {
    constexpr std::uint64_t odd_a = 0x9e3779b97f4a7c15ULL;
    constexpr std::uint64_t odd_b = 0xd1b54a32d192ed03ULL;
    const char* at = text.data();
    const std::size_t size = text.size();
    std::uint64_t hash = odd_a ^ size;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    // What is left at the end is read together with bytes that were already: no loop over bytes.
    if (size >= 8) {
        for (const char* last = at + size - 16; at < last; at += 16) {
            hash = folded_product(word_at<std::uint64_t>(at) ^ odd_b,
                                  word_at<std::uint64_t>(at + 8) ^ hash);
        }
        const char* end = text.data() + size;
        a = word_at<std::uint64_t>(size >= 16 ? end - 16 : text.data());
        b = word_at<std::uint64_t>(end - 8);
    } else if (size >= 4) {
        a = word_at<std::uint32_t>(at);
        b = word_at<std::uint32_t>(at + size - 4);
    } else if (size > 0) {
        a = word_at<std::uint8_t>(at) | (word_at<std::uint8_t>(at + size / 2) << 8) |
            (word_at<std::uint8_t>(at + size - 1) << 16);
    }
    hash = folded_product(a ^ odd_b, b ^ hash);
    hash = folded_product(hash ^ odd_a, odd_b);
    return hash == 0 ? 1 : hash;
}

}  // namespace orch
