// orch_log.hpp and orchtrace.h, seen from outside: each case runs a helper program
// (tests/apps/orch_log_app*.cpp) in an environment of its own and reads what it left behind.
#undef ORCH_LOGGING
#include "orch_log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "orchtrace.h"

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Environment = std::map<std::string, std::string>;

fs::path app_path(const std::string& name) {
    if (const char* directory = std::getenv("ORCH_TEST_APPS")) return fs::path(directory) / name;
#ifdef ORCH_TEST_APPS_DIR
    return fs::path(ORCH_TEST_APPS_DIR) / name;
#else
    return fs::read_symlink("/proc/self/exe").parent_path() / name;
#endif
}

std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

/// The rounding of half precision, written down a second time.
float half_value(unsigned bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double fraction = (bits & 1023) / 1024.0;
    const double size =
        exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
    return static_cast<float>(bits & 0x8000 ? -size : size);
}

class OrchLog : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "orch_log_test.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { fs::remove_all(directory_); }

    fs::path file() const { return directory_ / "trace.jsonl"; }
    Environment to_file() const { return {{"ORCH_LOG_FILE", file().string()}}; }
    Environment to_file(const std::string& key, const std::string& value) const {
        return {{"ORCH_LOG_FILE", file().string()}, {key, value}};
    }

    /// Runs the program with exactly this environment; what it prints is in printed_.
    void run(const std::string& app, const std::vector<std::string>& arguments,
             const Environment& environment) {
        const std::string program = app_path(app).string();
        const fs::path output = directory_ / "output";
        // Sanitizers take these for faults: the stack of a cancelled thread, and the threads and
        // stacks that a forked child lacks.
        std::vector<std::string> variables{"ASAN_OPTIONS=use_sigaltstack=0:detect_leaks=0",
                                           "TSAN_OPTIONS=report_thread_leaks=0"};
        for (const auto& [key, value] : environment)
            variables.push_back(key + "=" + value);
        std::vector<char*> argv{const_cast<char*>(program.c_str())}, envp;
        for (const std::string& s : arguments)
            argv.push_back(const_cast<char*>(s.c_str()));
        for (const std::string& s : variables)
            envp.push_back(const_cast<char*>(s.c_str()));
        argv.push_back(nullptr);
        envp.push_back(nullptr);
        child_ = fork();
        ASSERT_GE(child_, 0);
        if (child_ == 0) {
            const int fd = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
            dup2(fd, 1);
            dup2(fd, 2);
            if (chdir(directory_.c_str()) == 0) execve(program.c_str(), argv.data(), envp.data());
            _exit(127);
        }
        int status = 0;
        ASSERT_EQ(waitpid(child_, &status, 0), child_);
        ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
        ASSERT_NE(WEXITSTATUS(status), 127) << "cannot run " << program;
        EXPECT_EQ(WEXITSTATUS(status), 0);
        printed_ = read_file(output);
        fs::remove(output);
    }

    /// All records; every line must be whole and parse.
    static std::vector<Json> records(const fs::path& path) {
        std::vector<Json> result;
        const std::string text = read_file(path);
        EXPECT_TRUE(text.empty() || text.back() == '\n');
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) {
            Json record = Json::parse(line, nullptr, false);
            EXPECT_TRUE(record.is_object()) << line;
            if (record.is_object()) result.push_back(std::move(record));
        }
        return result;
    }
    static std::map<std::string, std::vector<Json>> by_checkpoint(const fs::path& path) {
        std::map<std::string, std::vector<Json>> result;
        for (Json& record : records(path)) {
            const std::string name = record["checkpoint"];
            result[name].push_back(std::move(record));
        }
        return result;
    }
    std::map<std::string, std::vector<Json>> trace_of(const std::string& command,
                                                      Environment environment = {}) {
        environment.insert({"ORCH_LOG_FILE", file().string()});
        fs::remove(file());
        run("orch_log_app", {command}, environment);
        EXPECT_EQ(printed_, "");
        return by_checkpoint(file());
    }
    std::vector<fs::path> files() const {
        return {fs::directory_iterator(directory_), fs::directory_iterator()};
    }

    fs::path directory_;
    pid_t child_ = 0;
    std::string printed_;
};

