// `orchtrace run` and its files: what is kept, emptied, found again and told.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "analyzer/cli/exit_codes.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

constexpr std::string_view old_line = R"({"ts":"t","team":"a","checkpoint":"old","values":[]})";

class RunOutput : public InDirectory {
  protected:
    RunOutput() : library_("ORCH_LIBRARY", FAKE_TRACER) {}

    Outcome run(const std::string& output, const std::vector<std::string>& options = {},
                const std::string& script = "exit 0") {
        std::vector<std::string> arguments{"run", "-o", output};
        arguments.insert(arguments.end(), options.begin(), options.end());
        for (const char* word : {"--", "/bin/sh", "-c"})
            arguments.emplace_back(word);
        arguments.push_back(script);
        return orchtrace(arguments);
    }

    WithVariable library_;
};

std::ptrdiff_t lines_in(const std::string& path) {
    const std::string text = read_file(path);
    return std::count(text.begin(), text.end(), '\n');
}

TEST_F(RunOutput, SaysWhereTheTraceIsAndWhatReadsIt) {
    const Outcome outcome = run(path("t.jsonl"));
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(contains(outcome.err, "orchtrace: wrote " + path("t.jsonl") + ": 3 lines, "));
    EXPECT_TRUE(contains(outcome.err, "orchtrace: next: orchtrace info " + path("t.jsonl") + "\n"));
    EXPECT_EQ(orchtrace({"info", path("t.jsonl")}).code, exit_ok);
}

TEST_F(RunOutput, QuietSaysNothing) {
    EXPECT_EQ(run(path("t.jsonl"), {"-q"}).err, "");
}

TEST_F(RunOutput, ARelativePathIsMeantFromWhereRunStarted) {
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(directory_);
    const Outcome outcome = run("t.jsonl", {}, "cd / && exec /bin/true");
    std::filesystem::current_path(before);
    EXPECT_TRUE(contains(outcome.err, "orchtrace: next: orchtrace info t.jsonl\n")) << outcome.err;
    EXPECT_GT(lines_in(path("t.jsonl")), 0);
}

TEST_F(RunOutput, TheVariableNamesTheFileWhereNoOptionDoes) {
    const WithVariable output("ORCH_LOG_FILE", path("v.jsonl"));
    EXPECT_EQ(orchtrace({"run", "--", "/bin/true"}).code, 0);
    EXPECT_GT(lines_in(path("v.jsonl")), 0);
}

TEST_F(RunOutput, StartsAfreshByDefault) {
    file("t.jsonl", std::string{old_line} + "\n");
    file("t.jsonl.values", "raw");
    std::filesystem::create_directory(path("t.jsonl.full"));
    file("t.jsonl.full/logits.safetensors", "raw");
    file("t.jsonl.full/notes.txt", "the user's");
    run(path("t.jsonl"));
    EXPECT_EQ(lines_in(path("t.jsonl")), 3);
    EXPECT_EQ(read_file(path("t.jsonl.values")), "");
    EXPECT_FALSE(std::filesystem::exists(path("t.jsonl.full/logits.safetensors")));
    EXPECT_TRUE(std::filesystem::exists(path("t.jsonl.full/notes.txt"))) << "nothing of ours";
}

TEST_F(RunOutput, AppendKeepsWhatIsThere) {
    file("t.jsonl", std::string{old_line} + "\n");
    const Outcome outcome = run(path("t.jsonl"), {"--append"});
    EXPECT_EQ(lines_in(path("t.jsonl")), 4);
    EXPECT_TRUE(contains(outcome.err, ": 3 lines, ")) << outcome.err;
}

TEST_F(RunOutput, AppendStartsALineWhereTheLastOneHasNoEnd) {
    file("t.jsonl", old_line);
    run(path("t.jsonl"), {"--append"});
    EXPECT_TRUE(read_file(path("t.jsonl")).starts_with(std::string{old_line} + "\n{"));
}

TEST_F(RunOutput, RefusesToTouchWhatIsNoTrace) {
    const std::string text = "my only copy\n{\"checkpoint\":\"x\"}\n";
    file("thesis.txt", text);
    for (const std::vector<std::string>& options : {std::vector<std::string>{}, {"--append"}}) {
        const Outcome outcome = run(path("thesis.txt"), options);
        EXPECT_EQ(outcome.code, exit_unusable);
        EXPECT_TRUE(contains(outcome.err, "does not look like a trace"));
        EXPECT_EQ(read_file(path("thesis.txt")), text);
    }
}

