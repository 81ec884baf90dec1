// Which of the digest's inner loops this CPU gets.
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <atomic>

#include "core/digest.hpp"
#include "core/digest_tile.hpp"

namespace orch {

extern constinit const TileKernels tile_kernels_baseline;
#if defined(__x86_64__)
extern constinit const TileKernels tile_kernels_avx2;
extern constinit const TileKernels tile_kernels_avx512;
#endif

namespace {

#if defined(__x86_64__)
struct CpuFeatures {
    bool avx2 = false;
    bool avx512 = false;
};

/// Asked for when the first digest needs it. __builtin_cpu_supports would ask in a constructor, in
/// every /bin/sh that inherits LD_PRELOAD; and on a virtual machine each cpuid traps (some 30 us).
CpuFeatures cpu_features() noexcept {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    CpuFeatures features;
    constexpr unsigned osxsave_bit = 1U << 27;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & osxsave_bit) == 0) return features;
    // What the operating system saves: XMM and YMM, then also the mask and ZMM registers.
    unsigned saved = 0;
    unsigned saved_high = 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return features;
    constexpr unsigned avx2_bit = 1U << 5;
    constexpr unsigned avx512_bits =
        (1U << 16) | (1U << 17) | (1U << 30) | (1U << 31);  // F DQ BW VL
    features.avx2 = (saved & 0x06U) == 0x06U && (ebx & avx2_bit) != 0;
    features.avx512 =
        features.avx2 && (saved & 0xe6U) == 0xe6U && (ebx & avx512_bits) == avx512_bits;
    return features;
}
#endif

const TileKernels* choose_kernels() noexcept {
#if defined(__x86_64__)
    const CpuFeatures features = cpu_features();
    if (features.avx512) return &tile_kernels_avx512;
    if (features.avx2) return &tile_kernels_avx2;
#endif
    return &tile_kernels_baseline;
}

}  // namespace

const TileKernels& tile_kernels() noexcept {
    static constinit std::atomic<const TileKernels*> chosen{nullptr};
    const TileKernels* kernels = chosen.load(std::memory_order_acquire);
    if (kernels == nullptr) {
        kernels = choose_kernels();  // every thread chooses the same
        chosen.store(kernels, std::memory_order_release);
    }
    return *kernels;
}

const char* digest_isa() noexcept {
    return tile_kernels().name;
}

}  // namespace orch