TEST(OrchLogCompiledOut, ArgumentsAreNotEvaluated) {
    int evaluated = 0;
    const auto touch = [&evaluated] { return ++evaluated; };
    ORCH_LOG_JSON("a", (touch(), nullptr), touch(), "f32", "[1]");
    ORCH_LOG_JSON_TOKEN("a", not_even_declared, touch(), "f32", "[1]", touch());
    ORCH_LOG_FLUSH();
    EXPECT_EQ(evaluated, 0);
    touch();
}

TEST(OrchTraceHeader, DoesNothingWithoutTheLibrary) {
    if (orch_trace_log) GTEST_SKIP() << "liborchtrace.so is injected into this test";
    const float value = 1;
    errno = 4242;
    orch_log("c", &value, 1, "f32", "[1]", 0);
    orch_log(nullptr, nullptr, 1, nullptr, nullptr, 0);
    EXPECT_EQ(orch_log_enabled(), 0);
    orch_log_flush();
    EXPECT_EQ(errno, 4242);
}

TEST_F(OrchLog, DisabledDoesNothing) {
    for (const Environment& environment :
         {Environment{}, Environment{{"ORCH_LOG_FILE", ""}}, Environment{{"ORCH_LOG_TEAM", "x"}}}) {
        run("orch_log_app", {"lazy"}, environment);
        EXPECT_EQ(printed_, "evaluated 0\n");
        EXPECT_TRUE(files().empty());
    }
    run("orch_log_app", {"lazy"}, to_file());
    EXPECT_EQ(printed_, "evaluated 3\n");
}

TEST_F(OrchLog, SevenKeysInOrder) {
    run("orch_log_app", {"basic"}, to_file("ORCH_LOG_TEAM", "my \"team\""));
    EXPECT_EQ(printed_, "");
    const std::vector<Json> all = records(file());
    ASSERT_EQ(all.size(), 4u);  // the last one comes from a static destructor
    const std::vector<std::string> keys{"ts",    "team",  "checkpoint", "token_idx",
                                        "dtype", "shape", "values"};
    const std::regex time(R"(20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z)");
    for (const Json& record : all) {
        std::vector<std::string> found;
        for (const auto& item : record.items())
            found.push_back(item.key());
        EXPECT_EQ(found, keys);
        EXPECT_TRUE(std::regex_match(record["ts"].get<std::string>(), time)) << record["ts"];
        EXPECT_EQ(record["team"], "my \"team\"");
    }
    EXPECT_EQ(all[0]["checkpoint"], "embedding");
    EXPECT_EQ(all[0]["token_idx"], 0);
    EXPECT_EQ(all[1]["checkpoint"], "logits");
    EXPECT_EQ(all[1]["token_idx"], 4);
    EXPECT_EQ(all[1]["dtype"], "f32");
    EXPECT_EQ(all[1]["shape"], "[1,3]");
    EXPECT_EQ(all[1]["values"].dump(), "[1.5,-2.25,0.1]");
    EXPECT_EQ(all[2]["checkpoint"], "second_unit");
    EXPECT_EQ(all[3]["checkpoint"], "static_destructor");
}

TEST_F(OrchLog, TimeIsNow) {
    const std::time_t before = std::time(nullptr);
    run("orch_log_app", {"basic"}, to_file());
    const std::time_t after = std::time(nullptr);
    for (const Json& record : records(file())) {
        std::tm parts{};
        const std::string text = record["ts"];
        ASSERT_NE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts), nullptr);
        EXPECT_GE(timegm(&parts), before);
        EXPECT_LE(timegm(&parts), after);
    }
}

TEST_F(OrchLog, AppendsAndNamesTheExecutable) {
    run("orch_log_app", {"basic"}, to_file());
    run("orch_log_app", {"basic"}, to_file());
    const std::vector<Json> all = records(file());
    EXPECT_EQ(all.size(), 8u);
    for (const Json& record : all)
        EXPECT_EQ(record["team"], "orch_log_app");
}

