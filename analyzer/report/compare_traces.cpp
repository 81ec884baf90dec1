#include "analyzer/report/compare_traces.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>

#include "analyzer/align/load_engine.hpp"
#include "analyzer/util/text.hpp"
#include "analyzer/weights/model_index.hpp"

namespace orch {
namespace {

/// What tells a file from others: its name, with its folder where names are the same.
std::string label_of(const LoadedEngine& source, const std::vector<LoadedEngine>& all) {
    const std::filesystem::path path{source.engine.path};
    const bool is_unique =
        1 == std::count_if(all.begin(), all.end(), [&](const LoadedEngine& other) {
            return std::filesystem::path{other.engine.path}.stem() == path.stem();
        });
    const std::string folder = path.parent_path().filename().string();
    return is_unique || folder.empty() ? path.stem().string()
                                       : fmt::format("{}/{}", folder, path.stem().string());
}

/// Two traces of one team must not read alike.
void tell_apart(std::vector<LoadedEngine>& sources) {
    std::map<std::string, int> count;
    for (const LoadedEngine& source : sources)
        ++count[source.engine.team];
    std::map<std::string, int> taken;
    for (LoadedEngine& source : sources) {
        std::string& team = source.engine.team;
        const bool shared = count[team] > 1;
        if (team.empty()) team = "an unnamed engine";
        if (shared) team = fmt::format("{} ({})", team, label_of(source, sources));
        const int number = ++taken[team];
        if (number > 1) team += fmt::format(" #{}", number);
    }
}

std::string team_of(const std::vector<LoadedEngine>& sources, const std::string& wanted) {
    if (wanted.empty()) return sources.front().engine.team;
    std::vector<std::string> teams;
    for (const LoadedEngine& source : sources) {
        const std::string& team = source.engine.team;
        if (team == wanted || source.engine.path == wanted || team.starts_with(wanted + " "))
            return team;
        teams.push_back(team);
    }
    throw std::invalid_argument(
        fmt::format("--baseline {}: no such engine; there are {}", wanted, joined(teams, ", ")));
}

void count_weights(const Alignment& alignment, PairReport& pair) {
    pair.weights_found_a = pair.weights_found_b = 0;
    for (const WeightMatch& match : alignment.weights) {
        pair.weights_found_a += match.a.size();
        pair.weights_found_b += match.b.size();
    }
}

std::optional<std::size_t> run_of(const ComparisonRequest& request, std::size_t trace) {
    if (request.runs.empty()) return {};
    return request.runs.size() == 1 ? request.runs.front() : request.runs[trace];
}

}  // namespace

Report compare_traces(const ComparisonRequest& request) {
    if (request.runs.size() > 1 && request.runs.size() != request.traces.size()) {
        throw std::invalid_argument(fmt::format(
            "--run: one number for all, or one for each of the {} traces", request.traces.size()));
    }
    const std::optional<ModelIndex> index =
        request.index.empty() ? std::nullopt : std::optional{read_index(request.index)};
    const ModelIndex* names = index ? &*index : nullptr;

    std::vector<LoadedEngine> sources;
    for (std::size_t i = 0; i < request.traces.size(); ++i)
        sources.push_back(load_engine(request.traces[i], run_of(request, i), names));
    tell_apart(sources);
    const std::string baseline = team_of(sources, request.baseline);

    // From here on no engine moves: alignments point to them.
    std::vector<const EngineTrace*> engines;
    engines.reserve(sources.size());
    for (const LoadedEngine& source : sources)
        engines.push_back(&source.engine);
    std::optional<LoadedEngine> again;
    std::optional<Alignment> floor;
    if (!request.floor.empty()) {
        again.emplace(load_engine(request.floor, {}, names));
        floor = align(*engines[0], again->engine);
        if (!floor->not_comparable.empty()) {
            throw std::invalid_argument(
                fmt::format("--floor {}: {}", request.floor, floor->not_comparable.front()));
        }
    }

    std::vector<Alignment> all;
    for (std::size_t i = 0; i < engines.size(); ++i) {
        for (std::size_t j = i + 1; j < engines.size(); ++j)
            all.push_back(align(*engines[i], *engines[j]));
    }
    // The reference's pairs come first in that order.
    std::vector<PairReport> pairs;
    for (std::size_t i = 0; i + 1 < engines.size(); ++i) {
        PairReport pair = judge(all[i], floor ? &*floor : nullptr, request.judge);
        count_weights(all[i], pair);
        for (const LoadedEngine* source : {&sources[0], &sources[i + 1]})
            pair.notes.insert(pair.notes.end(), source->notes.begin(), source->notes.end());
        pairs.push_back(std::move(pair));
    }
    Report report = judge_all(std::move(pairs), all, engines, baseline, request.judge);
    report.baseline = baseline;
    return report;
}

}  // namespace orch
