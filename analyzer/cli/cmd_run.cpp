// run: run an engine with liborchtrace.so in it, and say where its trace is.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ostream>

#include "analyzer/cli/child.hpp"
#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/executable.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/cli/trace_output.hpp"
#include "analyzer/util/text.hpp"
#include "core/config.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view log_file_variable = "ORCH_LOG_FILE";

/// One variable of core/config.cpp and the value that option or environment gave it.
struct Setting {
    const ConfigVariable* variable;
    std::string option;  ///< "--rows"
    std::string value;   ///< empty: not given
};

struct RunOptions {
    std::vector<Setting> settings;
    std::string output = "orchtrace.%e.jsonl";
    std::string library;
    bool append = false;
    bool quiet = false;
};

/// ORCH_TRACE_ROWS -> --rows
std::string option_name(std::string_view variable) {
    for (std::string_view prefix : {"ORCH_LOG_", "ORCH_TRACE_"}) {
        if (variable.starts_with(prefix)) variable.remove_prefix(prefix.size());
    }
    std::string name{variable};
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return c == '_' ? '-' : std::tolower(c); });
    return "--" + name;
}

std::string getenv_or_empty(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// The library would fall back to its default and note it; here the user is still at hand.
void check_settings(const RunOptions& options, const std::string& log_file) {
    Config scratch;
    for (const Setting& setting : options.settings) {
        if (setting.value.empty() || setting.variable->parse(scratch, setting.value)) continue;
        throw UsageError(fmt::format("{} {}: not understood; it takes {}", setting.option,
                                     shell_quoted(printable(setting.value)),
                                     setting.variable->values));
    }
    if (!scratch.log_file.append(log_file)) {
        throw UsageError("-o: the path is too long; choose a shorter one");
    }
}

fs::path find_library(const RunOptions& options, const Context& context) {
    std::vector<fs::path> places;
    if (!options.library.empty()) {
        places = {fs::absolute(options.library)};
    } else {
        places = {context.program_dir / "../lib/liborchtrace.so",
                  context.program_dir / "liborchtrace.so"};
    }
    for (const fs::path& place : places) {
        if (::access(place.c_str(), R_OK) != 0) continue;
        std::string path = fs::absolute(place).lexically_normal().string();
        if (path.find_first_of(": ") == std::string::npos) return path;
        throw UsageError(fmt::format(
            "{}: LD_PRELOAD cannot hold a path with a space or colon in it; move the library",
            path));
    }
    throw UsageError(fmt::format("{}: no such library; name it with --library or ORCH_LIBRARY",
                                 places.front().lexically_normal().string()));
}

std::vector<std::string> command_of(const CLI::App& app, const Context& context) {
    std::vector<std::string> command = app.remaining();
    // "run git log -- file": this "--" is the command's.
    if (!command.empty() && context.has_tail) command.emplace_back("--");
    command.insert(command.end(), context.tail.begin(), context.tail.end());
    if (command.empty()) {
        throw UsageError("run: no command given; write it behind --, as in: orchtrace run -- CMD");
    }
    return command;
}

std::vector<std::pair<std::string, std::string>> child_environment(const RunOptions& options,
                                                                   const TraceOutput& output,
                                                                   const fs::path& library) {
    std::vector<std::pair<std::string, std::string>> result;
    for (const Setting& setting : options.settings) {
        if (!setting.value.empty()) result.emplace_back(setting.variable->name, setting.value);
    }
    result.emplace_back(log_file_variable, output.absolute_pattern());
    const std::string others = getenv_or_empty("LD_PRELOAD");
    result.emplace_back("LD_PRELOAD",
                        others.empty() ? library.string() : library.string() + ":" + others);
    return result;
}

/// As the user wrote it, so that it can be pasted: relative where the output was.
std::string shown_path(const fs::path& path, const RunOptions& options) {
    return fs::path{options.output}.is_relative()
               ? path.lexically_proximate(fs::current_path()).string()
               : path.string();
}

void report_written(const RunOptions& options, const std::vector<WrittenTrace>& traces,
                    Context& context) {
    std::string files;
    for (const WrittenTrace& trace : traces) {
        const std::string name = shell_quoted(shown_path(trace.path, options));
        if (trace.trimmed > 0) {
            context.err << fmt::format(
                "orchtrace: {}: the last line was torn; {} of it taken away\n", name,
                counted(trace.trimmed, "byte"));
        }
        files += " " + name;
        if (options.quiet) continue;
        context.err << fmt::format("orchtrace: wrote {}: {}, {}\n", name,
                                   counted(trace.lines, "line"), size_text(trace.bytes));
    }
    if (!options.quiet && !traces.empty()) {
        context.err << fmt::format("orchtrace: next: orchtrace info{}\n", files);
    }
}

void warn_no_trace(const std::string& command, const fs::path& image, Context& context) {
    const std::string name = printable(fs::path{command}.filename().string());
    const std::string why = why_out_of_reach(image);
    if (!why.empty()) {
        const std::string subject = printable(image.filename().string());
        context.err << fmt::format("orchtrace: no trace was written: {} {}\n", subject, why);
        return;
    }
    context.err << fmt::format(
        "orchtrace: no trace was written: {} made no call that orchtrace looks at;\n"
        "orchtrace: see --probes and --checkpoints in 'orchtrace help run'\n",
        name);
}

int report_not_started(const ChildEnd& end, const std::string& command, Context& context) {
    const std::string why =
        end.exit_code == exit_not_found
            ? "command not found"
            : fmt::format("cannot be executed: {}", ::strerrordesc_np(end.start_error));
    context.err << fmt::format("orchtrace: {}: {}\n", printable(command), why);
    return end.exit_code;
}

int run(const CLI::App& app, const RunOptions& options, Context& context) {
    const std::vector<std::string> command = command_of(app, context);
    const std::string search_path = getenv_or_empty("PATH");
    const fs::path image = image_of(command, search_path);
    TraceOutput output{options.output, output_facts(image)};
    check_settings(options, output.absolute_pattern());
    const fs::path library = find_library(options, context);
    // A mistyped command must not cost an old trace.
    if (find_program(command[0], search_path).empty()) {
        return report_not_started({0, ENOENT, 0, exit_not_found}, command[0], context);
    }
    output.prepare(options.append);
    context.out.flush();
    const ChildEnd end = run_child(command, child_environment(options, output, library));
    if (end.start_error != 0) return report_not_started(end, command[0], context);
    const std::vector<WrittenTrace> traces = output.written(end.signal != 0);
    if (end.signal != 0 && !options.quiet) {
        context.err << fmt::format("orchtrace: {} was ended by SIG{}\n", printable(command[0]),
                                   ::sigabbrev_np(end.signal));
    }
    report_written(options, traces, context);
    if (traces.empty() && !output.is_stream()) warn_no_trace(command[0], image, context);
    context.err.flush();
    return end.exit_code;
}

void add_settings(CLI::App& app, RunOptions& options) {
    // Filled before any address is taken.
    for (const ConfigVariable& variable : config_variables()) {
        if (variable.name != log_file_variable) {
            options.settings.push_back({&variable, option_name(variable.name), {}});
            continue;
        }
        app.add_option("-o,--output", options.output, variable.help)
            ->type_name("FILE")
            ->envname(variable.name)
            ->capture_default_str();
    }
    for (Setting& setting : options.settings) {
        const ConfigVariable& variable = *setting.variable;
        app.add_option(
               setting.option, setting.value,
               fmt::format("{}: {} [{}]", variable.help, variable.values, variable.fallback))
            ->type_name("VALUE")
            ->envname(variable.name);
    }
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<RunOptions>();
    add_settings(app, *options);
    app.add_flag("--append", options->append, "keep what the file holds, and add a run to it");
    app.add_flag("-q,--quiet", options->quiet, "say nothing at the end unless something is wrong");
    app.add_option("--library", options->library, "liborchtrace.so, if it is not beside orchtrace")
        ->type_name("PATH")
        ->envname("ORCH_LIBRARY");
    app.prefix_command();
    return [&app, options](Context& context) { return run(app, *options, context); };
}

}  // namespace

const Command run_command{
    "run", "[OPTIONS] -- COMMAND [ARGUMENT...]",
    "run an engine, unmodified, and trace what it computes",
    "The exit code is the command's own.\n\n"
    "examples:\n"
    "  orchtrace run -- llama-cli -m model.gguf -p Hello -n 8\n"
    "  orchtrace run -o py.jsonl --team torch --checkpoints gemm,logits -- python3 llama.py",
    add_options};

}  // namespace orch
