// `orchtrace run` as a launcher: what the command gets, and what comes back from it.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "analyzer/cli/child.hpp"
#include "analyzer/cli/executable.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

class RunCommand : public InDirectory {
  protected:
    RunCommand() : library_("ORCH_LIBRARY", FAKE_TRACER) {}

    /// Runs /bin/sh -c script; what it writes to "out" in the test's directory can be read.
    Outcome sh(const std::string& script, std::vector<std::string> options = {}) {
        std::vector<std::string> arguments{"run", "-o", path("t.jsonl")};
        arguments.insert(arguments.end(), options.begin(), options.end());
        for (const std::string& word : {std::string{"--"}, std::string{"/bin/sh"},
                                        std::string{"-c"}, script, std::string{"sh"}}) {
            arguments.push_back(word);
        }
        arguments.push_back(path("out"));
        return orchtrace(arguments);
    }
    std::string out() const { return read_file(path("out")); }

    WithVariable library_;
};

TEST_F(RunCommand, ExitsAsTheCommandDoes) {
    for (int code : {0, 1, 2, 77, 255})
        EXPECT_EQ(sh("exit " + std::to_string(code)).code, code);
}

TEST_F(RunCommand, EndsWith128AndTheSignalThatEndedTheCommand) {
    const Outcome outcome = sh("kill -TERM $$");
    EXPECT_EQ(outcome.code, exit_signal_base + SIGTERM);
    EXPECT_TRUE(contains(outcome.err, "/bin/sh was ended by SIGTERM"));
    EXPECT_EQ(sh("kill -KILL $$").code, exit_signal_base + SIGKILL);
}

TEST_F(RunCommand, ACommandThatIsNotThereIs127AndCostsNoTrace) {
    file("t.jsonl", R"({"checkpoint":"old"})");
    for (const std::string name : {"no-such-command-here", "/no/such/command"}) {
        const Outcome outcome = orchtrace({"run", "-o", path("t.jsonl"), "--", name});
        EXPECT_EQ(outcome.code, exit_not_found);
        EXPECT_EQ(outcome.err, "orchtrace: " + name + ": command not found\n");
    }
    EXPECT_EQ(read_file(path("t.jsonl")), R"({"checkpoint":"old"})");
}

TEST_F(RunCommand, ACommandThatCannotBeExecutedIs126) {
    const Outcome outcome =
        orchtrace({"run", "-o", path("t.jsonl"), "--", file("plain.txt", "hello")});
    EXPECT_EQ(outcome.code, exit_not_executable);
    EXPECT_TRUE(contains(outcome.err, "cannot be executed: Permission denied"));
}

TEST_F(RunCommand, PassesArgumentsUntouched) {
    const std::vector<std::string> words{"two words", "",   "[a,b]", "--rows",
                                         "-q",        "--", "%%",    "'\""};
    std::vector<std::string> arguments{
        "run", "-q",       "-o", path("t.jsonl"),
        "--",  "/bin/sh",  "-c", "out=$1; shift; printf '<%s>' \"$@\" >$out",
        "sh",  path("out")};
    arguments.insert(arguments.end(), words.begin(), words.end());
    EXPECT_EQ(orchtrace(arguments).code, 0);
    EXPECT_EQ(out(), "<two words><><[a,b]><--rows><-q><--><%%><'\">");
}

