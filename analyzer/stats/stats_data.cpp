#include <fmt/format.h>

#include "analyzer/stats/stats_print.hpp"
#include "analyzer/util/csv.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

Json moments_json(const Moments& m) {
    Json json{{"records", m.records},
              {"values", m.values},
              {"sane", m.sane},
              {"nan", m.nan},
              {"infinite", m.infinite},
              {"garbage", m.garbage},
              {"garbage_rate", m.garbage_rate()}};
    const bool any = m.sane != 0;
    json["min"] = any ? Json(m.min) : Json();
    json["max"] = any ? Json(m.max) : Json();
    json["mean"] = any ? Json(m.mean) : Json();
    json["std"] = any ? Json(m.deviation()) : Json();
    json["worst_garbage"] = m.garbage == 0 ? Json() : Json(m.worst);
    return json;
}

Json histogram_json(const Histogram& h) {
    Json bins = Json::array();
    const auto add = [&](int sign, int decade, std::uint64_t count) {
        if (count == 0) return;
        bins.push_back({{"sign", sign}, {"decade", decade}, {"count", count}});
    };
    for (int d = Histogram::decades - 1; d >= 0; --d)
        add(-1, d + Histogram::lowest, h.negative[static_cast<std::size_t>(d)]);
    add(0, 0, h.zeros);
    for (int d = 0; d < Histogram::decades; ++d)
        add(1, d + Histogram::lowest, h.positive[static_cast<std::size_t>(d)]);
    return bins;
}

}  // namespace

std::string stats_csv_title() {
    return "file,team,checkpoint,token_idx,records,values,min,max,mean,std,nan,infinite,garbage,"
           "garbage_rate\n";
}

std::string stats_csv(const FileStats& stats) {
    std::string out;
    for (const CheckpointStats& checkpoint : stats.checkpoints) {
        for (const auto& [position, m] : checkpoint.by_position) {
            out +=
                fmt::format("{},{},{},{},{},{},", csv_cell(stats.path), csv_cell(checkpoint.team),
                            csv_cell(checkpoint.checkpoint), position, m.records, m.values);
            out += m.sane == 0 ? ",,,,"
                               : fmt::format("{},{},{},{},", m.min, m.max, m.mean, m.deviation());
            out += fmt::format("{},{},{},{}\n", m.nan, m.infinite, m.garbage, m.garbage_rate());
        }
    }
    return out;
}

Json stats_json(const FileStats& stats) {
    Json checkpoints = Json::array();
    for (const CheckpointStats& checkpoint : stats.checkpoints) {
        Json positions = Json::array();
        for (const auto& [position, moments] : checkpoint.by_position) {
            Json row{{"token_idx", position}};
            row.update(moments_json(moments));
            positions.push_back(std::move(row));
        }
        Json json{{"team", checkpoint.team}, {"checkpoint", checkpoint.checkpoint}};
        json.update(moments_json(checkpoint.all));
        json["histogram"] = histogram_json(checkpoint.histogram);
        json["positions"] = std::move(positions);
        checkpoints.push_back(std::move(json));
    }
    Json garbage = Json::array();
    for (const GarbageValue& value : stats.garbage) {
        garbage.push_back({{"line", value.line},
                           {"checkpoint", value.checkpoint},
                           {"token_idx", value.token_idx},
                           {"index", value.index},
                           {"value", value.value}});
    }
    return {{"path", stats.path},
            {"bad_lines", stats.counts.bad_lines},
            {"all", moments_json(stats.all)},
            {"checkpoints", std::move(checkpoints)},
            {"garbage", std::move(garbage)}};
}

}  // namespace orch