TEST_F(OrchLog, EscapesStrings) {
    trace_of("escape");
    const std::vector<Json> all = records(file());
    ASSERT_EQ(all.size(), 6u);
    const std::string bad = "\xEF\xBF\xBD";
    const std::vector<std::string> expected{
        "quote\" back\\slash /", "\x01\x1f\b\f\n\r\t\x7f", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80",
        "bad " + bad + " " + bad + bad + " " + bad + bad + bad + " " + bad + " " + bad + bad, ""};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(all[i]["checkpoint"], expected[i]);
        EXPECT_EQ(all[i]["shape"], expected[i]);
    }
}

TEST_F(OrchLog, NonFiniteValuesAreNullAndNamed) {
    auto trace = trace_of("nonfinite");
    const Json& f32 = trace["f32"].at(0);
    EXPECT_EQ(f32["nonfinite"].dump(), R"([[0,"nan"],[2,"inf"],[3,"-inf"],[4,"nan"]])");
    EXPECT_EQ(f32["values"].dump(), "[null,1,null,null,null,3.4028235e+38]");
    std::vector<std::string> keys;
    for (const auto& item : f32.items())
        keys.push_back(item.key());
    ASSERT_EQ(keys.size(), 8u);
    EXPECT_EQ(keys[6], "nonfinite");
    EXPECT_EQ(keys[7], "values");
    EXPECT_EQ(trace["f64"].at(0)["nonfinite"].dump(), R"([[1,"nan"],[2,"-inf"]])");
    for (const char* type : {"f16", "bf16"}) {
        EXPECT_EQ(trace[type].at(0)["nonfinite"].dump(), R"([[0,"inf"],[1,"-inf"],[2,"nan"]])");
        EXPECT_EQ(trace[type].at(0)["values"].dump(), "[null,null,null,1]");
    }
}

TEST_F(OrchLog, NumbersRoundTrip) {
    auto trace = trace_of("numbers");
    const std::string text = read_file(file());
    const std::string f32 = "[7.0385307e-26,-7.0385307e-26,-0.0,0,1e-45,3.4028235e+38,123.456]";
    const auto count = [&text](const std::string& part) {
        std::size_t n = 0;
        for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
            ++n;
        return n;
    };
    EXPECT_EQ(count("\"values\":" + f32), 2u) << text;
    EXPECT_EQ(count("[0.1,-0.0,1e+300,5e-324,7.038531e-26]"), 1u) << text;
    EXPECT_EQ(count("[1,-2,0.33325195,5.9604645e-08,6.097555e-05,6.1035156e-05,65504,-0.0]"), 1u);
    EXPECT_EQ(count("[1,-2,0.33398438,9.1835e-41,3.3895314e+38,-0.0]"), 1u) << text;

    std::uint32_t bits = 0;
    const auto through_double = static_cast<float>(trace["f32"].at(0)["values"][0].get<double>());
    std::memcpy(&bits, &through_double, sizeof bits);
    EXPECT_EQ(bits, 0x15AE43FDu);
}

TEST_F(OrchLog, EveryHalf) {
    auto trace = trace_of("halves", {{"ORCH_LOG_VALUES", "65536"}});
    const Json& values = trace["all"].at(0)["values"];
    ASSERT_EQ(values.size(), 65536u);
    for (unsigned bits = 0; bits < 65536; ++bits) {
        if ((bits >> 10 & 31) == 31) {
            ASSERT_TRUE(values[bits].is_null()) << bits;
            continue;
        }
        const auto value = values[bits].get<float>();
        ASSERT_EQ(value, half_value(bits)) << bits;
        ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
    }
    EXPECT_EQ(trace["all"].at(0)["nonfinite"].size(), 2048u);
}

