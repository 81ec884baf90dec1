// baseline: a budget of differences that CI holds two engines to.
#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/compare_options.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/report/budget.hpp"
#include "analyzer/report/numbers.hpp"
#include "analyzer/report/output.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"
#include "analyzer/util/table.hpp"

namespace orch {
namespace {

struct Options {
    CompareOptions compare;
    std::string action;
    std::vector<std::string> files;
    std::string output;
    std::string format = "text";
    std::string reason;
    double margin = 2;
};

constexpr std::size_t broken_shown = 20;
constexpr std::size_t sentences_shown = 8;

/// The one pair that a budget is about; a comparison that cannot be made ends the command.
PairReport compare_pair(const Options& options, const std::vector<std::string>& traces) {
    CompareOptions compare = options.compare;
    compare.request.traces = traces;
    const Report report = compare_traces(request_of(compare));
    return report.pairs.front();
}

std::string pair_text(const PairReport& pair) {
    return printable(fmt::format("{} against {}", pair.b.team, pair.a.team));
}

int refuse(const PairReport& pair, Context& context) {
    context.err << fmt::format("orchtrace: not comparable: {}\n", printable(pair.headline));
    for (const std::string& reason : pair.reasons)
        context.err << fmt::format("orchtrace: {}\n", printable(reason));
    return exit_unusable;
}

// ---- save

void write_budget(const Options& options, const Budget& budget) {
    write_document(options.output, document_text(budget_json(budget)));
}

int save_first(const Options& options, const PairReport& pair, Context& context) {
    Budget budget = budget_of(pair, options.margin);
    if (pair.verdict == Verdict::divergence) {
        if (options.reason.empty()) {
            context.err << fmt::format(
                "orchtrace: {}: divergence: {}\n"
                "orchtrace: nothing was saved; --loosen \"reason\" accepts it, and keeps the "
                "reason\n",
                pair_text(pair), printable(pair.headline));
            return exit_divergence;
        }
        budget.loosened.push_back({options.reason, {pair.headline}});
    }
    write_budget(options, budget);
    context.out << fmt::format(
        "{}: {} at {} times what was measured, {}; wrote {}\n", pair_text(pair),
        counted(budget.at_most.size() + budget.at_least.size(), "limit"), options.margin,
        verdict_name(pair.verdict), printable(options.output));
    return exit_ok;
}

int save(const Options& options, Context& context) {
    if (options.output.empty())
        throw UsageError("baseline save: -o FILE says where the budget goes");
    if (options.files.size() != 2) {
        throw UsageError("baseline save: two traces are wanted, the reference first");
    }
    std::error_code error;
    const bool is_new = !std::filesystem::exists(options.output, error);
    const Budget old = is_new ? Budget{} : read_budget(options.output);
    const PairReport pair = compare_pair(options, options.files);
    if (pair.verdict == Verdict::not_comparable) return refuse(pair, context);
    if (is_new) return save_first(options, pair, context);
    const Tightened result = tighten(old, pair, options.margin, options.reason);
    if (!result.looser.empty() && options.reason.empty()) {
        context.err << fmt::format("orchtrace: {}: {} would have to be loosened:\n",
                                   printable(options.output),
                                   counted(result.looser.size(), "limit"));
        for (std::size_t i = 0; i < result.looser.size() && i < broken_shown; ++i)
            context.err << "  " << printable(result.looser[i]) << '\n';
        if (result.looser.size() > broken_shown) {
            context.err << fmt::format("  ... and {} more\n", result.looser.size() - broken_shown);
        }
        context.err
            << "orchtrace: nothing was saved; --loosen \"reason\" does it, and keeps the reason\n";
        return exit_divergence;
    }
    write_budget(options, result.budget);
    context.out << fmt::format("{}: {} tightened, {} loosened; wrote {}\n", pair_text(pair),
                               counted(result.tighter, "limit"), grouped(result.looser.size()),
                               printable(options.output));
    return exit_ok;
}

// ---- check

std::string and_more(std::size_t all, std::size_t shown) {
    return all > shown ? fmt::format("    ... and {} more; --format json lists all\n", all - shown)
                       : std::string{};
}

std::string broken_text(const std::vector<Overrun>& broken) {
    std::vector<std::vector<std::string>> rows;
    std::size_t numbers = 0;
    std::size_t others = 0;
    std::string sentences;
    for (const Overrun& one : broken) {
        if (!one.sentence.empty()) {
            if (++others <= sentences_shown) sentences += wrapped("  ", printable(one.sentence));
            continue;
        }
        if (++numbers > broken_shown) continue;
        rows.push_back({printable(one.what), error_text(one.measured), error_text(one.allowed),
                        one.allowed > 0 ? fmt::format("{:.3g}", one.measured / one.allowed) : "-"});
    }
    sentences += and_more(others, sentences_shown);
    if (rows.empty()) return sentences;
    return sentences +
           table({{"limit", 48}, {"measured", 10, true}, {"allowed", 10, true}, {"times", 8, true}},
                 rows) +
           and_more(numbers, broken_shown);
}

std::string check_text(const BudgetCheck& check, const PairReport& pair, const std::string& path,
                       const Paint& paint) {
    const bool kept = check.broken.empty();
    const std::string word = kept ? "WITHIN BUDGET" : "OVER BUDGET";
    std::string rest = fmt::format("{} of {}", kept ? "all" : grouped(check.broken.size()),
                                   counted(check.limits, "limit"));
    rest += fmt::format(" of {} {}, {}", path, kept ? "are kept" : "are broken", pair_text(pair));
    if (kept && !check.nearest.empty()) {
        rest += fmt::format("; nearest to its limit: {}, {:.0f} %", check.nearest,
                            100 * check.nearest_part);
    }
    std::string text = wrapped({}, fmt::format("{}: {}", word, printable(rest)));
    text = (kept ? paint.green(word) : paint.red(word)) + text.substr(word.size());
    text += broken_text(check.broken);
    if (check.unlimited > 0) {
        text +=
            wrapped("  ", fmt::format("{} not in the budget: 'orchtrace baseline save' adds them",
                                      counted(check.unlimited, "error is", "errors are")));
    }
    return text;
}

nlohmann::ordered_json check_json(const BudgetCheck& check, const PairReport& pair) {
    using Json = nlohmann::ordered_json;
    Json broken = Json::array();
    for (const Overrun& one : check.broken) {
        Json entry{{"limit", one.what},
                   {"measured", Json{}},
                   {"allowed", Json{}},
                   {"sentence", one.sentence}};
        if (one.sentence.empty()) {
            entry["measured"] = json_number(one.measured);
            entry["allowed"] = json_number(one.allowed);
        }
        broken.push_back(entry);
    }
    return {{"schema_version", budget_schema_version},
            {"budget", check.broken.empty() ? "kept" : "broken"},
            {"reference", pair.a.team},
            {"other", pair.b.team},
            {"verdict", verdict_name(pair.verdict)},
            {"headline", pair.headline},
            {"limits", check.limits},
            {"broken", broken},
            {"nearest", check.nearest},
            {"nearest_part", json_number(check.nearest_part)},
            {"unlimited", check.unlimited}};
}

int check(const Options& options, Context& context) {
    if (options.files.size() != 3) {
        throw UsageError("baseline check: a budget and two traces are wanted, the reference first");
    }
    const Budget budget = read_budget(options.files[0]);
    const PairReport pair = compare_pair(options, {options.files[1], options.files[2]});
    if (pair.verdict == Verdict::not_comparable) return refuse(pair, context);
    const BudgetCheck result = check_budget(budget, pair);
    if (options.format == "json") {
        context.out << document_text(check_json(result, pair));
    } else {
        context.out << check_text(result, pair, options.files[0], Paint{context.color});
    }
    return result.broken.empty() ? exit_ok : exit_divergence;
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("ACTION", options->action, "save or check")
        ->required()
        ->type_name("ACTION")
        ->check(CLI::IsMember({"save", "check"}));
    app.add_option("FILE", options->files, "save: two traces; check: a budget and two traces")
        ->required()
        ->type_name("FILE");
    app.add_option("-o,--output", options->output,
                   "save: the budget's file; an old one is tightened")
        ->type_name("FILE");
    app.add_option("--margin", options->margin, "save: an error may grow to this many times")
        ->type_name("TIMES")
        ->check(CLI::Range(1.0, 1e6))
        ->capture_default_str();
    app.add_option("--loosen", options->reason, "save: why limits are loosened; kept in the file")
        ->type_name("REASON");
    app.add_option("--format", options->format, "check: text or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    add_compare_options(app, options->compare);
    return [options](Context& context) {
        return options->action == "save" ? save(*options, context) : check(*options, context);
    };
}

}  // namespace

const Command baseline_command{
    "baseline", "[OPTIONS] save REFERENCE OTHER -o BUDGET | check BUDGET REFERENCE OTHER",
    "hold two engines to what they differed by before",
    "Exit code of check: 0: all limits are kept, 1: some are broken, 2: not comparable. Saving "
    "into\n"
    "an old budget keeps the tighter of both limits; --loosen is needed for what got worse.\n\n"
    "examples:\n"
    "  orchtrace baseline save llama.jsonl torch.jsonl -o budget.json\n"
    "  orchtrace baseline check budget.json llama.jsonl torch.jsonl\n"
    "  orchtrace baseline save --loosen 'f16 cache is now the default' a.jsonl b.jsonl -o "
    "budget.json",
    add_options};

}  // namespace orch
