// How the error goes through the layers.
#pragma once
#include <span>
#include <vector>

#include "analyzer/judge/blame.hpp"
#include "analyzer/judge/report.hpp"

namespace orch {

/// `errors`: relative errors by layer, ascending.
Drift classify_drift(std::vector<LayerDrift> layers);

/// Of what enters each layer's last site, as root of the mean square over passes, up to
/// `last_pass`; -1: all.
Drift drift_of(std::span<const PassReadings> readings, int last_pass);

}  // namespace orch
