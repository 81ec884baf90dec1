// The weights of a ggml engine: named, and recorded when a product first uses them.
#pragma once
#include <cstddef>

#include "core/digest.hpp"
#include "preload/ggml_api.hpp"

namespace orch {

/// The loader put `tensor` into `buffer`; also says that whatever was recorded for this address
/// belongs to an earlier model.
void note_buffer(void* tensor, void* buffer) noexcept;

/// Writes the weight's record if it was not written yet. What its products can be checked with, if
/// anything.
Probes record_weight(const GgmlApi& api, void* weight) noexcept;

/// After a product that its proof calls wrong by `error`: has the weight changed since it was
/// recorded? Then its products are no longer checked.
bool weight_has_changed(const GgmlApi& api, void* weight, double error) noexcept;

/// For a weight whose buffer keeps it in a layout of its own (repacked for the CPU), the upload is
/// the only moment at which the values can be read.
void record_uploaded_weight(const GgmlApi& api, void* tensor, const void* data,
                            std::size_t size) noexcept;

}  // namespace orch
