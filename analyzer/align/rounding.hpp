// How far the rounding of an element type moves a weight.
#pragma once
#include <string_view>

namespace orch {

/// Relative RMS error of normally distributed weights in this type; 0: f32 and f64, or unknown.
double rounding_of(std::string_view dtype);

}  // namespace orch
