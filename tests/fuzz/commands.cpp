// Any bytes as the files that a command is given. However bad, the command ends with an exit code
// and a message of its own. The first byte says which command; a line of five '=' ends a file.
#include "analyzer/cli/commands.hpp"

#include <array>
#include <sstream>

#include "analyzer/cli/exit_codes.hpp"
#include "tests/fuzz/file_in_memory.hpp"

namespace {

using orch::fuzz::FileInMemory;
using orch::fuzz::require;
using Words = std::vector<std::string>;

/// A, B and C stand for the files.
const Words commands[] = {
    {"info", "A"},
    {"info", "--format", "json", "A"},
    {"stats", "A"},
    {"stats", "--by-position", "--histogram", "--all", "--format", "json", "A"},
    {"stats", "--garbage", "A"},
    {"show", "A"},
    {"show", "--format", "jsonl", "--limit", "0", "A"},
    {"export", "A"},
    {"export", "--format", "npz", "-o", "OUT", "A"},
    {"export", "--format", "safetensors", "-o", "OUT", "A"},
    {"compare", "A", "B"},
    {"compare", "--format", "json", "A", "B", "C"},
    {"compare", "--format", "markdown", "--floor", "C", "A", "B"},
    {"compare", "--format", "csv", "--index", "C", "A", "B"},
    {"baseline", "check", "C", "A", "B"},
    {"index", "-o", "OUT", "A"},
    {"info", "--index", "B", "A"},
    {"export", "--index", "B", "A"},
};

std::string_view take_file(std::string_view& rest) {
    constexpr std::string_view mark = "\n=====\n";
    const std::size_t end = rest.find(mark);
    const std::string_view file = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + mark.size());
    return file;
}

/// What a library says when nobody has thought of the case.
bool is_of_a_library(std::string_view message) {
    for (const std::string_view word : {"std::", "vector::", "basic_string", "map::at", "json.exc",
                                        "stoi", "bad_", "unknown kind", "_M_"}) {
        if (message.find(word) != std::string_view::npos) return true;
    }
    return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    std::string_view rest = orch::fuzz::as_text(data, size).substr(1);
    const FileInMemory a{take_file(rest)};
    const FileInMemory b{take_file(rest)};
    const FileInMemory c{take_file(rest)};
    const FileInMemory written{""};
    Words words = commands[data[0] % std::size(commands)];
    for (std::string& word : words) {
        if (word == "A") word = a.path();
        if (word == "B") word = b.path();
        if (word == "C") word = c.path();
        if (word == "OUT") word = written.path();
    }
    std::ostringstream out;
    std::ostringstream err;
    orch::Context context{out, err, data[0] >= 128, "/nonexistent", {}, false};
    const int code = orch::run_cli(words, context);
    require(code == orch::exit_ok || code == 1 || code == orch::exit_unusable, "a known exit code");
    require(code != orch::exit_unusable || !(out.str() + err.str()).empty(),
            "what is wrong is told");
    if (is_of_a_library(err.str())) std::fprintf(stderr, "%s", err.str().c_str());
    require(!is_of_a_library(err.str()), "a message of its own");
    return 0;
}
