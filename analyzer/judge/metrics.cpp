#include "analyzer/judge/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace orch {
namespace {

/// The distance of neighbours near `value`, in a type of so many significant bits.
double unit_in_last_place(double value, int significant_bits) {
    if (value == 0) return std::numeric_limits<float>::denorm_min();
    return std::ldexp(1.0, std::ilogb(value) + 1 - significant_bits);
}

std::vector<std::size_t> ranking(std::span<const double> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t i, std::size_t j) { return values[i] > values[j]; });
    return order;
}

double common_share(const std::vector<std::size_t>& a, const std::vector<std::size_t>& b,
                    std::size_t k) {
    k = std::min(k, a.size());
    if (k == 0) return 1;
    const auto end_b = b.begin() + static_cast<std::ptrdiff_t>(k);
    std::size_t common = 0;
    for (std::size_t i = 0; i < k; ++i)
        if (std::find(b.begin(), end_b, a[i]) != end_b) ++common;
    return static_cast<double>(common) / static_cast<double>(k);
}

/// log of the sum of exponentials, without overflow.
double log_sum_exp(std::span<const double> values) {
    const double most = *std::max_element(values.begin(), values.end());
    double sum = 0;
    for (const double value : values)
        sum += std::exp(value - most);
    return most + std::log(sum);
}

bool all_finite(std::span<const double> values) {
    return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

}  // namespace

TypeFacts type_facts(std::string_view dtype) {
    if (dtype == "f64") return {53, 0x1p-40};
    if (dtype == "f16") return {11, 0x1p-10};
    if (dtype == "bf16") return {8, 0x1p-10};
    return {};
}

ValueMetrics compare_values(std::span<const double> a, std::span<const double> b,
                            std::string_view dtype) {
    const TypeFacts type = type_facts(dtype);
    ValueMetrics m;
    double aa = 0;
    double bb = 0;
    double ab = 0;
    double dd = 0;
    double sum_abs = 0;
    std::uint64_t same_sign = 0;
    std::uint64_t same_size = 0;
    std::vector<double> kept_a;
    std::vector<double> kept_b;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        const bool fine_a = std::isfinite(a[i]);
        const bool fine_b = std::isfinite(b[i]);
        m.nonfinite_a += fine_a ? 0 : 1;
        m.nonfinite_b += fine_b ? 0 : 1;
        m.nonfinite_apart += fine_a == fine_b ? 0 : 1;
        if (!fine_a || !fine_b) continue;
        ++m.count;
        kept_a.push_back(a[i]);
        kept_b.push_back(b[i]);
        const double distance = std::abs(b[i] - a[i]);
        const double larger = std::max(std::abs(a[i]), std::abs(b[i]));
        aa += a[i] * a[i];
        bb += b[i] * b[i];
        ab += a[i] * b[i];
        dd += distance * distance;
        sum_abs += distance;
        m.max_abs = std::max(m.max_abs, distance);
        if (larger >= type.small && distance > 0)
            m.max_rel = std::max(m.max_rel, distance / std::max(std::abs(a[i]), type.small));
        m.max_ulp =
            std::max(m.max_ulp, distance / unit_in_last_place(larger, type.significant_bits));
        const bool both_small = larger < type.small;
        same_sign += both_small || std::signbit(a[i]) == std::signbit(b[i]) ? 1 : 0;
        const double smaller = std::min(std::abs(a[i]), std::abs(b[i]));
        same_size += both_small || smaller * 10 >= larger ? 1 : 0;
    }
    if (m.count == 0) return m;
    const auto count = static_cast<double>(m.count);
    constexpr double nothing = 1e-300;
    m.rel_l2 = dd == 0 ? 0 : std::sqrt(dd / std::max(aa, nothing));
    m.cosine = aa == 0 && bb == 0 ? 1 : ab / std::max(std::sqrt(aa) * std::sqrt(bb), nothing);
    m.norm_ratio = aa == 0 && bb == 0 ? 1 : std::sqrt(bb / std::max(aa, nothing));
    m.mean_abs = sum_abs / count;
    m.sign_agreement = static_cast<double>(same_sign) / count;
    m.magnitude_agreement = static_cast<double>(same_size) / count;
    const auto order_a = ranking(kept_a);
    const auto order_b = ranking(kept_b);
    m.same_order = order_a == order_b;
    m.same_argmax = order_a.front() == order_b.front();
    return m;
}

std::optional<LogitMetrics> compare_logits(std::span<const double> a, std::span<const double> b) {
    if (a.size() != b.size() || a.size() < 2 || !all_finite(a) || !all_finite(b)) return {};
    LogitMetrics m;
    const auto order_a = ranking(a);
    const auto order_b = ranking(b);
    m.argmax_a = static_cast<std::int64_t>(order_a[0]);
    m.argmax_b = static_cast<std::int64_t>(order_b[0]);
    m.margin = a[order_a[0]] - a[order_a[1]];
    m.top5 = common_share(order_a, order_b, 5);
    m.top10 = common_share(order_a, order_b, 10);
    const double log_a = log_sum_exp(a);
    const double log_b = log_sum_exp(b);
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double log_p = a[i] - log_a;
        m.kl += std::exp(log_p) * (log_p - (b[i] - log_b));
        m.max_abs = std::max(m.max_abs, std::abs(b[i] - a[i]));
    }
    m.kl = std::max(0.0, m.kl);
    return m;
}

std::uint64_t count_garbage(std::span<const double> values, double limit) {
    std::uint64_t garbage = 0;
    std::uint64_t denormal = 0;
    for (const double value : values) {
        const double size = std::abs(value);
        if (!(size < limit)) ++garbage;
        if (size > 0 && size < std::numeric_limits<float>::min()) ++denormal;
    }
    // One denormal is a small number; half a vector of them was never computed.
    if (denormal * 2 > values.size()) garbage += denormal;
    return garbage;
}

double percentile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    const auto last = static_cast<double>(values.size() - 1);
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::ceil(share * last));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

}  // namespace orch
