// export: the logged values as CSV, NPZ or safetensors.
#include <fmt/format.h>

#include <fstream>
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/export/writers.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

struct Options {
    std::string trace;
    std::string output;
    std::string format;
    std::vector<std::string> globs;
};

std::string format_of(const Options& options) {
    if (!options.format.empty()) return options.format;
    if (options.output.empty() || options.output == "-") return "csv";
    const std::string extension = std::filesystem::path(options.output).extension().string();
    for (const char* known : {"csv", "npz", "safetensors"}) {
        if (extension == std::string{"."} + known) return known;
    }
    throw UsageError(fmt::format("{}: the name does not say which format is meant; use --format",
                                 printable(options.output)));
}

Exported write_csv(const Trace& trace, const Options& options, Context& context) {
    if (options.output.empty() || options.output == "-") {
        return export_csv(trace, options.globs, context.out);
    }
    std::ofstream file(options.output, std::ios::binary);
    const Exported exported = export_csv(trace, options.globs, file);
    file.close();
    if (!file) throw WriteError(options.output + ": cannot be written");
    return exported;
}

int export_values(const Options& options, Context& context) {
    const std::string format = format_of(options);
    const bool to_terminal = options.output.empty() || options.output == "-";
    if (format != "csv" && to_terminal) {
        throw UsageError(format + " is no text; name a file with -o");
    }
    const Trace trace{options.trace};
    const Exported exported = format == "csv" ? write_csv(trace, options, context)
                              : format == "npz"
                                  ? export_npz(trace, options.globs, options.output)
                                  : export_safetensors(trace, options.globs, options.output);
    if (exported.records == 0) {
        throw UsageError(fmt::format("{}: no values to export; 'orchtrace info' lists the names",
                                     printable(options.trace)));
    }
    if (!to_terminal) {
        context.out << fmt::format("{}: {} of {}\n", printable(options.output),
                                   counted(exported.records, "record"),
                                   counted(exported.arrays, "checkpoint"));
    }
    if (trace.counts().bad_lines != 0) {
        context.err << fmt::format("orchtrace: {} left out of {}; 'orchtrace info' lists them\n",
                                   counted(trace.counts().bad_lines, "bad line"),
                                   printable(options.trace));
    }
    return exit_ok;
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("TRACE", options->trace, "a trace file; - reads a pipe")
        ->required()
        ->type_name("FILE");
    app.add_option("-o,--output", options->output, "the file to write; - or none: stdout, as CSV")
        ->type_name("FILE");
    app.add_option("--format", options->format, "csv, npz or safetensors; else by the file's name")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"csv", "npz", "safetensors"}));
    app.add_option("--checkpoint", options->globs, "only these; * and ? are wildcards")
        ->type_name("GLOB...");
    return [options](Context& context) { return export_values(*options, context); };
}

}  // namespace

const Command export_command{
    "export", "[OPTIONS] TRACE", "write the logged values as CSV, NPZ or safetensors",
    "NPZ and safetensors hold an array [records, values] for each checkpoint, and NAME.token_idx\n"
    "beside it. Vectors that the trace keeps in its .values file are read whole.\n\n"
    "examples:\n"
    "  orchtrace export trace.jsonl -o trace.npz\n"
    "  orchtrace export trace.jsonl -o logits.safetensors --checkpoint logits\n"
    "  orchtrace export trace.jsonl --checkpoint 'layer_*_output' | head",
    add_options};

}  // namespace orch
