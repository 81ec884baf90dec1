// Records as the probes make them, and as a reader of the trace sees them.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/records.hpp"
#include "core/trace.hpp"
#include "tests/unit/read_file.hpp"

namespace orch {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;  // the order of the keys is part of the format

inline std::vector<std::string> keys_of(const Json& record) {
    std::vector<std::string> keys;
    for (const auto& item : record.items())
        keys.push_back(item.key());
    return keys;
}

/// What every record of every kind starts and ends with.
inline void expect_envelope(const Json& record) {
    const std::vector<std::string> keys = keys_of(record);
    ASSERT_GE(keys.size(), 7U);
    EXPECT_EQ(
        std::vector<std::string>(keys.begin(), keys.begin() + 6),
        (std::vector<std::string>{"ts", "team", "checkpoint", "token_idx", "dtype", "shape"}));
    EXPECT_EQ(keys.back(), "values") << record;
    EXPECT_TRUE(record["ts"].is_string() && record["team"].is_string());
    EXPECT_TRUE(record["checkpoint"].is_string() && record["token_idx"].is_number_integer());
    EXPECT_TRUE(record["dtype"].is_string() && record["shape"].is_string());
    EXPECT_TRUE(record["values"].is_array());
}

class RecordsTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "records_test.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = fs::canonical(name);
        config_.log_file = FixedString<1023>{path().string()};
        config_.team = FixedString<255>{"team"};
    }
    void TearDown() override { fs::remove_all(directory_); }

    fs::path path() const { return directory_ / "trace.jsonl"; }

    Trace& trace() {
        if (trace_ == nullptr) {
            PathFacts facts;
            facts.pid = getpid();
            trace_ = Trace::start(config_, facts);
        }
        return *trace_;
    }

    /// Ends the trace and reads it; the last ledger is in ledger_.
    std::vector<Json> finish() {
        trace().finish();
        std::vector<Json> records;
        std::istringstream in(read_file(path()));
        for (std::string line; std::getline(in, line);) {
            Json json = Json::parse(line, nullptr, false);
            EXPECT_TRUE(json.is_object()) << line;
            if (!json.is_object()) continue;
            expect_envelope(json);
            if (json.value("kind", "") == "ledger") {
                ledger_ = json;
            } else {
                records.push_back(std::move(json));
            }
        }
        return records;
    }

    Json classes(const char* name) const { return ledger_["classes"][name]; }

    fs::path directory_;
    Config config_;
    Json ledger_;

  private:
    Trace* trace_ = nullptr;
};

template <class Element>
MatrixView view_of(const std::vector<Element>& values, DType type, std::int64_t rows) {
    MatrixView view;
    view.data = values.data();
    view.dtype = type;
    view.rows = rows;
    view.cols = static_cast<std::int64_t>(values.size()) / rows;
    view.row_stride = view.cols;
    return view;
}

/// A record with its digests, as a probe makes it.
struct Call {
    CallRecord record;
    Digest y;
    Digest x;
    Side input;

    explicit Call(const MatrixView& result, std::int64_t first = 0) {
        DigestRequest request;
        request.positions.first = first;
        digest(result, request, y);
        record.kind = "checkpoint";
        record.record_class = RecordClass::checkpoint;
        record.checkpoint = "logits";
        record.op = "op";
        record.call = 5;
        record.positions.first = first;
        record.result = {result, &y, dtype_name(result.dtype)};
    }
    void add_input(const MatrixView& m) {
        DigestRequest request;
        request.positions = record.positions;
        request.extremes = false;
        digest(m, request, x);
        input = {m, &x, dtype_name(m.dtype)};
        record.input = &input;
    }
};

inline std::vector<float> counting(std::size_t count) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 0.0F);
    return values;
}

}  // namespace orch
