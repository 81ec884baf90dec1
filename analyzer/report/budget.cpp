#include "analyzer/report/budget.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <cmath>
#include <fstream>
#include <limits>

#include "analyzer/report/numbers.hpp"
#include "analyzer/report/wording.hpp"

namespace orch {
namespace {

/// Errors; the counts among the limits have no margin.
struct Measured {
    Limits errors;
    Limits counts;
    Limits coverage;
};

void add(Limits& limits, const std::string& name, double value) {
    const auto known = std::find_if(limits.begin(), limits.end(),
                                    [&](const auto& limit) { return limit.first == name; });
    if (known == limits.end()) {
        limits.emplace_back(name, value);
    } else {
        known->second = std::max(known->second, value);
    }
}

Measured measure_all(const PairReport& pair) {
    Measured m;
    add(m.errors, "at the end", pair.worst_error);
    for (const SiteRow& site : pair.sites) {
        if (site.input_error) add(m.errors, site.checkpoint + " input", *site.input_error);
        if (site.output_error) add(m.errors, site.checkpoint + " output", *site.output_error);
    }
    for (const LayerDrift& layer : pair.drift.layers)
        add(m.errors, fmt::format("layer {}", layer.layer), layer.error);
    const TokenCounts tokens = count_tokens(pair.tokens);
    if (tokens.max_kl) add(m.errors, "KL", *tokens.max_kl);
    add(m.counts, "hard flips", static_cast<double>(tokens.hard));
    add(m.counts, "ties", static_cast<double>(tokens.ties));
    const SiteCounts sites = count_sites(pair);
    add(m.coverage, "places measured", static_cast<double>(sites.measured));
    add(m.coverage, "products and tensors compared", static_cast<double>(sites.products));
    add(m.coverage, "positions compared", static_cast<double>(tokens.compared));
    add(m.coverage, "weights matched", static_cast<double>(pair.weights_matched));
    return m;
}

const double* find(const Limits& limits, const std::string& name) {
    for (const auto& [known, value] : limits) {
        if (known == name) return &value;
    }
    return nullptr;
}

constexpr Grade grades[] = {Grade::identical, Grade::within_floor, Grade::reasonable,
                            Grade::poor,      Grade::bad,          Grade::none};

std::ptrdiff_t rank(Grade grade) {
    return std::find(std::begin(grades), std::end(grades), grade) - std::begin(grades);
}

std::string divergence_of(const PairReport& pair) {
    return pair.first_divergence ? pair.first_divergence->checkpoint : std::string{};
}

class Checker {
  public:
    explicit Checker(const Budget& budget) : budget_(budget) {}

    BudgetCheck check(const PairReport& pair) {
        const Measured measured = measure_all(pair);
        Limits all = measured.errors;
        all.insert(all.end(), measured.counts.begin(), measured.counts.end());
        for (const auto& [name, allowed] : budget_.at_most)
            at_most(name, find(all, name), allowed);
        for (const auto& [name, error] : measured.errors)
            note_nearest(name, error);
        for (const auto& [name, value] : measured.errors)
            result_.unlimited += find(budget_.at_most, name) == nullptr ? 1 : 0;
        for (const auto& [name, wanted] : budget_.at_least)
            at_least(name, find(measured.coverage, name), wanted);
        ++result_.limits;
        if (rank(pair.grade) > rank(budget_.grade)) {
            broken("grade", fmt::format("the grade is {}; {} is allowed", grade_name(pair.grade),
                                        grade_name(budget_.grade)));
        }
        const std::string found = divergence_of(pair);
        ++result_.limits;
        if (!found.empty() && found != budget_.first_divergence) {
            broken("first divergence", fmt::format("{} diverges{}", found,
                                                   budget_.first_divergence.empty()
                                                       ? std::string{}
                                                       : "; known is " + budget_.first_divergence));
        }
        return std::move(result_);
    }

  private:
    void at_most(const std::string& name, const double* measured, double allowed) {
        ++result_.limits;
        if (measured == nullptr) {
            result_.broken.push_back({name, std::numeric_limits<double>::quiet_NaN(), allowed,
                                      fmt::format("{}: not measured any more", name)});
            return;
        }
        // A value that is no number keeps no limit.
        if (!(*measured <= allowed)) {
            result_.broken.push_back({name, *measured, allowed, {}});
        }
    }

    void note_nearest(const std::string& name, double error) {
        const double* allowed = find(budget_.at_most, name);
        if (allowed == nullptr || !(*allowed > 0)) return;
        const double part = error / *allowed;
        if (part <= result_.nearest_part && !result_.nearest.empty()) return;
        result_.nearest = name;
        result_.nearest_part = part;
    }

    void at_least(const std::string& name, const double* measured, double wanted) {
        ++result_.limits;
        const double seen = measured == nullptr ? 0 : *measured;
        if (seen >= wanted) return;
        result_.broken.push_back(
            {name, seen, wanted, fmt::format("{}: {}, {} are wanted", name, seen, wanted)});
    }

    void broken(const std::string& what, const std::string& sentence) {
        result_.broken.push_back({what, 0, 0, sentence});
    }

