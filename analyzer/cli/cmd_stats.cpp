// stats: what the logged values are like, and which of them are garbage.
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/each_file.hpp"
#include "analyzer/cli/open_trace.hpp"
#include "analyzer/stats/stats_print.hpp"

namespace orch {
namespace {

/// More than anybody reads; the counts are complete whatever is listed.
constexpr std::size_t most_garbage_listed = 1000;

struct Options {
    std::vector<std::string> traces;
    std::string format = "text";
    bool garbage = false;
    StatsOptions stats;
    StatsView view;
};

FileStats stats_of_file(const std::string& path, const StatsOptions& options) {
    const Trace trace = open_trace(path, {.threads = options.threads});
    FileStats stats = value_stats(trace, options);
    if (stats.all.records == 0) throw UnreadableFile(no_values(path, options.globs));
    return stats;
}

int stats(const Options& options, Context& context) {
    if (options.format == "json") {
        return show_each_file_as_json(options.traces, stats_schema_version, context,
                                      [&](const std::string& path) {
                                          return stats_json(stats_of_file(path, options.stats));
                                      });
    }
    if (options.format == "csv") context.out << stats_csv_title();
    bool first = true;
    return show_each_file(options.traces, context, [&](const std::string& path) {
        const FileStats found = stats_of_file(path, options.stats);
        if (options.format == "csv") {
            context.out << stats_csv(found);
        } else if (options.garbage) {
            context.out << garbage_text(found);
        } else {
            context.out << (first ? "" : "\n")
                        << stats_text(found, options.view, Paint{context.color});
        }
        first = false;
    });
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("TRACE", options->traces, "trace files; - reads a pipe")
        ->required()
        ->type_name("FILE");
    app.add_option("--checkpoint", options->stats.globs,
                   "only these; * and ? are wildcards; repeatable")
        ->type_name("GLOB")
        ->allow_extra_args(false);
    app.add_flag("--by-position", options->view.by_position, "a line for each token_idx");
    app.add_flag("--histogram", options->view.histogram, "count the values by power of ten");
    app.add_flag("--all", options->view.all, "every line, however many");
    app.add_flag("--garbage", options->garbage, "list the garbage values instead");
    app.add_option("--limit", options->stats.garbage, "|v| from here on is garbage")
        ->type_name("V")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--threads", options->stats.threads, "0: one per core")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--format", options->format, "text, csv, or json with a schema_version")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "csv", "json"}))
        ->capture_default_str();
    return [options](Context& context) {
        if (options->garbage || options->format == "json") {
            options->stats.list_garbage = most_garbage_listed;
        }
        return stats(*options, context);
    };
}

}  // namespace

const Command stats_command{
    "stats", "[OPTIONS] TRACE...", "count, range, mean, NaN and garbage of the logged values",
    "Minimum, maximum, mean and deviation are over sane values: finite, smaller than --limit, and\n"
    "no flood of subnormal numbers (a quarter of a record or more).\n\n"
    "examples:\n"
    "  orchtrace stats logits.jsonl\n"
    "  orchtrace stats --garbage logits.jsonl\n"
    "  orchtrace stats --checkpoint 'layer_*_output' --histogram trace.jsonl",
    add_options};

}  // namespace orch
