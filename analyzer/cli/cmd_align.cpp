// align: which calls of two engines are the same operation, and how that is known.
#include <fmt/format.h>

#include <optional>
#include <ostream>

#include "analyzer/align/align_print.hpp"
#include "analyzer/align/load_engine.hpp"
#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/compare_options.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/cli/index_option.hpp"

namespace orch {
namespace {

struct Options {
    std::vector<std::string> traces;
    std::string index;
    std::string runs;
    std::string format = "text";
    bool verbose = false;
};

std::optional<std::size_t> run_of(const std::vector<std::int64_t>& runs, std::size_t trace) {
    if (runs.empty()) return {};
    return static_cast<std::size_t>(runs.size() == 1 ? runs[0] : runs[trace]);
}

int align_two(const Options& options, Context& context) {
    if (options.traces.size() != 2)
        throw UsageError("align: two traces are wanted, the reference first");
    const std::vector<std::int64_t> runs = numbers_of("--run", options.runs);
    if (runs.size() > 2) throw UsageError("--run: one number for both traces, or two");
    const std::optional<ModelIndex> index = index_of_option(options.index);
    const ModelIndex* names = index ? &*index : nullptr;
    const LoadedEngine a = load_engine(options.traces[0], run_of(runs, 0), names);
    const LoadedEngine b = load_engine(options.traces[1], run_of(runs, 1), names);
    Alignment alignment = align(a.engine, b.engine);
    for (const LoadedEngine* engine : {&a, &b})
        alignment.notes.insert(alignment.notes.end(), engine->notes.begin(), engine->notes.end());
    if (options.format == "json") {
        // A path need not be UTF-8; a document that cannot be written helps nobody.
        using Handler = nlohmann::ordered_json::error_handler_t;
        context.out << align_json(alignment).dump(2, ' ', false, Handler::replace) << '\n';
    } else {
        context.out << align_text(alignment, Paint{context.color}, options.verbose);
    }
    return alignment.not_comparable.empty() ? exit_ok : exit_unusable;
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("TRACE", options->traces, "two traces; the first is the reference")
        ->required()
        ->type_name("FILE FILE");
    add_index_option(app, options->index);
    app.add_option("--run", options->runs,
                   "which run of each file, counted from 1; as 2, or one for each: 2,1 [the last]")
        ->type_name("LIST");
    app.add_option("--format", options->format, "text, or json with a schema_version")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    app.add_flag("-v,--verbose", options->verbose, "every weight, pass and site");
    return [options](Context& context) { return align_two(*options, context); };
}

}  // namespace

const Command align_command{
    "align", "[OPTIONS] REFERENCE OTHER",
    "show which calls of two engines are the same operation, and how that is known",
    "Exit code 0: comparable, 2: not comparable, or bad usage.\n\n"
    "examples:\n"
    "  orchtrace align llama.jsonl torch.jsonl\n"
    "  orchtrace align --index model.idx --verbose a.jsonl b.jsonl\n"
    "  orchtrace align --format json llama.jsonl torch.jsonl | jq .ledgers",
    add_options};

}  // namespace orch