TEST_F(OrchLog, ValuesLimit) {
    const auto sizes = [this](const Environment& environment) {
        auto trace = trace_of("counts", environment);
        std::vector<std::size_t> result;
        for (const char* name : {"long", "short", "none"})
            result.push_back(trace[name].at(0)["values"].size());
        EXPECT_EQ(trace["long"].at(0)["shape"], "[1000]");
        return result;
    };
    using Sizes = std::vector<std::size_t>;
    EXPECT_EQ(sizes({}), (Sizes{10, 2, 0}));
    EXPECT_EQ(sizes({{"ORCH_LOG_VALUES", "1"}}), (Sizes{1, 1, 0}));
    EXPECT_EQ(sizes({{"ORCH_LOG_VALUES", "999"}}), (Sizes{999, 2, 0}));
    EXPECT_EQ(sizes({{"ORCH_LOG_VALUES", "18446744073709551615"}}), (Sizes{1000, 2, 0}));
    for (const char* bad : {"", "0", "-1", "+5", "ten", "5x", " 5", "1e3", "18446744073709551616"})
        EXPECT_EQ(sizes({{"ORCH_LOG_VALUES", bad}}), (Sizes{10, 2, 0})) << bad;
}

TEST_F(OrchLog, OddArguments) {
    auto trace = trace_of("odd_arguments");
    EXPECT_EQ(trace["null data"].at(0)["values"].size(), 0u);
    EXPECT_EQ(trace["null data"].at(0)["token_idx"], -7);
    EXPECT_EQ(trace[""].at(0)["dtype"], "f32");
    EXPECT_EQ(trace[""].at(0)["shape"], "");
    EXPECT_EQ(trace[""].at(0)["token_idx"], std::numeric_limits<std::int64_t>::max());
    EXPECT_EQ(trace["unknown"].at(0)["dtype"], "q4_0");
    EXPECT_EQ(trace["unknown"].at(0)["values"].size(), 0u);
    EXPECT_EQ(trace["negative"].at(0)["values"].size(), 0u);
}

TEST_F(OrchLog, ManyThreads) {
    run("orch_log_app", {"threads", "8", "2000"}, to_file());
    EXPECT_EQ(printed_, "");
    auto trace = by_checkpoint(file());
    ASSERT_EQ(trace.size(), 9u);
    for (int t = 0; t < 8; ++t) {
        const std::vector<Json>& mine = trace["thread_" + std::to_string(t)];
        ASSERT_EQ(mine.size(), 2000u);
        for (std::size_t i = 0; i < mine.size(); ++i)
            ASSERT_EQ(mine[i]["token_idx"], i);
    }
}

TEST_F(OrchLog, ForkedChildrenShareTheFile) {
    run("orch_log_app", {"fork", "6", "700"}, to_file());
    EXPECT_EQ(printed_, "");
    auto trace = by_checkpoint(file());
    EXPECT_EQ(trace["before"].size(), 1u);
    EXPECT_EQ(trace["after"].size(), 1u);
    EXPECT_EQ(trace["static_destructor"].size(), 7u);
    for (int c = 0; c < 6; ++c)
        EXPECT_EQ(trace["child_" + std::to_string(c)].size(), 700u);
    const std::vector<Json>& noise = trace["noise"];
    for (std::size_t i = 0; i < noise.size(); ++i)
        ASSERT_EQ(noise[i]["token_idx"], i);
}

TEST_F(OrchLog, ForkedChildrenWithFilesOfTheirOwn) {
    run("orch_log_app", {"fork", "3", "5"},
        {{"ORCH_LOG_FILE", (directory_ / "trace.%p").string()}});
    EXPECT_EQ(printed_, "");
    EXPECT_EQ(files().size(), 4u);
    const fs::path parent = directory_ / ("trace." + std::to_string(child_));
    EXPECT_EQ(by_checkpoint(parent)["before"].size(), 1u);
    for (const fs::path& path : files()) {
        auto trace = by_checkpoint(path);
        EXPECT_EQ(trace["static_destructor"].size(), 1u);
        if (path == parent) continue;
        EXPECT_EQ(trace.size(), 2u);
        EXPECT_EQ(records(path).size(), 6u);
    }
}

