// info: what a trace holds, and whether it holds all of it.
#include <fmt/format.h>

#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/info/info_print.hpp"
#include "analyzer/info/trace_summary.hpp"

namespace orch {
namespace {

struct InfoOptions {
    std::vector<std::string> traces;
    std::string format = "text";
};

int info(const InfoOptions& options, Context& context) {
    const bool as_json = options.format == "json";
    const Paint paint{context.color};
    int code = exit_ok;
    nlohmann::ordered_json document{{"schema_version", info_schema_version},
                                    {"files", nlohmann::ordered_json::array()}};
    bool first = true;
    for (const std::string& path : options.traces) {
        try {
            const TraceSummary trace = summarize(path);
            if (trace.runs.empty()) {
                throw UnreadableFile(fmt::format(
                    "{}: no record in it ({}, {} of them bad); is it a trace?", path,
                    counted(trace.counts.lines, "line"), grouped(trace.counts.bad_lines)));
            }
            if (as_json) {
                document["files"].push_back(info_json(trace));
            } else {
                context.out << (first ? "" : "\n") << info_text(trace, paint);
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
    app.add_option("TRACE", options->traces, "trace files; /dev/stdin reads a pipe")
        ->required()
        ->type_name("FILE...");
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
                           "  orchtrace info --format json a.jsonl b.jsonl",
                           add_options};

}  // namespace orch
