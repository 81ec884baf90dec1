#include "analyzer/cli/commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ostream>

#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

constexpr const Command* commands[] = {
    &run_command,  &info_command,   &compare_command, &align_command,    &stats_command,
    &show_command, &export_command, &index_command,   &baseline_command, &selftest_command};

constexpr const char* description =
    "orchtrace finds where the numbers of two LLM inference engines part. `run` traces an engine\n"
    "as it is, the other commands read the traces.";

/// CLI11 cannot know of what follows "--".
class UsageFormatter : public CLI::Formatter {
  public:
    std::string make_usage(const CLI::App* app, std::string) const override {
        for (const Command* command : commands) {
            if (app->get_name() != command->name) continue;
            return fmt::format("usage: orchtrace {} {}\n", command->name, command->usage);
        }
        return "usage: orchtrace COMMAND ...\n";
    }
};

std::vector<std::string> command_names() {
    std::vector<std::string> names{"help"};
    for (const Command* command : commands)
        names.emplace_back(command->name);
    return names;
}

[[noreturn]] void refuse_command(const std::string& word) {
    const std::string near = nearest(word, command_names());
    throw UsageError(fmt::format(
        "no such command: {}; {}", printable(word),
        near.empty() ? "'orchtrace help' lists them" : fmt::format("did you mean '{}'?", near)));
}

/// CLI11's messages, in the manner of ours.
std::string in_our_words(std::string text) {
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    }
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

/// "help", "help CMD" -> what CLI11 prints for "--help", "CMD --help".
void rewrite_help(std::vector<std::string>& arguments) {
    if (arguments.empty()) arguments = {"--help"};
    if (arguments[0] != "help") return;
    arguments.erase(arguments.begin());
    arguments.resize(std::min<std::size_t>(arguments.size(), 1));
    if (arguments == std::vector<std::string>{"help"}) arguments.clear();
    arguments.emplace_back("--help");
}

void check_command(const std::vector<std::string>& arguments) {
    if (arguments[0].starts_with('-')) return;
    const auto names = command_names();
    if (std::find(names.begin(), names.end(), arguments[0]) == names.end()) {
        refuse_command(arguments[0]);
    }
}

/// Behind the "--" of `run` stands another program's command line, which CLI11 must not see: it
/// would take apart what looks like a list.
void split_tail(std::vector<std::string>& arguments, Context& context) {
    if (arguments[0] != run_command.name) return;
    const auto mark = std::find(arguments.begin(), arguments.end(), "--");
    if (mark == arguments.end()) return;
    context.has_tail = true;
    context.tail.assign(mark + 1, arguments.end());
    arguments.erase(mark, arguments.end());
}

/// "--chekpoint" -> "no such option: --chekpoint; did you mean '--checkpoint'?". CLI11 counts the
/// words behind it as left over, too, and lists them from the back.
std::string unknown_option(const CLI::App& command) {
    for (const std::string& word : command.remaining()) {
        if (!word.starts_with('-') || word == "-") continue;
        const std::string name = word.substr(0, word.find('='));
        std::vector<std::string> known;
        for (const CLI::Option* option : command.get_options()) {
            for (const std::string& each : option->get_lnames())
                known.push_back("--" + each);
        }
        const std::string near = nearest(name, known);
        return fmt::format("{}: no such option: {}; {}", command.get_name(), printable(name),
                           near.empty()
                               ? fmt::format("'orchtrace help {}' lists them", command.get_name())
                               : fmt::format("did you mean '{}'?", near));
    }
    return {};
}

std::string parse_error_text(const Parser& parser, const CLI::ParseError& error) {
    std::string command;
    for (const CLI::App* sub : parser.app->get_subcommands()) {
        command = sub->get_name();
        std::string unknown = unknown_option(*sub);
        if (!unknown.empty()) return unknown;
    }
    return fmt::format("{}{}; 'orchtrace help{}' lists the options",
                       command.empty() ? "" : command + ": ", in_our_words(printable(error.what())),
                       command.empty() ? "" : " " + command);
}

int parse_and_run(std::vector<std::string> arguments, Context& context) {
    rewrite_help(arguments);
    check_command(arguments);
    split_tail(arguments, context);
    Parser parser = make_parser();
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    try {
        parser.app->parse(arguments);
    } catch (const CLI::CallForHelp&) {
        const auto chosen = parser.app->get_subcommands();
        context.out << (chosen.empty() ? *parser.app : *chosen.front()).help("orchtrace");
        return exit_ok;
    } catch (const CLI::CallForVersion& version) {
        context.out << version.what() << '\n';
        return exit_ok;
    } catch (const CLI::ParseError& error) {
        throw UsageError(parse_error_text(parser, error));
    }
    for (std::size_t i = 0; i < std::size(commands); ++i) {
        if (parser.app->got_subcommand(commands[i]->name)) return parser.runs[i](context);
    }
    throw UsageError("no command given; 'orchtrace help' lists them");
}

}  // namespace

std::span<const Command* const> all_commands() {
    return commands;
}

Parser make_parser() {
    Parser parser;
    parser.app = std::make_unique<CLI::App>(description, "orchtrace");
    CLI::App& app = *parser.app;
    app.set_version_flag("--version", std::string{"orchtrace "} + ORCH_VERSION);
    const auto formatter = std::make_shared<UsageFormatter>();
    formatter->column_width(28);
    app.formatter(formatter);
    app.footer("'orchtrace help COMMAND' tells more, with examples.");
    for (const Command* command : commands) {
        CLI::App* sub = app.add_subcommand(command->name, command->summary);
        parser.runs.push_back(command->add_options(*sub));
        sub->footer(command->examples);
    }
    return parser;
}

int run_cli(std::vector<std::string> arguments, Context& context) noexcept {
    try {
        return parse_and_run(std::move(arguments), context);
    } catch (const std::exception& error) {
        context.err << "orchtrace: " << error.what() << std::endl;
    } catch (...) {
        context.err << "orchtrace: an error of unknown kind; please report it" << std::endl;
    }
    return exit_unusable;
}

}  // namespace orch
