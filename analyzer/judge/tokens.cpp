#include "analyzer/judge/tokens.hpp"

#include <algorithm>
#include <cmath>

#include "analyzer/judge/metrics.hpp"

namespace orch {
namespace {

/// The largest of some hundred thousand normal values, in standard deviations.
constexpr double largest_of_many = 4.5;

std::uint64_t garbage_of(const RowDigest& row, double limit) {
    return static_cast<std::uint64_t>(row.nonfinite.total()) + (row.absmax >= limit ? 1 : 0);
}

void add_values(TokenRow& token, const MatrixPair::Values& row, std::int64_t cols) {
    const bool whole = static_cast<std::int64_t>(row.a.size()) == cols &&
                       static_cast<std::int64_t>(row.b.size()) == cols;
    if (!whole) return;
    const ValueMetrics metrics = compare_values(row.a, row.b, "f32");
    token.error = metrics.rel_l2;
    token.max_abs = metrics.max_abs;
    token.mean_abs = metrics.mean_abs;
    token.max_rel = metrics.max_rel;
    if (const auto logits = compare_logits(row.a, row.b)) {
        token.margin = logits->margin;
        token.kl = logits->kl;
        token.top5 = logits->top5;
        token.top10 = logits->top10;
    }
}

std::string why_skipped(const TokenRow& token, const JudgeOptions& options) {
    const auto& asked = options.skip_positions;
    if (std::find(asked.begin(), asked.end(), token.position) != asked.end())
        return "asked to be left out";
    if (options.skip_garbage && token.garbage_a + token.garbage_b > 0) return "garbage values";
    return {};
}

}  // namespace

std::vector<TokenRow> token_rows(const PassData& pass, std::span<const SiteReading> readings,
                                 const JudgeOptions& options) {
    const MatrixPair* logits = nullptr;
    const Reading* reading = nullptr;
    for (std::size_t i = 0; i < pass.sites.size(); ++i) {
        const SiteData& site = pass.sites[i];
        for (std::size_t k = 0; k < site.products.size(); ++k)
            if (site.products[k].role.part == Part::head) {
                logits = &site.products[k].y;
                reading = &readings[i].products[k].y;
            }
        if (site.products.empty() && site.site->label == "logits") {
            logits = &site.tensor;
            reading = &readings[i].tensor;
        }
    }
    std::vector<TokenRow> rows;
    if (logits == nullptr || !logits->present) return rows;
    for (const RowPair& row : logits->rows) {
        TokenRow token;
        token.position = row.position;
        if (logits->same_features) {
            token.argmax_a = row.a.argmax.value_or(-1);
            token.argmax_b = row.b.argmax.value_or(-1);
        }
        token.garbage_a = garbage_of(row.a, options.garbage);
        token.garbage_b = garbage_of(row.b, options.garbage);
        const auto known = reading->rows.find(row.position);
        if (known != reading->rows.end()) {
            token.error = known->second.error;
            token.expected = known->second.expected;
        }
        token.size = std::sqrt(row.a.energy /
                               static_cast<double>(std::max<std::int64_t>(1, logits->a.cols)));
        for (const MatrixPair::Values& values : logits->values)
            if (values.position == row.position) add_values(token, values, logits->a.cols);
        token.skipped = why_skipped(token, options);
        rows.push_back(std::move(token));
    }
    return rows;
}

double logit_floor(std::span<const TokenRow> floor_rows) {
    std::vector<double> largest;
    for (const TokenRow& row : floor_rows) {
        if (!row.skipped.empty()) continue;
        if (row.max_abs)
            largest.push_back(*row.max_abs);
        else if (row.error)
            largest.push_back(largest_of_many * *row.error * row.size);
    }
    return percentile(std::move(largest), 0.99);
}

void classify_flips(std::span<TokenRow> rows, double logit_floor) {
    for (TokenRow& row : rows) {
        row.flip.clear();
        if (row.argmax_a == row.argmax_b || row.argmax_a < 0 || row.argmax_b < 0) continue;
        const double floor = std::max(logit_floor, largest_of_many * row.expected * row.size);
        const bool tie = row.margin ? *row.margin <= 2 * floor
                                    : row.error && *row.error <= floors::suspicious * row.expected;
        row.flip = tie ? "tie" : "hard";
    }
}

}  // namespace orch
