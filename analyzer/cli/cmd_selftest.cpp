// selftest: can orchtrace, on this machine, tell right from wrong?
#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/selftest/cases.hpp"
#include "analyzer/util/table.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

struct Options {
    std::string keep;
    std::string format = "text";
};

/// Where the traces go: a directory of our own, or one that is kept.
class Place {
  public:
    explicit Place(const std::string& keep) : kept_(!keep.empty()) {
        if (kept_) {
            path_ = keep;
            fs::create_directories(path_);
            return;
        }
        std::string name = (fs::temp_directory_path() / "orchtrace-selftest.XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) {
            throw UsageError(fmt::format("{}: cannot be made; TMPDIR names another place", name));
        }
        path_ = name;
    }
    ~Place() {
        std::error_code ignored;
        if (!kept_) fs::remove_all(path_, ignored);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
    bool kept_;
};

/// A trace is appended to: an old one would stand in the way.
void check_empty(const std::string& keep) {
    std::error_code error;
    if (!keep.empty() && fs::exists(keep, error) && !fs::is_empty(keep, error)) {
        throw UsageError(
            fmt::format("--keep {}: a new or an empty directory is wanted", printable(keep)));
    }
}

std::string text_of(const std::vector<selftest::Result>& results, std::size_t wrong,
                    const Paint& paint) {
    std::vector<std::vector<std::string>> rows;
    rows.reserve(results.size());
    for (const selftest::Result& result : results)
        rows.push_back({result.name, result.expected, result.good ? "as expected" : result.found});
    const std::string word = wrong == 0 ? "PASSED" : "FAILED";
    std::string text = table({{"engine", 40}, {"expected", 30}, {"found", 22}}, rows);
    text += fmt::format("{}: {} of {} cases are told right\n",
                        wrong == 0 ? paint.green(word) : paint.red(word), results.size() - wrong,
                        results.size());
    if (wrong > 0) text += "What orchtrace says of other traces here is not to be trusted.\n";
    return text;
}

nlohmann::ordered_json json_of(const std::vector<selftest::Result>& results, std::size_t wrong) {
    nlohmann::ordered_json cases = nlohmann::ordered_json::array();
    for (const selftest::Result& result : results) {
        cases.push_back({{"name", result.name},
                         {"trace", result.trace},
                         {"expected", result.expected},
                         {"found", result.found},
                         {"good", result.good}});
    }
    return {{"schema_version", 1}, {"passed", wrong == 0}, {"cases", cases}};
}

int run_selftest(const Options& options, Context& context) {
    check_empty(options.keep);
    const Place place{options.keep};
    std::vector<selftest::Result> results;
    std::size_t wrong = 0;
    selftest::run_cases(place.path(), [&](const selftest::Result& result) {
        wrong += result.good ? 0 : 1;
        results.push_back(result);
    });
    if (options.format == "json") {
        context.out << json_of(results, wrong).dump(2) << '\n';
    } else {
        context.out << text_of(results, wrong, Paint{context.color});
    }
    return wrong == 0 ? exit_ok : exit_divergence;
}

Run add_options(CLI::App& app) {
    auto options = std::make_shared<Options>();
    app.add_option("--keep", options->keep, "keep the traces there, a new directory")
        ->type_name("DIRECTORY");
    app.add_option("--format", options->format, "text, or json with a schema_version")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    return [options](Context& context) { return run_selftest(*options, context); };
}

}  // namespace

const Command selftest_command{
    "selftest", "[OPTIONS]", "check that orchtrace tells right from wrong on this machine",
    "Two engines of a small Llama, built in, are traced with the code that traces real ones: once "
    "as\n"
    "they should be, then with a fault in one of them. Exit code 0: all cases are told right, 1: "
    "not.\n\n"
    "examples:\n"
    "  orchtrace selftest\n"
    "  orchtrace selftest --keep cases && orchtrace compare cases/reference.jsonl cases/mask.jsonl",
    add_options};

}  // namespace orch