TEST_F(OrchLog, FileNameTemplate) {
    const auto name_for = [this](const std::string& pattern, Environment environment) {
        environment["ORCH_LOG_FILE"] = pattern;
        run("orch_log_app", {"basic"}, environment);
        const std::vector<fs::path> found = files();
        EXPECT_EQ(found.size(), 1u);
        const std::string name = found.empty() ? "" : found[0].filename().string();
        for (const fs::path& path : found)
            fs::remove(path);
        return name;
    };
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    const std::string name = name_for("%e-%h-%p%p", {});
    const std::string pid = std::to_string(child_);
    EXPECT_EQ(name, "orch_log_app-" + std::string(host) + "-" + pid + pid);
    EXPECT_EQ(name_for("%r", {}), "0");
    EXPECT_EQ(name_for("%r", {{"SLURM_PROCID", "4"}}), "4");
    EXPECT_EQ(name_for("%r", {{"SLURM_PROCID", "4"}, {"PMI_RANK", "3"}}), "3");
    EXPECT_EQ(name_for("%r", {{"PMI_RANK", "3"}, {"OMPI_COMM_WORLD_RANK", "2"}}), "2");
    EXPECT_EQ(name_for("%r", {{"OMPI_COMM_WORLD_RANK", "2"}, {"RANK", "1"}}), "1");
    EXPECT_EQ(name_for("%r", {{"RANK", ""}, {"PMI_RANK", "3"}}), "3");
    EXPECT_EQ(name_for("100%-%x%", {}), "100%-%x%");
}

TEST_F(OrchLog, UnwritableFileIsSilent) {
    for (const char* path : {"/nonexistent/trace.jsonl", "/", "/proc/version", "/dev/full"}) {
        run("orch_log_app", {"basic"}, {{"ORCH_LOG_FILE", path}});
        EXPECT_EQ(printed_, "") << path;
        run("orch_log_app", {"keeps_errno"}, {{"ORCH_LOG_FILE", path}});
        EXPECT_EQ(printed_, "") << path;
    }
    EXPECT_TRUE(files().empty());
}

TEST_F(OrchLog, FlushedLinesSurviveACrash) {
    auto trace = trace_of("crash");
    EXPECT_EQ(trace["flushed"].size(), 1u);
    EXPECT_EQ(trace["lost"].size(), 0u);
}

TEST_F(OrchLog, KeepsErrno) {
    auto trace = trace_of("keeps_errno");
    EXPECT_EQ(trace["more"].size(), 2000u);
}

TEST_F(OrchLog, SurvivesClosedDescriptors) {
    auto trace = trace_of("close_all");
    EXPECT_EQ(trace["before"].size(), 1u);
    EXPECT_EQ(trace["after"].size(), 1u);
}

TEST_F(OrchLog, CancelledThread) {
    auto trace = trace_of("cancel");
    EXPECT_GE(trace["cancelled"].size(), 20u);
    EXPECT_EQ(trace["after"].size(), 1u);
}

TEST_F(OrchLog, LibraryTakesTheRecords) {
    run("orch_log_app_library", {"basic"}, to_file());
    EXPECT_EQ(printed_,
              "embedding 1.5 3 f32 [3] 0\n"
              "logits 1.5 3 f32 [1,3] 4\n"
              "second_unit 2 2 f32 [2] 5\n"
              "static_destructor 1.5 3 f32 [1,3] 0\n");
    run("orch_log_app_library", {"lazy"}, to_file());
    EXPECT_EQ(printed_,
              "lazy 1 2 f32 [2] 0\nlazy 1 2 f32 [2] 0\nlazy 1 2 f32 [2] 0\nflush\nevaluated 3\n"
              "static_destructor 1.5 3 f32 [1,3] 0\n");
    run("orch_log_app_library", {"lazy"}, {{"FAKE_OFF", "1"}});
    EXPECT_EQ(printed_, "flush\nevaluated 0\n");
    run("orch_log_app_library", {"c_interface"}, to_file());
    EXPECT_EQ(printed_, "c 3 2 f32 [2] 9\nenabled 1\nflush\nstatic_destructor 1.5 3 f32 [1,3] 0\n");
    run("orch_log_app", {"c_interface"}, {});
    EXPECT_EQ(printed_, "enabled 0\n");
    EXPECT_TRUE(files().empty());
}

}  // namespace
