// Numbered lines into a trace, and the trace as a reader sees it.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/trace.hpp"
#include "tests/unit/read_file.hpp"

namespace orch {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// A trace as a reader sees it; every line must parse.
struct Read {
    std::vector<Json> records;
    std::vector<Json> ledgers;

    explicit Read(const fs::path& path) {
        const std::string text = read_file(path);
        EXPECT_TRUE(text.empty() || text.back() == '\n') << "torn at the end";
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) {
            Json json = Json::parse(line, nullptr, false);
            EXPECT_TRUE(json.is_object()) << line;
            if (!json.is_object()) continue;
            const bool is_ledger = json.value("checkpoint", "") == "orchtrace.ledger";
            (is_ledger ? ledgers : records).push_back(std::move(json));
        }
    }
};

/// Expects the numbers of each thread to be 0, 1, 2, ... in this order; gives back how many.
inline std::map<int, int> count_in_order(const std::vector<Json>& records) {
    std::map<int, int> next;
    for (const Json& record : records) {
        const int thread = record.at("thread");
        EXPECT_EQ(record.at("n").get<int>(), next[thread]) << "thread " << thread;
        next[thread] = record.at("n").get<int>() + 1;
    }
    return next;
}

inline bool record(Trace& trace, int thread, int n, std::size_t padding = 0) {
    return trace.record(RecordClass::log, 256 + padding, [&](JsonLine& line) {
        line.field("thread", thread);
        line.field("n", n);
        line.key("padding");
        // Not string(): that one asks for six bytes per character.
        line.open_array();
        if (char* out = line.reserve(padding + 1)) {
            std::memset(out, '0', padding + 1);
            out[0] = '"';
            out[padding] = '"';
            if (padding > 0) line.advance_to(out + padding + 1);
        }
        line.close_array();
    });
}

class TraceTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "trace_test.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = fs::canonical(name);
    }
    void TearDown() override { fs::remove_all(directory_); }

    fs::path path() const { return directory_ / "trace.jsonl"; }

    static Trace* start(const std::string& file, std::string_view team = "team") {
        Config config;
        config.log_file = FixedString<1023>{file};
        config.team = FixedString<255>{team};
        PathFacts facts;
        facts.pid = getpid();
        Trace* trace = Trace::start(config, facts);
        EXPECT_NE(trace, nullptr);
        return trace;
    }
    Trace* start() const { return start(path().string()); }

    fs::path directory_;
};

inline void expect_ledger(const Json& ledger, std::uint64_t recorded, std::uint64_t dropped) {
    EXPECT_EQ(ledger.at("final"), true);
    EXPECT_EQ(ledger.at("lines"), recorded);
    EXPECT_EQ(ledger.at("lost_lines"), 0);
    EXPECT_EQ(ledger.at("classes").at("log").at("recorded"), recorded);
    EXPECT_EQ(ledger.at("classes").at("log").at("dropped"), dropped);
}

}  // namespace orch
