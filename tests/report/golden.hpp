// Expected output as files that people read: tests/report/golden. With ORCH_UPDATE_GOLDEN set, a
// test writes what it got; look at the difference before it is believed.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace orch {

inline void expect_golden(const std::string& name, std::string text) {
    const std::string version = "\"" ORCH_VERSION "\"";
    if (const std::size_t at = text.find(version); at != std::string::npos) {
        text.replace(at, version.size(), "\"VERSION\"");
    }
    const std::filesystem::path path = std::filesystem::path{GOLDEN_DIRECTORY} / name;
    if (std::getenv("ORCH_UPDATE_GOLDEN") != nullptr) {
        std::ofstream(path, std::ios::binary) << text;
        return;
    }
    std::ifstream in(path, std::ios::binary);
    ASSERT_TRUE(in) << path;
    const std::string expected{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(text, expected) << path;
}

}  // namespace orch
