// Checks write_f32 on every finite positive float, or on one slice of them:
//
//   float_text_all [slice slices]
//
// Each text must equal that of std::to_chars (but for the one documented float) and must come back
// bit for bit both as a float and as a double that is narrowed. The sign is an independent path:
// negative values are checked on every 64th pattern. Takes minutes; not part of the normal tests.

#include <bit>
#include <charconv>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/float_text.hpp"

namespace {

constexpr std::uint32_t infinity = 0x7f800000u;
constexpr std::uint32_t exception = 0x15ae43fdu;

bool reads_back(const char* text, const char* end, float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    float as_float = 0;
    double as_double = 0;
    const auto one = std::from_chars(text, end, as_float);
    const auto two = std::from_chars(text, end, as_double);
    return one.ec == std::errc{} && one.ptr == end && two.ec == std::errc{} && two.ptr == end &&
           std::bit_cast<std::uint32_t>(as_float) == bits &&
           std::bit_cast<std::uint32_t>(static_cast<float>(as_double)) == bits;
}

bool check(float value) {
    char mine[orch::max_f32_text + 1];
    mine[orch::max_f32_text] = '#';
    const char* const end = orch::write_f32(mine, value);
    char reference[32];
    const char* const reference_end =
        std::to_chars(reference, reference + sizeof reference, value).ptr;

    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    bool same = end - mine == reference_end - reference &&
                std::memcmp(mine, reference, static_cast<std::size_t>(end - mine)) == 0;
    if (magnitude == exception) same = end - mine == reference_end - reference + 1;
    if (bits == 0x80000000u) same = end - mine == 4 && std::memcmp(mine, "-0.0", 4) == 0;
    const bool good = same && mine[orch::max_f32_text] == '#' && reads_back(mine, end, value);
    if (!good) {
        std::printf("%08" PRIx32 ": %.*s, std::to_chars %.*s\n", bits, static_cast<int>(end - mine),
                    mine, static_cast<int>(reference_end - reference), reference);
    }
    return good;
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t slice = argc == 3 ? std::strtoull(argv[1], nullptr, 10) : 0;
    const std::uint64_t slices = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 1;
    if (slices == 0 || slice >= slices) {
        std::fprintf(stderr, "usage: %s [slice slices]\n", argv[0]);
        return 2;
    }
    const std::uint64_t begin = infinity * slice / slices;
    const std::uint64_t end = infinity * (slice + 1) / slices;
    std::uint64_t bad = 0;
    for (std::uint64_t i = begin; i < end && bad < 100; ++i) {
        const auto bits = static_cast<std::uint32_t>(i);
        bad += !check(std::bit_cast<float>(bits));
        if (bits % 64 == 0 || bits == exception)
            bad += !check(std::bit_cast<float>(bits | 1u << 31));
        if ((bits & 0x03ffffffu) == 0) {
            std::fprintf(stderr, "%" PRIu64 " / %" PRIu64 "\n", i - begin, end - begin);
        }
    }
    std::printf("%" PRIu64 " floats from %08" PRIx64 ", %" PRIu64 " wrong\n", end - begin, begin,
                bad);
    return bad != 0;
}
