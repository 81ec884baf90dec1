#include "analyzer/judge/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "analyzer/judge/arithmetic.hpp"
#include "analyzer/judge/tokens.hpp"

namespace orch {
namespace {

/// Enough to see the types of every place.
constexpr std::size_t sampled_passes = 4;

bool is_garbage(const RowDigest& row, double limit) {
    return row.absmax >= limit || row.nonfinite.total() > 0;
}

void drop_rows(MatrixPair& matrix, const std::set<std::int64_t>& positions) {
    const std::size_t before = matrix.rows.size();
    std::erase_if(matrix.rows,
                  [&](const RowPair& row) { return positions.contains(row.position); });
    std::erase_if(matrix.values, [&](const auto& row) { return positions.contains(row.position); });
    std::erase_if(matrix.all_a, [&](const auto& row) { return positions.contains(row.first); });
    std::erase_if(matrix.all_b, [&](const auto& row) { return positions.contains(row.first); });
    if (matrix.rows.size() == before) return;
    matrix.same_rows = false;  // sums over all rows hold those that are left out
    matrix.same_bits = false;
    matrix.parts_a.clear();
    matrix.parts_b.clear();
    matrix.a.mixed.reset();
    matrix.b.mixed.reset();
    matrix.a.nonfinite = matrix.b.nonfinite = {};
}

template <class Do>
void each_matrix(PassData& pass, const Do& action) {
    for (SiteData& site : pass.sites) {
        action(site.tensor);
        for (ProductData& product : site.products) {
            action(product.x);
            action(product.y);
        }
    }
}

void leave_out(PassData& pass, const JudgeOptions& options) {
    std::set<std::int64_t> positions(options.skip_positions.begin(), options.skip_positions.end());
    if (options.skip_garbage)
        each_matrix(pass, [&](const MatrixPair& matrix) {
            for (const RowPair& row : matrix.rows)
                if (is_garbage(row.a, options.garbage) || is_garbage(row.b, options.garbage))
                    positions.insert(row.position);
        });
    if (!positions.empty())
        each_matrix(pass, [&](MatrixPair& matrix) { drop_rows(matrix, positions); });
}

template <class Do>
void each_reading(const SiteReading& site, const Do& action) {
    if (site.products.empty()) action(site.site->label + " x", site.tensor);
    for (const ProductReading& product : site.products) {
        action(site.site->label + " x", product.x);
        action(site.site->label + " y " + std::string{part_name(product.role.part)}, product.y);
    }
}

}  // namespace

Comparison compare_passes(const Alignment& alignment, const JudgeOptions& options,
                          std::map<std::string, double> known, Measurer& measurer) {
    Comparison result;
    std::vector<PassData> sample;
    for (std::size_t i = 0; i < std::min(sampled_passes, alignment.passes.size()); ++i)
        sample.push_back(measurer.read(static_cast<int>(i)));
    result.options.a = arithmetic_of(*alignment.a, false, sample);
    result.options.b = arithmetic_of(*alignment.b, true, sample);
    result.options.known = std::move(known);
    sample.clear();
    Flow flow{result.options};
    for (std::size_t i = 0; i < alignment.passes.size(); ++i) {
        PassData pass = measurer.read(static_cast<int>(i));
        std::vector<TokenRow> tokens;
        {
            // Positions that are left out are still shown, so they are read before.
            std::vector<SiteReading> readings = Flow{result.options}.read(pass);
            tokens = token_rows(pass, readings, options);
        }
        leave_out(pass, options);
        result.readings.push_back(flow.read(pass));
        result.tokens.insert(result.tokens.end(), tokens.begin(), tokens.end());
        for (const SiteReading& site : result.readings.back())
            each_reading(site, [&](const std::string&, const Reading& reading) {
                result.measured += reading.measured ? 1 : 0;
            });
    }
    return result;
}

std::map<std::string, double> largest_errors(const Comparison& comparison) {
    std::map<std::string, double> largest;
    for (const PassReadings& pass : comparison.readings)
        for (const SiteReading& site : pass)
            each_reading(site, [&](const std::string& place, const Reading& reading) {
                if (reading.measured) largest[place] = std::max(largest[place], reading.error);
            });
    return largest;
}

std::map<std::string, double> errors_by_place(const Comparison& comparison, int before_pass) {
    std::map<std::string, double> errors;
    for (const PassReadings& pass : comparison.readings)
        for (const SiteReading& site : pass) {
            if (before_pass >= 0 && site.pass >= before_pass) continue;
            const Reading& reading = site.products.empty() ? site.tensor : site.x;
            if (!reading.measured || !std::isfinite(reading.typical)) continue;
            double& error = errors[site.site->label];
            error = std::max(error, reading.whole.value_or(reading.typical));
        }
    return errors;
}

double final_error(const Comparison& comparison, int before_pass) {
    double logits = -1;
    double last = std::numeric_limits<double>::quiet_NaN();
    for (const PassReadings& pass : comparison.readings) {
        for (const SiteReading& site : pass) {
            if (before_pass >= 0 && site.pass >= before_pass) continue;
            if (site.products.empty() && site.site->label == "logits" && site.tensor.measured)
                logits = std::max(logits, site.tensor.error);
            for (const ProductReading& product : site.products)
                if (product.role.part == Part::head && product.y.measured)
                    logits = std::max(logits, product.y.error);
        }
        if (!pass.empty() && (before_pass < 0 || pass.front().pass < before_pass)) {
            const SiteReading& site = pass.back();
            const Reading& reading = site.products.empty() ? site.tensor : site.products.back().y;
            if (reading.measured)
                last = std::isnan(last) ? reading.error : std::max(last, reading.error);
        }
    }
    return logits >= 0 ? logits : last;
}

}  // namespace orch
