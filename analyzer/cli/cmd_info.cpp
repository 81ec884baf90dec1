// info: what a trace holds, and whether it holds all of it.
#include <fmt/format.h>

#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
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
    const bool as_json = options.format == "json";
    const Paint paint{context.color};
    const std::optional<ModelIndex> index = index_of_option(options.index);
    int code = exit_ok;
    nlohmann::ordered_json document{{"schema_version", info_schema_version},
                                    {"files", nlohmann::ordered_json::array()}};
    bool first = true;
    for (const std::string& path : options.traces) {
        try {
            const TraceSummary summary = summary_of(path, index);
            if (as_json) {
                document["files"].push_back(info_json(summary));
            } else {
                context.out << (first ? "" : "\n") << info_text(summary, paint);
                first = false;
            }
        } catch (const UnreadableFile& error) {
            context.err << "orchtrace: " << printable(error.what()) << std::endl;
            document["files"].push_back({{"path", path}, {"error", error.what()}});
            code = exit_unusable;
        }
    }
    // A path need not be UTF-8; a document that cannot be written helps nobody.
    using Handler = nlohmann::ordered_json::error_handler_t;
    if (as_json) context.out << document.dump(2, ' ', false, Handler::replace) << '\n';
    return code;
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
