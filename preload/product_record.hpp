// One record for every product, whichever library computed it.
#pragma once
#include <string_view>

#include "preload/blas_call.hpp"
#include "preload/hook.hpp"

namespace orch {

/// After the call: digests both sides, names the weight, writes the record. `op` is the function
/// that was called.
void record_product(const Hook& hook, std::string_view op, const Product& product,
                    std::int64_t batch_index = -1) noexcept;

}  // namespace orch
