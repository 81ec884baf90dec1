// What two engines may differ by, kept in a file for CI: limits may be tightened by every good run,
// and loosened only with a reason that stays in the file. docs/REPORT.md, "Budgets".
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "analyzer/judge/report.hpp"

namespace orch {

inline constexpr int budget_schema_version = 1;

/// Below this no error is news, whatever was measured: sums of f32 in another order.
inline constexpr double least_limit = 1e-6;

/// In the order of the report; names are unique.
using Limits = std::vector<std::pair<std::string, double>>;

struct Loosening {
    std::string reason;
    std::vector<std::string> what;  ///< "layer_2_o input: 1e-3 to 4e-3"
};

struct Budget {
    std::string reference;
    std::string other;
    double margin = 2;
    Grade grade = Grade::identical;  ///< the worst that is allowed
    std::string first_divergence;    ///< a known one, by its place; empty: there may be none
    Limits at_most;                  ///< errors and flips
    Limits at_least;                 ///< what must have been looked at
    std::vector<Loosening> loosened;
};

/// The limits that this comparison sets: errors times `margin`, counts as they are.
Budget budget_of(const PairReport& pair, double margin);

/// A limit that is broken.
struct Overrun {
    std::string what;
    double measured = 0;  ///< NaN: not measured
    double allowed = 0;
    std::string sentence;  ///< for what is no number: "grade bad, reasonable is allowed"
};

struct BudgetCheck {
    std::size_t limits = 0;
    std::vector<Overrun> broken;
    std::string nearest;        ///< the limit that is nearest to being broken
    double nearest_part = 0;    ///< measured / allowed
    std::size_t unlimited = 0;  ///< errors that the budget does not know
};
BudgetCheck check_budget(const Budget& budget, const PairReport& pair);

/// The tighter of both for each limit; what `pair` broke takes its new value, which `reason`
/// allows.
struct Tightened {
    Budget budget;
    std::size_t tighter = 0;
    std::vector<std::string> looser;  ///< what had to be loosened
};
Tightened tighten(const Budget& old, const PairReport& pair, double margin,
                  const std::string& reason);

nlohmann::ordered_json budget_json(const Budget& budget);
/// Throws std::runtime_error that names the file.
Budget read_budget(const std::string& path);

}  // namespace orch
