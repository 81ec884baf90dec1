#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analyzer/stats/stats_print.hpp"
#include "analyzer/util/table.hpp"

namespace orch {
namespace {

constexpr std::size_t few_lines = 40;
constexpr std::size_t most_lines = 60;
constexpr std::size_t bar_width = 50;

std::string number(double value) {
    return fmt::format("{:.3g}", value);
}

std::string rate(const Moments& m) {
    if (m.garbage == 0) return "";
    return fmt::format("{:.1f} %", 100 * m.garbage_rate());
}

std::string nonfinite(const Moments& m) {
    return m.nan + m.infinite == 0 ? "" : fmt::format("{},{}", m.nan, m.infinite);
}

std::vector<std::string> cells(const std::string& name, const std::string& token,
                               const Moments& m) {
    const bool any = m.sane != 0;
    return {printable(name),
            token,
            grouped(m.values),
            any ? number(m.min) : "",
            any ? number(m.max) : "",
            any ? number(m.mean) : "",
            any ? number(m.deviation()) : "",
            nonfinite(m),
            rate(m)};
}

std::string tokens_text(const CheckpointStats& checkpoint) {
    const std::int64_t first = checkpoint.by_position.begin()->first;
    const std::int64_t last = checkpoint.by_position.rbegin()->first;
    return first == last ? std::to_string(first) : fmt::format("{}..{}", first, last);
}

std::string histogram_text(const CheckpointStats& checkpoint) {
    const Histogram& h = checkpoint.histogram;
    std::vector<std::pair<std::string, std::uint64_t>> bars;
    for (int d = Histogram::decades - 1; d >= 0; --d) {
        bars.emplace_back(fmt::format("-1e{}", d + Histogram::lowest),
                          h.negative[static_cast<std::size_t>(d)]);
    }
    bars.emplace_back("0", h.zeros);
    for (int d = 0; d < Histogram::decades; ++d) {
        bars.emplace_back(fmt::format("1e{}", d + Histogram::lowest),
                          h.positive[static_cast<std::size_t>(d)]);
    }
    const auto filled = [](const auto& bar) { return bar.second != 0; };
    const auto first = std::find_if(bars.begin(), bars.end(), filled);
    const auto last = std::find_if(bars.rbegin(), bars.rend(), filled).base();
    if (first >= last) return {};
    std::uint64_t most = 1;
    for (auto bar = first; bar != last; ++bar)
        most = std::max(most, bar->second);
    std::string out =
        fmt::format("\n  {}: values by power of ten\n", printable(checkpoint.checkpoint));
    for (auto bar = first; bar != last; ++bar) {
        // What is there is seen, however little it is.
        const auto width = (bar->second * bar_width + most - 1) / most;
        out += fmt::format("    {:>7} {:>12}{}{}\n", bar->first, grouped(bar->second),
                           width == 0 ? "" : "  ", std::string(width, '#'));
    }
    return out;
}

std::string head(const FileStats& stats, const Paint& paint) {
    const Moments& m = stats.all;
    std::string text = fmt::format("{}: {} in {}", printable(stats.path),
                                   counted(m.values, "value"), counted(m.records, "record"));
    if (m.nan != 0) text += fmt::format(", {} NaN", grouped(m.nan));
    if (m.infinite != 0) text += fmt::format(", {} infinite", grouped(m.infinite));
    const std::string garbage =
        m.garbage == 0 ? "no garbage"
                       : fmt::format("{} ({:.1f} %) garbage, up to {:.3g}", grouped(m.garbage),
                                     100 * m.garbage_rate(), std::abs(m.worst));
    text += ", " + (m.garbage == 0 ? paint.green(garbage) : paint.red(garbage)) + "\n";
    if (stats.counts.bad_lines != 0) {
        text += fmt::format("  {} bad {} left out; 'orchtrace info' lists them\n",
                            grouped(stats.counts.bad_lines),
                            stats.counts.bad_lines == 1 ? "line was" : "lines were");
    }
    return text;
}

}  // namespace

std::string stats_text(const FileStats& stats, const StatsView& view, const Paint& paint) {
    std::size_t positions = 0;
    for (const CheckpointStats& checkpoint : stats.checkpoints)
        positions += checkpoint.by_position.size();
    const bool by_position = view.by_position || positions <= few_lines;

    std::vector<std::vector<std::string>> rows;
    for (const CheckpointStats& checkpoint : stats.checkpoints) {
        if (!by_position) {
            rows.push_back(cells(checkpoint.checkpoint, tokens_text(checkpoint), checkpoint.all));
            continue;
        }
        for (const auto& [position, moments] : checkpoint.by_position)
            rows.push_back(cells(checkpoint.checkpoint, std::to_string(position), moments));
    }
    std::size_t left_out = 0;
    if (!view.all && rows.size() > most_lines) {
        left_out = rows.size() - most_lines;
        rows.resize(most_lines);
    }
    std::string out = head(stats, paint);
    if (!rows.empty()) {
        // Together 100 columns, at the widest.
        out += table({{"checkpoint", 18},
                      {"token", 6, true},
                      {"values", 7, true},
                      {"min", 9, true},
                      {"max", 9, true},
                      {"mean", 9, true},
                      {"std", 8, true},
                      {"NaN,inf", 7, true},
                      {"garbage", 7, true}},
                     rows);
    }
    if (left_out != 0) {
        out += fmt::format("    ... and {}; --all shows them, --checkpoint chooses\n",
                           counted(left_out, "more line"));
    }
    if (view.histogram) {
        for (const CheckpointStats& checkpoint : stats.checkpoints)
            out += histogram_text(checkpoint);
    }
    return out;
}

std::string garbage_text(const FileStats& stats) {
    std::string out;
    for (const GarbageValue& value : stats.garbage) {
        out += fmt::format("{}:{}: {} token {} value {} is {:.9g}\n", printable(stats.path),
                           value.line, printable(value.checkpoint), value.token_idx, value.index,
                           value.value);
    }
    if (stats.all.garbage > stats.garbage.size()) {
        out += fmt::format("... and {}\n",
                           counted(stats.all.garbage - stats.garbage.size(), "more value"));
    }
    return out.empty() ? fmt::format("{}: no garbage in {}\n", printable(stats.path),
                                     counted(stats.all.values, "value"))
                       : out;
}

}  // namespace orch
