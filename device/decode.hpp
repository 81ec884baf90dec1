// From a record of the ring to core's own digest, and to the projections of a proof.
#pragma once
#include "core/digest.hpp"
#include "device/protocol.hpp"

namespace orch::device {

/// `extremes` as in core's DigestRequest: an input's record does without.
void to_digest(const SideResult& result, const Operand& operand, bool extremes,
               Digest& digest) noexcept;

/// Of an input with Job::probes. `projection.probes` is the caller's to set: prove() asks it for
/// the shape of the weight, and reads none of its floats.
void to_projection(const SideResult& result, Projection& projection) noexcept;

}  // namespace orch::device