TEST_F(RunCommand, TheMarkMayBeLeftOut) {
    const Outcome outcome =
        orchtrace({"run", "-o", path("t.jsonl"), "/bin/sh", "-c", "printf '<%s>' \"$@\" >\"$0\"",
                   path("out"), "-x", "--", "info"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(out(), "<-x><--><info>");
}

TEST_F(RunCommand, SetsTheVariablesInTheCommandOnly) {
    const std::string show = "echo $ORCH_TRACE_ROWS $ORCH_LOG_TEAM $ORCH_LOG_FILE >\"$1\"";
    EXPECT_EQ(sh(show, {"--rows", "last", "--team", "me"}).code, 0);
    EXPECT_EQ(out(), "last me " + path("t.jsonl") + "\n");
    EXPECT_EQ(::getenv("ORCH_TRACE_ROWS"), nullptr);
    EXPECT_EQ(::getenv("ORCH_LOG_FILE"), nullptr);
    EXPECT_EQ(::getenv("LD_PRELOAD"), nullptr);
}

TEST_F(RunCommand, TheOptionBeatsTheVariable) {
    const WithVariable rows("ORCH_TRACE_ROWS", "3");
    sh("echo $ORCH_TRACE_ROWS >\"$1\"");
    EXPECT_EQ(out(), "3\n");
    sh("echo $ORCH_TRACE_ROWS >\"$1\"", {"--rows", "4"});
    EXPECT_EQ(out(), "4\n");
}

TEST_F(RunCommand, RefusesAValueThatTheLibraryWouldRefuse) {
    const Outcome outcome = sh("exit 0", {"--rows", "99"});
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_EQ(outcome.err, "orchtrace: --rows 99: not understood; it takes 1..16, last or all\n");
}

TEST_F(RunCommand, KeepsAnotherPreloadedLibraryBehindItsOwn) {
    const WithVariable preload("LD_PRELOAD", "libm.so.6");
    sh("echo $LD_PRELOAD >\"$1\"");
    EXPECT_EQ(out(), std::string{FAKE_TRACER} + ":libm.so.6\n");
}

TEST_F(RunCommand, ALibraryThatIsNotThereIsNamed) {
    const Outcome outcome = sh("exit 0", {"--library", "/no/lib.so"});
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_EQ(outcome.err,
              "orchtrace: /no/lib.so: no such library; name it with --library or ORCH_LIBRARY\n");
}

TEST_F(RunCommand, ALibraryThatLdPreloadCannotHoldIsRefused) {
    std::filesystem::create_directory(path("a dir"));
    const Outcome outcome = sh("exit 0", {"--library", file("a dir/lib.so", "x")});
    EXPECT_EQ(outcome.code, exit_unusable);
    EXPECT_TRUE(contains(outcome.err, "space or colon"));
}

/// Runs the command in a child process of the test, for signals to be sent to.
class Launched {
  public:
    explicit Launched(const std::string& script) {
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::signal(SIGINT, SIG_DFL);  // ctest or nohup may have had it ignored
        ::_exit(run_child({"/bin/sh", "-c", script}, {}).exit_code);
    }
    pid_t pid() const { return pid_; }
    int wait() const {
        int status = 0;
        ::waitpid(pid_, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

  private:
    pid_t pid_;
};

TEST_F(RunCommand, ForwardsSignalsToTheCommand) {
    for (const auto& [number, name] :
         {std::pair{SIGINT, "INT"}, std::pair{SIGTERM, "TERM"}, std::pair{SIGHUP, "HUP"},
          std::pair{SIGQUIT, "QUIT"}, std::pair{SIGUSR1, "USR1"}, std::pair{SIGUSR2, "USR2"}}) {
        ASSERT_EQ(::mkfifo(path("ready").c_str(), 0600), 0);
        // The trap is set before the fifo is opened; `wait` returns when it strikes. What sleeps
        // must not hold the test's own output open.
        const Launched launched(std::string{"trap 'kill $!; exit 42' "} + name + "; : >" +
                                path("ready") + "; sleep 1000 >/dev/null 2>&1 & wait; exit 1");
        const int fd = ::open(path("ready").c_str(), O_RDONLY);
        ::kill(launched.pid(), number);
        EXPECT_EQ(launched.wait(), 42) << name;
        ::close(fd);
        std::filesystem::remove(path("ready"));
    }
}

TEST_F(RunCommand, ItsSignalMaskIsNotInherited) {
    const ChildEnd end = run_child({"/bin/sh", "-c", "kill -TERM $$; exit 3"}, {});
    EXPECT_EQ(end.signal, SIGTERM);
    sigset_t mask;
    ::sigprocmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(::sigismember(&mask, SIGTERM), 0);
}

TEST_F(RunCommand, WaitsEvenWhereItsParentIgnoredTheEndOfChildren) {
    ::signal(SIGCHLD, SIG_IGN);
    EXPECT_EQ(run_child({"/bin/sh", "-c", "exit 5"}, {}).exit_code, 5);
    EXPECT_EQ(::signal(SIGCHLD, SIG_DFL), SIG_IGN);
}

TEST_F(RunCommand, FollowsLinksAndScriptsToTheImage) {
    const std::filesystem::path sh = std::filesystem::canonical("/bin/sh");
    std::filesystem::create_symlink("/bin/sh", path("link"));
    EXPECT_EQ(image_of({path("link")}, ""), sh);
    const std::string script = file("script", "#!/usr/bin/env -S A=1 sh -u\nexit 0\n");
    ::chmod(script.c_str(), 0755);
    EXPECT_EQ(image_of({script}, "/usr/bin:/bin"), sh);
    EXPECT_EQ(image_of({"script"}, directory_.string() + ":/usr/bin:/bin"), sh);
    EXPECT_EQ(image_of({"no-such-command"}, "/usr/bin"), "");
}

}  // namespace
}  // namespace orch
