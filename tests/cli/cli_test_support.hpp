// A command of orchtrace, called as main() calls it, and files to call it on.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/cli/commands.hpp"

namespace orch {

struct Outcome {
    int code = -1;
    std::string out;
    std::string err;
};

inline Outcome orchtrace(std::vector<std::string> arguments, bool color = false) {
    std::ostringstream out;
    std::ostringstream err;
    Context context{out, err, color, "/nonexistent", {}, false};
    const int code = run_cli(std::move(arguments), context);
    return {code, out.str(), err.str()};
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

/// A directory of its own for each test.
class InDirectory : public testing::Test {
  protected:
    InDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "orch_cli.XXXXXX").string();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    ~InDirectory() override { std::filesystem::remove_all(directory_); }

    std::string path(std::string_view name) const { return (directory_ / name).string(); }
    std::string file(std::string_view name, std::string_view text) const {
        write_file(path(name), text);
        return path(name);
    }

    std::filesystem::path directory_;
};

/// Sets a variable of this process's environment for as long as it lives.
class WithVariable {
  public:
    WithVariable(const char* name, const std::string& value) : name_(name) {
        ::setenv(name, value.c_str(), 1);
    }
    ~WithVariable() { ::unsetenv(name_); }
    WithVariable(const WithVariable&) = delete;
    WithVariable& operator=(const WithVariable&) = delete;

  private:
    const char* name_;
};

}  // namespace orch
