#include "analyzer/cli/commands.hpp"

#include "analyzer/cli/exit_codes.hpp"
#include "core/config.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

TEST(Commands, EachOptionAndSubcommandHasHelp) {
    const Parser parser = make_parser();
    const auto subcommands = parser.app->get_subcommands([](CLI::App*) { return true; });
    EXPECT_EQ(subcommands.size(), all_commands().size());
    for (const CLI::App* sub : subcommands) {
        EXPECT_FALSE(sub->get_description().empty()) << sub->get_name();
        EXPECT_TRUE(contains(sub->get_footer(), "examples:\n  orchtrace " + sub->get_name()));
        for (const CLI::Option* option : sub->get_options()) {
            EXPECT_GT(option->get_description().size(), 10U)
                << sub->get_name() << " " << option->get_name();
        }
    }
}

TEST(Commands, EachVariableOfTheLibraryIsAnOptionOfRun) {
    const Outcome help = orchtrace({"help", "run"});
    EXPECT_EQ(help.code, exit_ok);
    for (const ConfigVariable& variable : config_variables()) {
        EXPECT_TRUE(contains(help.out, variable.name)) << variable.name;
        const std::string first_word{
            std::string_view{variable.help}.substr(0, std::string_view{variable.help}.find(' '))};
        EXPECT_TRUE(contains(help.out, first_word)) << variable.help;
    }
    for (const char* option :
         {"--output", "--team", "--values", "--checkpoints", "--rows", "--weights", "--capture",
          "--memory", "--probes", "--library", "--append", "--quiet"}) {
        EXPECT_TRUE(contains(help.out, option)) << option;
    }
    EXPECT_TRUE(contains(help.out, "usage: orchtrace run [OPTIONS] -- COMMAND"));
}

TEST(Commands, HelpAndNoArgumentsListTheCommands) {
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {}, {"help"}, {"--help"}, {"-h"}, {"help", "help"}}) {
        const Outcome outcome = orchtrace(arguments);
        EXPECT_EQ(outcome.code, exit_ok);
        EXPECT_EQ(outcome.err, "");
        for (const Command* command : all_commands()) {
            EXPECT_TRUE(contains(outcome.out, command->summary)) << command->name;
        }
    }
}

TEST(Commands, HelpOfACommandIsTheSameBothWays) {
    for (const Command* command : all_commands()) {
        const Outcome one = orchtrace({"help", command->name});
        EXPECT_EQ(one.code, exit_ok);
        EXPECT_EQ(one.out, orchtrace({command->name, "--help"}).out);
        EXPECT_TRUE(contains(one.out, command->examples));
    }
}

TEST(Commands, TellsItsVersion) {
    const Outcome outcome = orchtrace({"--version"});
    EXPECT_EQ(outcome.code, exit_ok);
    EXPECT_EQ(outcome.out, "orchtrace " ORCH_VERSION "\n");
}

TEST(Commands, SuggestsTheNearestCommand) {
    const Outcome outcome = orchtrace({"inof", "x.jsonl"});
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_EQ(outcome.err, "orchtrace: no such command: inof; did you mean 'info'?\n");
    EXPECT_EQ(orchtrace({"help", "rnu"}).code, exit_unusable);
}

TEST(Commands, AWordLikeNoCommandIsAnsweredWithTheList) {
    EXPECT_EQ(orchtrace({"transmogrify"}).err,
              "orchtrace: no such command: transmogrify; 'orchtrace help' lists them\n");
}

TEST(Commands, BadUsageIsToldInOneLineAndExitsWithTwo) {
    for (const auto& arguments :
         std::vector<std::vector<std::string>>{{"info"},
                                               {"info", "--nonsense", "x"},
                                               {"info", "--format", "xml", "x"},
                                               {"--nonsense"},
                                               {"run"},
                                               {"run", "--"},
                                               {"run", "--rows"}}) {
        const Outcome outcome = orchtrace(arguments);
        EXPECT_EQ(outcome.code, exit_unusable) << arguments.front();
        EXPECT_EQ(outcome.out, "");
        EXPECT_TRUE(outcome.err.starts_with("orchtrace: ")) << outcome.err;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    }
}

}  // namespace
}  // namespace orch
