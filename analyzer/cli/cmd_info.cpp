// info: what a trace holds, and whether it holds all of it.
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/each_file.hpp"
#include "analyzer/cli/index_option.hpp"
#include "analyzer/cli/open_trace.hpp"
#include "analyzer/info/info_print.hpp"
#include "analyzer/info/trace_summary.hpp"

namespace orch {
namespace {

struct InfoOptions {
    std::vector<std::string> traces;
    std::string index;
    std::string format = "text";
};

TraceSummary summary_of(const std::string& path, const std::optional<ModelIndex>& index) {
    const Trace trace = open_trace(path);
    return summarize(trace, names_from_index(trace, index));
}

int info(const InfoOptions& options, Context& context) {
    const Paint paint{context.color};
    const std::optional<ModelIndex> index = index_of_option(options.index);
    if (options.format == "json") {
        return show_each_file_as_json(
            options.traces, info_schema_version, context,
            [&](const std::string& path) { return info_json(summary_of(path, index)); });
    }
    bool first = true;
    return show_each_file(options.traces, context, [&](const std::string& path) {
        const std::string text = info_text(summary_of(path, index), paint);
        context.out << (first ? "" : "\n") << text;
        first = false;
    });
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<InfoOptions>();
    app.add_option("TRACE", options->traces, "trace files; - reads a pipe")
        ->required()
        ->type_name("FILE");
    add_index_option(app, options->index);
    app.add_option("--format", options->format, "text, or json with a schema_version")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    return [options](Context& context) { return info(*options, context); };
}

}  // namespace

const Command info_command{"info", "[OPTIONS] TRACE...",
                           "tell what a trace holds, and whether it holds all of it",
                           "examples:\n"
                           "  orchtrace info trace.jsonl\n"
                           "  orchtrace info --index model.idx torch.jsonl\n"
                           "  orchtrace info --format json a.jsonl b.jsonl",
                           add_options};

}  // namespace orch