TEST_F(RunOutput, RefusesADirectory) {
    const Outcome outcome = run(directory_.string());
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_TRUE(contains(outcome.err, "is a directory"));
}

TEST_F(RunOutput, AnUnwritableDirectoryIsToldBeforeTheStart) {
    file("plain", "");
    for (const std::string& output : {path("none/t.jsonl"), path("plain/t.jsonl"),
                                      std::string{"/proc/t.jsonl"}, path("none/%p.jsonl")}) {
        const Outcome outcome = run(output, {}, "touch " + path("started"));
        EXPECT_EQ(outcome.code, exit_unusable) << output;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
        EXPECT_TRUE(contains(outcome.err, "cannot write a trace there")) << outcome.err;
        EXPECT_FALSE(std::filesystem::exists(path("started")));
    }
}

TEST_F(RunOutput, RefusesAFileThatAnotherProcessTracesInto) {
    file("t.jsonl", std::string{old_line} + "\n");
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t other = ::fork();
    if (other == 0) {
        const int fd = ::open(path("t.jsonl").c_str(), O_WRONLY);
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        ::fcntl(fd, F_SETLK, &lock);
        (void)!::write(ready[1], "x", 1);
        ::pause();
        ::_exit(0);
    }
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    const Outcome outcome = run(path("t.jsonl"));
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_TRUE(contains(outcome.err, "another process is tracing into it"));
    EXPECT_EQ(lines_in(path("t.jsonl")), 1);
}

TEST_F(RunOutput, FindsTheFilesOfATemplate) {
    const Outcome outcome = run(path("[x].%e.%p.jsonl"), {}, "/bin/true; exit 0");
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
        ++found;
        EXPECT_TRUE(contains(outcome.err, entry.path().string())) << outcome.err;
    }
    EXPECT_EQ(found, 2U);
}

TEST_F(RunOutput, FilesOfEarlierRunsAreNotListedAgain) {
    file("t.4711.jsonl", std::string{old_line} + "\n");
    EXPECT_FALSE(contains(run(path("t.jsonl")).err, "4711"));
    EXPECT_EQ(lines_in(path("t.4711.jsonl")), 1);
}

TEST_F(RunOutput, ATornLastLineIsTakenAwayAfterASignal) {
    const WithVariable torn("FAKE_TRACE", "torn");
    const Outcome outcome = run(path("t.jsonl"), {}, "kill -KILL $$");
    EXPECT_EQ(outcome.code, exit_signal_base + SIGKILL);
    EXPECT_TRUE(contains(outcome.err, "the last line was torn; ")) << outcome.err;
    EXPECT_EQ(lines_in(path("t.jsonl")), 3);
    EXPECT_TRUE(read_file(path("t.jsonl")).ends_with("}\n"));
}

TEST_F(RunOutput, NothingIsTakenAwayAfterAnOrderlyEnd) {
    const WithVariable torn("FAKE_TRACE", "torn");
    const Outcome outcome = run(path("t.jsonl"));
    EXPECT_FALSE(contains(outcome.err, "torn"));
    EXPECT_FALSE(read_file(path("t.jsonl")).ends_with("\n"));
}

TEST_F(RunOutput, AWholeLastLineWithoutNewlineStaysAfterASignal) {
    const WithVariable none("FAKE_TRACE", "none");
    const std::string line{old_line};
    run(path("t.jsonl"), {}, "printf '%s' '" + line + "' >" + path("t.jsonl") + "; kill -KILL $$");
    EXPECT_EQ(read_file(path("t.jsonl")), line);
}

TEST_F(RunOutput, SaysWhyAStaticProgramLeftNoTrace) {
    const Outcome outcome = orchtrace({"run", "-o", path("t.jsonl"), "--", STATIC_APP});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err,
              "orchtrace: no trace was written: cli_static_app is statically linked, so LD_PRELOAD "
              "does not reach it\n");
}

TEST_F(RunOutput, SaysThatNothingWasTraced) {
    const WithVariable none("FAKE_TRACE", "none");
    const Outcome outcome = run(path("t.jsonl"), {"-q"});
    EXPECT_TRUE(contains(outcome.err, "no trace was written: sh made no call")) << outcome.err;
    EXPECT_FALSE(contains(outcome.err, "next:"));
}

TEST_F(RunOutput, APipeOrDeviceIsWrittenAndNotJudged) {
    const Outcome outcome = run("/dev/null");
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "");
}

}  // namespace
}  // namespace orch
