// Metrics over vectors of values, all in double. A value that is not finite takes no part in a sum;
// it is counted, and its being on one side only is a difference of its own.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace orch {

struct ValueMetrics {
    std::uint64_t count = 0;        ///< pairs that are finite on both sides
    std::uint64_t nonfinite_a = 0;  ///< on one side or both
    std::uint64_t nonfinite_b = 0;
    std::uint64_t nonfinite_apart = 0;  ///< on one side only
    double rel_l2 = 0;                  ///< ‖b-a‖ / ‖a‖
    double cosine = 1;
    double norm_ratio = 1;  ///< ‖b‖ / ‖a‖
    double max_abs = 0;
    double mean_abs = 0;
    double max_rel = 0;  ///< of values above the type's small-value limit
    double max_ulp = 0;
    double sign_agreement = 1;       ///< share with the same sign
    double magnitude_agreement = 1;  ///< share within a factor of ten
    bool same_order = true;          ///< the values rank alike
    bool same_argmax = true;
};

/// `dtype` decides what a unit in the last place is, and from where on a value is small.
ValueMetrics compare_values(std::span<const double> a, std::span<const double> b,
                            std::string_view dtype);

struct TypeFacts {
    int significant_bits = 24;
    double small = 9.5367431640625e-07;  ///< 2^-20: below it only absolute differences count
};
TypeFacts type_facts(std::string_view dtype);

/// Whole vectors of logits.
struct LogitMetrics {
    double kl = 0;      ///< Σ p_a (log p_a - log p_b)
    double margin = 0;  ///< of a: best minus second
    double top5 = 1;    ///< share of a's best five among b's
    double top10 = 1;
    double max_abs = 0;
    std::int64_t argmax_a = -1;
    std::int64_t argmax_b = -1;
};
/// None where a side has a value that is not finite, or the lengths differ.
std::optional<LogitMetrics> compare_logits(std::span<const double> a, std::span<const double> b);

/// Values that look like memory that nobody wrote: |v| of `limit` and more, not finite, or a flood
/// of denormals.
std::uint64_t count_garbage(std::span<const double> values, double limit);

double percentile(std::vector<double> values, double share);  ///< 0 of none

}  // namespace orch
