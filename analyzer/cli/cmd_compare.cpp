// compare: do two or more engines compute the same, and if not, where do they part first?
#include <fmt/format.h>

#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/compare_options.hpp"
#include "analyzer/report/output.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"

namespace orch {
namespace {

struct Options {
    CompareOptions compare;
    std::string format = "text";
    std::string table = "tokens";
    std::string output;
    std::string junit;
    std::string sarif;
    bool verbose = false;
};

std::string text_of(const Report& report, const Options& options, bool color) {
    if (options.format == "json") return document_text(report_json(report));
    if (options.format == "markdown") return report_markdown(report);
    if (options.format == "csv") {
        CsvTable table = CsvTable::tokens;
        if (options.table == "sites") table = CsvTable::sites;
        if (options.table == "drift") table = CsvTable::drift;
        if (options.table == "matrix") table = CsvTable::matrix;
        return report_csv(report, table);
    }
    return report_text(report, Paint{color}, options.verbose);
}

int compare(const CLI::App& app, const Options& options, Context& context) {
    if (app.count("--table") > 0 && options.format != "csv") {
        throw UsageError("--table is for --format csv");
    }
    const ComparisonRequest request = request_of(options.compare);
    if (request.traces.size() < 2) {
        throw UsageError(
            "compare: two traces are wanted, the reference first; 'orchtrace help "
            "compare' has examples");
    }
    const Report report = compare_traces(request);
    if (!options.junit.empty()) write_document(options.junit, report_junit(report));
    if (!options.sarif.empty()) write_document(options.sarif, document_text(report_sarif(report)));
    if (options.output.empty()) {
        context.out << text_of(report, options, context.color);
    } else {
        write_document(options.output, text_of(report, options, false));
        context.err << fmt::format("orchtrace: {}: {}; wrote {}\n", verdict_title(report.verdict),
                                   printable(report.headline), printable(options.output));
    }
    return exit_code_of(report.verdict);
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("TRACE", options->compare.request.traces,
                   "traces; the first is the reference, the others are compared with it")
        ->required()
        ->type_name("FILE");
    app.add_option("--format", options->format, "text, json, csv or markdown")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json", "csv", "markdown"}))
        ->capture_default_str();
    app.add_option("--table", options->table, "of csv: tokens, sites, drift or matrix")
        ->type_name("TABLE")
        ->check(CLI::IsMember({"tokens", "sites", "drift", "matrix"}))
        ->capture_default_str();
    app.add_option("-o,--output", options->output, "write the report there instead")
        ->type_name("FILE");
    app.add_option("--junit", options->junit, "write JUnit XML there as well")->type_name("FILE");
    app.add_option("--sarif", options->sarif, "write SARIF 2.1.0 there as well")->type_name("FILE");
    app.add_option("--baseline", options->compare.request.baseline,
                   "the engine that is the most accurate: which of the others is nearest to it?")
        ->type_name("TEAM");
    add_compare_options(app, options->compare);
    app.add_flag("-v,--verbose", options->verbose, "every place and every position");
    return [&app, options](Context& context) { return compare(app, *options, context); };
}

}  // namespace

const Command compare_command{
    "compare", "[OPTIONS] REFERENCE OTHER...",
    "tell whether engines compute the same, and where they part first",
    "Exit code 0: parity, 1: divergence, 2: not comparable, or bad usage. docs/REPORT.md explains\n"
    "every line of the report.\n\n"
    "examples:\n"
    "  orchtrace compare llama.jsonl torch.jsonl\n"
    "  orchtrace compare --floor llama_again.jsonl llama.jsonl torch.jsonl candle.jsonl\n"
    "  orchtrace compare --format markdown --junit out.xml -o out.md llama.jsonl torch.jsonl",
    add_options};

}  // namespace orch
