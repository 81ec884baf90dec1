// Which products of a model without names end a layer, or make its logits: ORCH_TRACE_CHECKPOINTS
// = layers,logits, the cheapest trace that still says where two engines part.
#pragma once
#include <cstdint>

#include "core/selector.hpp"

namespace orch::cuda {

/// Sees the products of a thread in their order, those of batches (attention) apart. A layer ends
/// with the product that leads from the wide part of its feed-forward network back to the width
/// that the network's first product had read; the head is the one behind it that makes far more
/// than that.
class LayerEnds {
  public:
    constexpr CheckpointGroup group_of(std::int64_t outputs, std::int64_t inputs) noexcept {
        const bool after_end = before_.outputs < 0;
        const std::int64_t made = after_end ? -before_.outputs : before_.outputs;
        const bool reads_it = inputs == made || 2 * inputs == made;
        const bool is_end = reads_it && inputs > outputs && outputs == before_.inputs;
        // Vocabularies have 3.9 to 140 times the width of their model, Q, K and V in one 3 times.
        const bool is_head = after_end && inputs == made && 2 * outputs > 7 * inputs;
        before_ = {static_cast<std::int32_t>(is_end ? -outputs : outputs),
                   static_cast<std::int32_t>(inputs)};
        return is_end    ? CheckpointGroup::layers
               : is_head ? CheckpointGroup::logits
                         : CheckpointGroup::gemm;
    }

  private:
    /// Small, because each thread has one, and a library that is opened late gets few bytes of a
    /// thread.
    struct Shape {
        std::int32_t outputs = 0;  ///< negative: it ended a layer
        std::int32_t inputs = 0;
    };
    Shape before_;
};

}  // namespace orch::cuda
