#include "analyzer/cli/commands.hpp"

#include <unistd.h>

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

TEST(Commands, SuggestsTheNearestOption) {
    EXPECT_EQ(orchtrace({"export", "t.jsonl", "--chekpoint", "logits"}).err,
              "orchtrace: export: no such option: --chekpoint; did you mean '--checkpoint'?\n");
    EXPECT_EQ(orchtrace({"export", "--chekpoint=logits", "t.jsonl"}).err,
              "orchtrace: export: no such option: --chekpoint; did you mean '--checkpoint'?\n");
    EXPECT_EQ(orchtrace({"info", "--nonsense", "t.jsonl"}).err,
              "orchtrace: info: no such option: --nonsense; 'orchtrace help info' lists them\n");
}

class ShownTrace : public InDirectory {};

/// Whatever the command: a file that is no trace is said to be none, once, on stderr.
TEST_F(ShownTrace, AFileWithoutARecordIsNamedAsThat) {
    const std::string empty = file("empty.jsonl", "");
    const std::string blank = file("blank.jsonl", "\n \n");
    const std::string prose = file("prose.jsonl", "to be\n");
    const std::string bytes = file("bytes.jsonl", std::string("\xFF\0\1\xC3\n", 5));
    for (const char* command : {"info", "stats", "show", "export"}) {
        for (const auto& [path, why] :
             {std::pair{empty, "the file is empty"},
              {blank, "no line in it but blank ones"},
              {prose, "no record in it (1 line, 1 of them bad; line 1: not valid JSON"},
              {bytes, "no record in it (1 line, 1 of them bad; line 1: not valid JSON"},
              {this->path("none.jsonl"), "No such file or directory"},
              {directory_.string(), "Is a directory"}}) {
            const Outcome outcome = orchtrace({command, path});
            EXPECT_EQ(outcome.code, exit_unusable) << command;
            EXPECT_EQ(outcome.out, "") << command;
            EXPECT_TRUE(outcome.err.starts_with("orchtrace: " + path + ": " + why)) << outcome.err;
            EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
        }
    }
}

/// A pipe can be read once.
TEST_F(ShownTrace, ComesThroughAPipe) {
    const std::string line =
        R"({"ts":"t","team":"candle","checkpoint":"logits","token_idx":0,"dtype":"f32",)"
        R"("shape":"[1,2]","values":[1,2]})"
        "\n";
    const std::string trace = file("t.jsonl", line);
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {"info"}, {"stats"}, {"show"}, {"export"}, {"align", trace}, {"compare", trace}}) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        ASSERT_EQ(::write(ends[1], line.data(), line.size()), static_cast<ssize_t>(line.size()));
        ::close(ends[1]);
        std::vector<std::string> all = arguments;
        all.push_back("/dev/fd/" + std::to_string(ends[0]));
        const Outcome outcome = orchtrace(all);
        ::close(ends[0]);
        EXPECT_EQ(outcome.code, exit_ok) << all[0] << outcome.out << outcome.err;
        EXPECT_FALSE(contains(outcome.err, "no record")) << outcome.err;
    }
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