    const Budget& budget_;
    BudgetCheck result_;
};

std::string change(const std::string& name, double from, double to) {
    return fmt::format("{}: {} to {}", name, error_text(from), error_text(to));
}

/// Old limits that hold are kept or tightened; broken ones take the new value.
Limits merged(const Limits& old, const Limits& fresh, const Limits& measured, bool at_most,
              Tightened& result) {
    Limits all;
    for (auto [name, limit] : old) {
        const double* now = find(fresh, name);
        const double* value = find(measured, name);
        if (now == nullptr || value == nullptr) {
            result.looser.push_back(fmt::format("{}: {} to no limit", name, error_text(limit)));
            continue;
        }
        const bool is_broken = at_most ? !(*value <= limit) : *value < limit;
        if (is_broken) {
            result.looser.push_back(change(name, limit, *now));
            limit = *now;
        } else if (at_most ? *now < limit : *now > limit) {
            ++result.tighter;
            limit = *now;
        }
        all.emplace_back(name, limit);
    }
    for (const auto& [name, limit] : fresh) {
        if (find(old, name) != nullptr) continue;
        ++result.tighter;
        all.emplace_back(name, limit);
    }
    return all;
}

using Json = nlohmann::ordered_json;

Json limits_json(const Limits& limits) {
    Json json = Json::object();
    for (const auto& [name, value] : limits)
        json[name] = json_number(value);
    return json;
}

Limits limits_of(const Json& json) {
    Limits limits;
    for (const auto& [name, value] : json.items())
        limits.emplace_back(name, value.get<double>());
    return limits;
}

Budget budget_of_json(const Json& json) {
    Budget budget;
    budget.reference = json.at("reference");
    budget.other = json.at("other");
    budget.margin = json.at("margin");
    const std::string grade = json.at("grade");
    const auto known = std::find_if(std::begin(grades), std::end(grades),
                                    [&](Grade g) { return grade_name(g) == grade; });
    if (known == std::end(grades)) throw std::runtime_error("no such grade: " + grade);
    budget.grade = *known;
    if (!json.at("first_divergence").is_null()) budget.first_divergence = json["first_divergence"];
    budget.at_most = limits_of(json.at("at_most"));
    budget.at_least = limits_of(json.at("at_least"));
    for (const Json& entry : json.at("loosened"))
        budget.loosened.push_back({entry.at("reason"), entry.at("what")});
    return budget;
}

}  // namespace

Budget budget_of(const PairReport& pair, double margin) {
    const Measured measured = measure_all(pair);
    Budget budget;
    budget.reference = pair.a.team;
    budget.other = pair.b.team;
    budget.margin = margin;
    budget.grade = pair.grade;
    budget.first_divergence = divergence_of(pair);
    for (const auto& [name, error] : measured.errors) {
        // Six digits are what the file keeps: the limit must not be less than what set it.
        const double limit = std::max(error * margin, least_limit) * (1 + 1e-5);
        // No limit is like infinity, and a file cannot hold one.
        if (std::isfinite(limit))
            budget.at_most.emplace_back(name, json_number(limit).get<double>());
    }
    budget.at_most.insert(budget.at_most.end(), measured.counts.begin(), measured.counts.end());
    budget.at_least = measured.coverage;
    return budget;
}

BudgetCheck check_budget(const Budget& budget, const PairReport& pair) {
    return Checker{budget}.check(pair);
}

Tightened tighten(const Budget& old, const PairReport& pair, double margin,
                  const std::string& reason) {
    const Budget fresh = budget_of(pair, margin);
    const Measured measured = measure_all(pair);
    Limits all = measured.errors;
    all.insert(all.end(), measured.counts.begin(), measured.counts.end());
    Tightened result;
    Budget& budget = result.budget;
    budget = fresh;
    budget.loosened = old.loosened;
    budget.at_most = merged(old.at_most, fresh.at_most, all, true, result);
    budget.at_least = merged(old.at_least, fresh.at_least, measured.coverage, false, result);
    if (rank(fresh.grade) > rank(old.grade)) {
        result.looser.push_back(
            fmt::format("grade: {} to {}", grade_name(old.grade), grade_name(fresh.grade)));
    } else if (fresh.grade != old.grade) {
        ++result.tighter;
    }
    if (fresh.first_divergence != old.first_divergence) {
        if (fresh.first_divergence.empty()) {
            ++result.tighter;
        } else {
            result.looser.push_back(
                fmt::format("first divergence: {} to {}",
                            old.first_divergence.empty() ? "none" : old.first_divergence,
                            fresh.first_divergence));
        }
    }
    if (!result.looser.empty()) budget.loosened.push_back({reason, result.looser});
    return result;
}

Json budget_json(const Budget& budget) {
    Json loosened = Json::array();
    for (const Loosening& entry : budget.loosened)
        loosened.push_back({{"reason", entry.reason}, {"what", entry.what}});
    return {{"orchtrace_budget", budget_schema_version},
            {"reference", budget.reference},
            {"other", budget.other},
            {"margin", json_number(budget.margin)},
            {"grade", grade_name(budget.grade)},
            {"first_divergence",
             budget.first_divergence.empty() ? Json{} : Json(budget.first_divergence)},
            {"at_most", limits_json(budget.at_most)},
            {"at_least", limits_json(budget.at_least)},
            {"loosened", loosened}};
}

Budget read_budget(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(fmt::format("{}: cannot be read", path));
    const Json json = Json::parse(in, nullptr, false);
    if (!json.is_object() || !json.contains("orchtrace_budget")) {
        throw std::runtime_error(
            fmt::format("{}: this is no budget; 'orchtrace baseline save' writes one", path));
    }
    if (json["orchtrace_budget"] != budget_schema_version) {
        throw std::runtime_error(fmt::format("{}: a budget of another version: {}; save it again",
                                             path, json["orchtrace_budget"].dump()));
    }
    try {
        return budget_of_json(json);
    } catch (const std::exception& error) {
        std::string_view why = error.what();  // "[json.exception.type_error.302] type must be …"
        if (why.starts_with("[json")) why.remove_prefix(why.find(']') + 2);
        throw std::runtime_error(fmt::format("{}: a budget with an error: {}", path, why));
    }
}

}  // namespace orch
