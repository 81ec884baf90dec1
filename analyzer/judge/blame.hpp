// The first place where two engines part, and what speaks for it.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analyzer/judge/flow.hpp"
#include "analyzer/judge/signature.hpp"
#include "analyzer/judge/suspect.hpp"

namespace orch {

using PassReadings = std::vector<SiteReading>;

struct Blame {
    SuspectPlace place;
    Suspect suspect;
    std::vector<Finding> findings;  ///< by falling confidence; may be empty
    /// What shows it, where that is not the place itself: a product that is right by its own
    /// numbers, so that its input must be wrong.
    const Reading* shown_by = nullptr;
};

struct BlameResult {
    std::optional<Blame> blame;
    /// Larger than expected and not explained by any bug: sentences for the report.
    std::vector<std::string> doubts;
    /// From this pass on the engines were fed different tokens; -1: never.
    int tokens_part_at = -1;
};

BlameResult find_blame(const Alignment& alignment, const std::vector<PassReadings>& readings,
                       Measurer& measurer, const FlowOptions& options);

/// The report's words for a blamed place.
FirstDivergence describe(const Alignment& alignment, const Blame& blame,
                         const FlowOptions& options);

/// What an engine's own proof of a product may show in correct arithmetic.
/// `arithmetic` is what the product's own may lose.
double proof_floor(const Arithmetic& engine, const std::string& weight_type, double arithmetic);

}  // namespace orch
