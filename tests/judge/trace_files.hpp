// Traces that a test writes, read the way the commands read them.
#pragma once
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "analyzer/align/alignment.hpp"
#include "analyzer/info/trace_summary.hpp"

namespace orch {

class TraceFile {
  public:
    explicit TraceFile(const std::string& text) {
        static int count = 0;
        path_ = std::filesystem::temp_directory_path() /
                fmt::format("judge_test_{}_{}.jsonl", ::getpid(), count++);
        std::ofstream{path_} << text;
        trace_ = std::make_unique<Trace>(path_, ReadOptions{1, false});
        const TraceSummary summary = summarize(*trace_);
        engine_ = read_engine(*trace_, trace_->runs().front(), summary.runs.front(), nullptr);
    }
    ~TraceFile() { std::filesystem::remove(path_); }
    TraceFile(const TraceFile&) = delete;
    TraceFile& operator=(const TraceFile&) = delete;

    const EngineTrace& engine() const { return engine_; }

  private:
    std::filesystem::path path_;
    std::unique_ptr<Trace> trace_;
    EngineTrace engine_;
};

struct PlainLine {
    std::string checkpoint;
    int token = 0;
    std::vector<double> values;
};

/// As a logger writes them that knows the seven keys and nothing else. A value of 1e300 is a NaN.
inline std::string plain_text(const std::string& team, const std::vector<PlainLine>& lines) {
    std::string text;
    for (const PlainLine& line : lines) {
        std::string values;
        for (const double value : line.values)
            values +=
                (values.empty() ? "" : ",") + (value == 1e300 ? "null" : fmt::format("{}", value));
        text += fmt::format(
            R"({{"ts":"2026-01-31T12:00:00.123Z","team":"{}","checkpoint":"{}","token_idx":{},)"
            R"("dtype":"f32","shape":"[1,{}]","values":[{}]}})"
            "\n",
            team, line.checkpoint, line.token, line.values.size(), values);
    }
    return text;
}

}  // namespace orch
