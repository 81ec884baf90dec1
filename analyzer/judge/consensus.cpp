// More than two engines: who stands apart.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "analyzer/judge/comparison.hpp"
#include "analyzer/judge/facts.hpp"
#include "analyzer/judge/judge.hpp"
#include "analyzer/judge/plain.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

/// An engine stands apart if its median distance is so many times the median of the others'.
constexpr double apart = 4;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

using Matrix = std::vector<std::vector<double>>;

double known_median(std::vector<double> values) {
    std::erase_if(values, [](double value) { return std::isnan(value); });
    return values.empty() ? unknown : median(std::move(values));
}

/// The pairs' order: (0,1), (0,2), …, (1,2), …
template <class Do>
void each_pair(std::size_t engines, const Do& action) {
    std::size_t index = 0;
    for (std::size_t i = 0; i < engines; ++i)
        for (std::size_t j = i + 1; j < engines; ++j)
            action(i, j, index++);
}

Matrix empty_matrix(std::size_t engines) {
    Matrix matrix(engines, std::vector<double>(engines, unknown));
    for (std::size_t i = 0; i < engines; ++i)
        matrix[i][i] = 0;
    return matrix;
}

/// Engines that share a kernel library make the same mistakes: each group has one vote.
std::vector<std::size_t> group_of(const std::vector<const EngineTrace*>& engines) {
    std::vector<std::size_t> group(engines.size());
    std::iota(group.begin(), group.end(), std::size_t{0});
    for (std::size_t i = 0; i < engines.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            const auto a = kernel_libraries(*engines[i]);
            const auto b = kernel_libraries(*engines[j]);
            const bool shared = std::any_of(a.begin(), a.end(), [&](const std::string& library) {
                return std::find(b.begin(), b.end(), library) != b.end();
            });
            if (!shared) continue;
            const std::size_t from = group[i];
            for (std::size_t& one : group)
                if (one == from) one = group[j];
        }
    return group;
}

/// Distance of an engine to the others, each group of them counted once.
double distance_to_others(const Matrix& matrix, const std::vector<std::size_t>& group,
                          std::size_t engine) {
    std::map<std::size_t, std::vector<double>> by_group;
    for (std::size_t j = 0; j < matrix.size(); ++j)
        if (j != engine) by_group[group[j]].push_back(matrix[engine][j]);
    std::vector<double> votes;
    for (const auto& [name, distances] : by_group)
        votes.push_back(known_median(distances));
    return known_median(std::move(votes));
}

struct Apart {
    std::size_t engine = 0;
    double ratio = 0;
};

/// The engine that is far from all while the others are near each other.
std::optional<Apart> find_outlier(const Matrix& matrix, const std::vector<std::size_t>& group) {
    if (matrix.size() < 3 || std::set<std::size_t>(group.begin(), group.end()).size() < 2)
        return {};
    std::optional<Apart> found;
    for (std::size_t i = 0; i < matrix.size(); ++i) {
        const double own = distance_to_others(matrix, group, i);
        std::vector<double> rest;
        for (std::size_t j = 0; j < matrix.size(); ++j)
            for (std::size_t k = j + 1; k < matrix.size(); ++k)
                if (j != i && k != i) rest.push_back(matrix[j][k]);
        const double others = known_median(std::move(rest));
        if (std::isnan(own) || std::isnan(others)) continue;
        // Two runs that agree to the bit have no distance; the arithmetic has.
        const double ratio = own / std::max(others, floors::f32);
        if (ratio > apart && (!found || ratio > found->ratio)) found = Apart{i, ratio};
    }
    return found;
}

/// What is compared at the end of plain lines.
std::map<std::string, double> errors_of_plain(const Alignment& alignment,
                                              const JudgeOptions& options, double& end) {
    PairReport report;
    judge_plain(alignment, nullptr, options, report);
    std::map<std::string, double> errors;
    for (const SiteRow& site : report.sites)
        if (site.output_error) errors[site.checkpoint] = *site.output_error;
    end = report.sites.empty() ? unknown : report.worst_error;
    return errors;
}

