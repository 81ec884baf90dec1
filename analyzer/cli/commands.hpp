// The subcommands of `orchtrace` as a table, and the one border where errors become an exit code.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace orch {

/// What a command may touch; tests hold all of it.
struct Context {
    std::ostream& out;  ///< data
    std::ostream& err;  ///< everything else
    bool color = false;
    std::filesystem::path program_dir;  ///< where `orchtrace` lies; liborchtrace.so is near
    /// What follows the "--" of `run`.
    std::vector<std::string> tail;
    bool has_tail = false;
};

/// Reported as "orchtrace: <what>", exit code 2. One or two lines: what, why; what to do.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Run = std::function<int(Context&)>;

struct Command {
    const char* name;
    const char* usage;     ///< what follows the name
    const char* summary;   ///< the sentence that `orchtrace help` shows
    const char* examples;  ///< at the end of its help
    /// Declares the options; what it returns runs the command with their values.
    Run (*add_options)(CLI::App& app);
};

extern const Command run_command;
extern const Command info_command;
extern const Command stats_command;
extern const Command show_command;
extern const Command export_command;
extern const Command index_command;
extern const Command align_command;
extern const Command compare_command;
extern const Command baseline_command;
extern const Command selftest_command;
std::span<const Command* const> all_commands();

struct Parser {
    std::unique_ptr<CLI::App> app;
    std::vector<Run> runs;  ///< in the order of all_commands()
};
Parser make_parser();

/// The whole program but main(): parses, runs, reports. Never throws.
int run_cli(std::vector<std::string> arguments, Context& context) noexcept;

}  // namespace orch
