#include <fmt/format.h>

#include "analyzer/report/numbers.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/util/csv.hpp"

namespace orch {
namespace {

using Cells = std::vector<std::string>;

void add(std::string& out, const Cells& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i)
        out += (i == 0 ? "" : ",") + csv_cell(cells[i]);
    out += '\n';
}

std::string unless_negative(std::int64_t number) {
    return number < 0 ? std::string{} : std::to_string(number);
}

void add_tokens(std::string& out, const PairReport& pair) {
    for (const TokenRow& row : pair.tokens) {
        add(out, {pair.a.team, pair.b.team, std::to_string(row.position), csv_number(row.max_abs),
                  csv_number(row.mean_abs), csv_number(row.error), csv_number(row.max_rel),
                  unless_negative(row.argmax_a), unless_negative(row.argmax_b), row.flip,
                  csv_number(row.margin), csv_number(row.kl), csv_number(row.top5),
                  csv_number(row.top10), std::to_string(row.garbage_a),
                  std::to_string(row.garbage_b), row.skipped});
    }
}

void add_sites(std::string& out, const PairReport& pair) {
    for (const SiteRow& site : pair.sites) {
        add(out,
            {pair.a.team, pair.b.team, site.checkpoint, unless_negative(site.layer), site.op,
             site.state, site.a, site.b, std::to_string(site.pairs), csv_number(site.input_error),
             csv_number(site.output_error), csv_number(site.floor), csv_number(site.proof_a),
             csv_number(site.proof_b), site.evidence});
    }
}

void add_drift(std::string& out, const PairReport& pair) {
    for (const LayerDrift& layer : pair.drift.layers) {
        add(out, {pair.a.team, pair.b.team, std::to_string(layer.layer), csv_number(layer.error),
                  csv_number(layer.growth)});
    }
}

std::string matrix_csv(const Report& report) {
    Cells title{"distance"};
    title.insert(title.end(), report.teams.begin(), report.teams.end());
    std::string out;
    add(out, title);
    for (std::size_t i = 0; i < report.matrix.size() && i < report.teams.size(); ++i) {
        Cells cells{report.teams[i]};
        for (const double distance : report.matrix[i])
            cells.push_back(csv_number(distance));
        add(out, cells);
    }
    return out;
}

}  // namespace

std::string report_csv(const Report& report, CsvTable table) {
    if (table == CsvTable::matrix) return matrix_csv(report);
    std::string out;
    Cells title{"reference", "other"};
    const auto titled = [&](const Cells& rest) {
        title.insert(title.end(), rest.begin(), rest.end());
        add(out, title);
    };
    void (*rows)(std::string&, const PairReport&) = add_tokens;
    switch (table) {
        case CsvTable::sites:
            titled({"checkpoint", "layer", "op", "state", "in_reference", "in_other", "pairs",
                    "input_error", "output_error", "floor", "proof_reference", "proof_other",
                    "evidence"});
            rows = add_sites;
            break;
        case CsvTable::drift:
            titled({"layer", "error", "growth"});
            rows = add_drift;
            break;
        default:
            titled({"token_idx", "max_abs_diff", "mean_abs_diff", "relative_error", "max_rel_diff",
                    "argmax_reference", "argmax_other", "flip", "margin", "kl", "top5", "top10",
                    "garbage_reference", "garbage_other", "skipped"});
            break;
    }
    for (const PairReport& pair : report.pairs)
        rows(out, pair);
    return out;
}

}  // namespace orch