void tell_verdict(Report& report) {
    std::size_t parted = 0;
    std::size_t not_comparable = 0;
    for (const PairReport& pair : report.pairs) {
        parted += pair.verdict == Verdict::divergence ? 1 : 0;
        not_comparable += pair.verdict == Verdict::not_comparable ? 1 : 0;
    }
    report.verdict = parted > 0           ? Verdict::divergence
                     : not_comparable > 0 ? Verdict::not_comparable
                                          : Verdict::parity;
    if (report.pairs.size() == 1) {
        report.headline = report.pairs.front().headline;
        return;
    }
    const std::string& reference = report.pairs.front().a.team;
    if (!report.outlier.empty())
        report.headline =
            fmt::format("{} stands apart: {}", report.outlier, report.outlier_because);
    else if (parted > 0)
        report.headline =
            fmt::format("{} of {} engines part from {}", parted, report.pairs.size(), reference);
    else if (not_comparable > 0)
        report.headline = fmt::format("{} of {} engines cannot be compared with {}", not_comparable,
                                      report.pairs.size(), reference);
    else
        report.headline =
            fmt::format("all {} engines compute what {} computes", report.pairs.size(), reference);
}

}  // namespace

Report judge_all(std::vector<PairReport> pairs, const std::vector<Alignment>& all,
                 const std::vector<const EngineTrace*>& engines, const std::string& baseline,
                 const JudgeOptions& options) {
    Report report;
    report.pairs = std::move(pairs);
    const std::size_t count = engines.size();
    for (const EngineTrace* engine : engines)
        report.teams.push_back(engine->team);
    if (report.pairs.empty()) return report;

    report.matrix = empty_matrix(count);
    std::map<std::string, Matrix> by_place;
    std::vector<std::string> places;  // in the order of the reference
    each_pair(count, [&](std::size_t i, std::size_t j, std::size_t index) {
        if (index >= all.size() || !all[index].not_comparable.empty()) return;
        const Alignment& alignment = all[index];
        std::map<std::string, double> errors;
        double end = unknown;
        if (is_plain(alignment)) {
            errors = errors_of_plain(alignment, options, end);
        } else {
            Measurer measurer{alignment};
            const Comparison comparison = compare_passes(alignment, options, {}, measurer);
            int parted = -1;
            for (const PassReadings& pass : comparison.readings)
                for (const SiteReading& site : pass)
                    if (site.token_differs && parted < 0) parted = site.pass + 1;
            errors = errors_by_place(comparison, parted);
            end = final_error(comparison, parted);
        }
        report.matrix[i][j] = report.matrix[j][i] = end;
        for (const auto& [place, error] : errors) {
            const auto [found, fresh] = by_place.emplace(place, empty_matrix(count));
            found->second[i][j] = found->second[j][i] = error;
        }
        if (index == 0)
            for (const Site& site : alignment.sites)
                if (std::find(places.begin(), places.end(), site.label) == places.end())
                    places.push_back(site.label);
    });
    for (const auto& [place, matrix] : by_place)
        if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);

    const std::vector<std::size_t> group = group_of(engines);
    std::map<std::size_t, std::vector<std::string>> members;
    for (std::size_t i = 0; i < count; ++i)
        members[group[i]].push_back(report.teams[i]);
    for (auto& [first, teams] : members)
        if (teams.size() > 1) report.shared_libraries.push_back(std::move(teams));

    double nearest_to_all = unknown;
    for (std::size_t i = 0; i < count; ++i) {
        const double own = distance_to_others(report.matrix, group, i);
        if (std::isnan(own) || (!std::isnan(nearest_to_all) && own >= nearest_to_all)) continue;
        nearest_to_all = own;
        report.medoid = report.teams[i];
    }
    if (const auto outlier = find_outlier(report.matrix, group)) {
        report.outlier = report.teams[outlier->engine];
        report.outlier_because = fmt::format(
            "at the end it is {:.0f} times as far from the others as they are from "
            "each other",
            outlier->ratio);
    }
    for (const std::string& place : places) {
        const auto found = by_place.find(place);
        if (found == by_place.end()) continue;
        if (const auto outlier = find_outlier(found->second, group))
            report.outliers.push_back({place, report.teams[outlier->engine], outlier->ratio});
    }
    const auto base = std::find(report.teams.begin(), report.teams.end(), baseline);
    if (base != report.teams.end()) {
        const auto row = static_cast<std::size_t>(base - report.teams.begin());
        double least = unknown;
        for (std::size_t j = 0; j < count; ++j) {
            const double distance = report.matrix[row][j];
            if (j == row || std::isnan(distance) || (!std::isnan(least) && distance >= least))
                continue;
            least = distance;
            report.nearest = report.teams[j];
        }
    }
    tell_verdict(report);
    return report;
}

}  // namespace orch
