// A trace file with its pages looked at, and other processes that open it.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/trace_file.hpp"

namespace orch {

namespace fs = std::filesystem;

inline constexpr std::size_t page = 4096;

/// Lines without padding and newline; a last one without a newline is kept with a mark.
inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        line.erase(line.find_last_not_of(' ') + 1);
        lines.push_back(line);
    }
    if (!text.empty() && text.back() != '\n') lines.back() += "<torn>";
    return lines;
}

/// What is wrong with the pages of `text` from `from` on, or nothing.
inline std::string page_error(const std::string& text, std::size_t from) {
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin) + 1;
        if (end == 0) return "no newline at the end";
        const std::string_view line{text.data() + begin, end - begin};
        const std::size_t bare = line.find_last_not_of(" \n") + 2;
        const std::string at = " at " + std::to_string(begin);
        if (begin >= from) {
            if (bare <= page && begin / page != (end - 1) / page)
                return "a line crosses a page" + at;
            if (bare > page && begin % page != 0) return "a long line starts within a page" + at;
        }
        begin = end;
    }
    return {};
}

inline std::string numbered_line(std::size_t number, std::size_t size) {
    std::string line = std::to_string(number) + ":";
    if (line.size() + 1 < size) line.append(size - line.size() - 1, 'x');
    return line + '\n';
}

/// Runs `work` in a child; its return value is the child's exit status.
inline int in_child(const std::function<int()>& work) {
    const pid_t child = fork();
    if (child == 0) _exit(work());
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// The descriptor of this process that is open on `path`.
inline int descriptor_of(const fs::path& path) {
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        if (fs::read_symlink(entry.path(), error) == path)
            return std::stoi(entry.path().filename());
    }
    return -1;
}

class TraceFileTest : public testing::Test {
  protected:
    struct Writer {
        std::unique_ptr<char[]> staging{new char[TraceFile::staging_size]};
        TraceFile file;

        explicit Writer(const std::string& path, long pid = getpid()) {
            file.use_staging(staging.get());
            file.open(path, pid);
        }
        ~Writer() { file.abandon(); }
    };

    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "trace_file_test.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = fs::canonical(name);
    }
    void TearDown() override { fs::remove_all(directory_); }

    fs::path path() const { return directory_ / "trace.jsonl"; }
    void fill(std::size_t size) const {
        std::ofstream out(path(), std::ios::binary);
        if (size > 0) out << std::string(size - 1, 'o') << '\n';
    }

    fs::path directory_;
};

}  // namespace orch
