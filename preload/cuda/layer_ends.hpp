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
        const bool reads_it = inputs == outputs_before_ || 2 * inputs == outputs_before_;
        const bool is_end = reads_it && inputs > outputs && outputs == inputs_before_;
        // Vocabularies have 3.9 to 140 times the width of their model, Q, K and V in one 3 times.
        const bool is_head = after_end_ && inputs == outputs_before_ && 2 * outputs > 7 * inputs;
        inputs_before_ = inputs;
        outputs_before_ = outputs;
        after_end_ = is_end;
        return is_end    ? CheckpointGroup::layers
               : is_head ? CheckpointGroup::logits
                         : CheckpointGroup::gemm;
    }

  private:
    std::int64_t inputs_before_ = 0;
    std::int64_t outputs_before_ = 0;
    bool after_end_ = false;
};

}  // namespace orch::cuda
