// The kernels' fatbin, linked into the library.
#pragma once
#include <span>

extern "C" {
__attribute__((visibility("hidden"))) extern const unsigned char orch_fatbin[];
__attribute__((visibility("hidden"))) extern const unsigned char orch_fatbin_end[];
}

namespace orch::device {

/// Empty where the library was built without a CUDA compiler. Aligned to 64 bytes.
inline std::span<const unsigned char> fatbin() noexcept {
    return {orch_fatbin, orch_fatbin_end};
}

}  // namespace orch::device
