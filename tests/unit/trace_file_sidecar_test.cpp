#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/trace_file.hpp"
#include "tests/unit/read_file.hpp"
#include "tests/unit/trace_file_support.hpp"

namespace orch {
namespace {

TEST_F(TraceFileTest, TheSidecarHoldsRawValuesAtTheOffsetsItReturns) {
    Writer w(path());
    EXPECT_EQ(w.file.sidecar_name(), "trace.jsonl");
    const float first[] = {1, 2, 3};
    const std::string second(100'000, 's');
    EXPECT_EQ(w.file.append_sidecar(first, sizeof first), 0);
    EXPECT_EQ(w.file.append_sidecar(second.data(), second.size()), 12);
    EXPECT_EQ(w.file.append_sidecar(first, sizeof first), 100'012);
    const std::string text = read_file(path().string() + ".values");
    ASSERT_EQ(text.size(), 100'024U);
    EXPECT_EQ(std::memcmp(text.data(), first, sizeof first), 0);
    EXPECT_EQ(text.substr(12, 100'000), second);
}

TEST_F(TraceFileTest, TheSidecarOfASecondRunContinuesTheFirst) {
    std::ofstream(path().string() + ".values") << "12345678";
    Writer w(path());
    EXPECT_EQ(w.file.append_sidecar("x", 1), 8);
}

TEST_F(TraceFileTest, AFullSidecarEndsNeitherTheProcessNorItsDescriptors) {
    EXPECT_EQ(in_child([&] {
                  const rlimit size{1000, 1000};
                  setrlimit(RLIMIT_FSIZE, &size);  // SIGXFSZ would end this child
                  Writer w(path());
                  const std::string data(600, 'd');
                  if (w.file.append_sidecar(data.data(), 600) != 0) return 1;
                  const auto open_files = [] {
                      const fs::directory_iterator all("/proc/self/fd");
                      return std::distance(begin(all), end(all));
                  };
                  if (w.file.append_sidecar(data.data(), 600) != -1) return 2;
                  const auto before = open_files();
                  for (int i = 0; i < 50; ++i) {
                      if (w.file.append_sidecar(data.data(), 600) != -1) return 3;
                  }
                  return open_files() == before ? 0 : 4;
              }),
              0);
}

TEST_F(TraceFileTest, ASidecarWhoseNumberTheEngineTookIsNotWrittenThere) {
    Writer w(path());
    ASSERT_EQ(w.file.append_sidecar("a", 1), 0);
    const int fd = descriptor_of(path().string() + ".values");
    ASSERT_GE(fd, 0);
    const fs::path engines = directory_ / "engines_own";
    const int other = open(engines.c_str(), O_WRONLY | O_CREAT, 0600);
    ASSERT_EQ(dup2(other, fd), fd);
    w.file.append_sidecar("b", 1);
    EXPECT_EQ(read_file(engines), "");
    close(other);
    close(fd);
}

TEST_F(TraceFileTest, ARelativePathStaysWhereItWasWhenTheEngineChangesItsDirectory) {
    EXPECT_EQ(in_child([&] {
                  fs::create_directory(directory_ / "elsewhere");
                  if (chdir(directory_.c_str()) != 0) return 1;
                  Writer w("trace.jsonl");
                  if (chdir("elsewhere") != 0) return 1;
                  w.file.append_sidecar("x", 1);
                  return fs::exists(directory_ / "trace.jsonl.values") ? 0 : 2;
              }),
              0);
}

}  // namespace
}  // namespace orch
