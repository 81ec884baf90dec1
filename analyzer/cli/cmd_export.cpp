// export: the logged values as CSV, NPZ or safetensors.
#include <fmt/format.h>

#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/cli/index_option.hpp"
#include "analyzer/cli/open_trace.hpp"
#include "analyzer/export/output_file.hpp"
#include "analyzer/export/writers.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

struct Options {
    std::string trace;
    std::string output;
    std::string format;
    std::string index;
    std::vector<std::string> globs;
};

bool is_stdout(const Options& options) {
    return options.output.empty() || options.output == "-";
}

std::string format_of(const Options& options) {
    if (!options.format.empty()) return options.format;
    if (is_stdout(options)) return "csv";
    const std::string extension = std::filesystem::path(options.output).extension().string();
    for (const char* known : {"csv", "npz", "safetensors"}) {
        if (extension == std::string{"."} + known) return known;
    }
    throw UsageError(fmt::format("{}: the name does not say which format is meant; use --format",
                                 printable(options.output)));
}

/// A slip in the order of the arguments must not cost the trace.
void check_output(const Options& options) {
    std::error_code error;
    if (!is_stdout(options) && std::filesystem::equivalent(options.output, options.trace, error)) {
        throw UsageError(fmt::format("-o {}: that is the trace itself", printable(options.output)));
    }
}

Exported write_csv(const Trace& trace, const Selection& selection, const Options& options,
                   Context& context) {
    if (is_stdout(options)) {
        return export_csv(trace, selection, [&](std::string_view text) { context.out << text; });
    }
    OutputFile file{options.output};
    const Exported exported =
        export_csv(trace, selection, [&](std::string_view text) { file.write(text); });
    if (exported.records != 0) file.commit();
    return exported;
}

int export_values(const Options& options, Context& context) {
    const std::string format = format_of(options);
    if (format != "csv" && is_stdout(options)) {
        throw UsageError(format + " is no text; name a file with -o");
    }
    check_output(options);
    const std::optional<ModelIndex> index = index_of_option(options.index);
    const Trace trace = open_trace(options.trace);
    const Selection selection{options.globs, names_from_index(trace, index)};
    const Exported exported = format == "csv" ? write_csv(trace, selection, options, context)
                              : format == "npz"
                                  ? export_npz(trace, selection, options.output)
                                  : export_safetensors(trace, selection, options.output);
    if (exported.records == 0) {
        throw UsageError(printable(no_values(options.trace, options.globs)));
    }
    if (!is_stdout(options)) {
        context.out << fmt::format("{}: {} of {}\n", printable(options.output),
                                   counted(exported.records, "record"),
                                   counted(exported.arrays, "checkpoint"));
    }
    if (index && !selection.names.any()) {
        context.err << fmt::format(
            "orchtrace: {} names nothing in {}: its weights have names, or are of another model\n",
            printable(options.index), printable(options.trace));
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
    app.add_option("--checkpoint", options->globs, "only these; * and ? are wildcards; repeatable")
        ->type_name("GLOB")
        ->allow_extra_args(false);
    add_index_option(app, options->index);
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
    "  orchtrace export trace.jsonl --checkpoint 'layer_*_output' | head\n"
    "  orchtrace export torch.jsonl --index model.idx --checkpoint 'gemm.blk.0.*' -o layer_0.npz",
    add_options};

}  // namespace orch
