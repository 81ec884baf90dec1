#include "core/full_dump.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>

#include "tests/unit/records_support.hpp"

namespace orch {
namespace {

/// A safetensors file, by its definition.
struct Safetensors {
    Json header;
    std::string data;

    explicit Safetensors(const fs::path& path) {
        const std::string all = read_file(path);
        std::uint64_t length = 0;
        EXPECT_GE(all.size(), sizeof length) << path;
        if (all.size() < sizeof length) return;
        std::memcpy(&length, all.data(), sizeof length);
        EXPECT_EQ(length % 8, 0U);
        header = Json::parse(all.substr(sizeof length, length), nullptr, false);
        data = all.substr(sizeof length + length);
        EXPECT_EQ(header.value("y", Json{})["data_offsets"], (Json{0, data.size()})) << header;
    }
    Json metadata(const char* key) const { return header["__metadata__"].value(key, Json{}); }
};

template <class Element>
std::string bytes_of(const std::vector<Element>& elements) {
    return {reinterpret_cast<const char*>(elements.data()), elements.size() * sizeof(Element)};
}

class FullDump : public RecordsTest {
  protected:
    void SetUp() override {
        RecordsTest::SetUp();
        select("all");
    }
    void select(std::string_view globs) { ASSERT_TRUE(config_.full.parse(globs)); }
    fs::path folder() const { return path().string() + ".full"; }
    std::set<std::string> files() const {
        std::set<std::string> names;
        if (!fs::is_directory(folder())) return names;
        for (const auto& entry : fs::directory_iterator(folder()))
            names.insert(entry.path().filename().string());
        return names;
    }
    Safetensors file_of(const Json& record) const {
        return Safetensors(directory_ / record.at("full").get<std::string>());
    }
    /// One call after the other, each with its number.
    void write(const std::vector<std::string>& checkpoints) {
        const std::vector<float> values = counting(6);
        Call call(view_of(values, DType::f32, 2));
        call.record.call = 0;
        for (const std::string& checkpoint : checkpoints) {
            call.record.checkpoint = checkpoint;
            write_call(trace(), call.record);
            ++call.record.call;
        }
    }
    void expect_counts(int recorded, int dropped) {
        EXPECT_EQ(ledger_["full"], (Json{{"seen", recorded + dropped},
                                         {"recorded", recorded},
                                         {"filtered", 0},
                                         {"dropped", dropped}}));
    }
    static std::vector<std::string> blind_spots(const std::vector<Json>& records) {
        std::vector<std::string> why;
        for (const Json& record : records) {
            if (record.value("kind", "") == "blind_spot") why.push_back(record["why"]);
        }
        return why;
    }
};

TEST_F(FullDump, IsASafetensorsFileThatTheRecordNames) {
    const std::vector<float> values = counting(6);
    Call call(view_of(values, DType::f32, 2), 8);
    call.record.engine_name = "result_output";
    call.record.pass = 3;
    call.record.positions_known = true;
    write_call(trace(), call.record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 2U) << "and the line of position 8";
    EXPECT_EQ(records[0]["full"], "trace.jsonl.full/logits.safetensors");
    EXPECT_FALSE(records[1].contains("full"));
    const Safetensors file = file_of(records[0]);
    EXPECT_EQ(file.header["y"]["dtype"], "F32");
    EXPECT_EQ(file.header["y"]["shape"], (Json{2, 3}));
    EXPECT_EQ(file.data, bytes_of(values));
    EXPECT_EQ(file.header["__metadata__"], (Json{{"checkpoint", "logits"},
                                                 {"name", "result_output"},
                                                 {"op", "op"},
                                                 {"call", "5"},
                                                 {"pass", "3"},
                                                 {"positions", "token"},
                                                 {"token_positions", "8,9"}}));
    EXPECT_EQ(files(), (std::set<std::string>{"logits.safetensors"}));
    expect_counts(1, 0);
}

TEST_F(FullDump, HasTheElementsRowAfterRowWhateverTheirTypeAndLayout) {
    const auto expect = [&](auto elements, DType type, const char* name) {
        using Element = typename decltype(elements)::value_type;
        for (std::size_t i = 0; i < elements.size(); ++i)
            elements[i] = static_cast<Element>(i % 100);
        // 100 rows of 90, of 97; the same as columns; 3 rows of 3200 backwards.
        MatrixView rows{elements.data(), type, 100, 90, 97, 1};
        MatrixView columns{elements.data(), type, 90, 100, 1, 97};
        MatrixView backwards{elements.data() + 6400, type, 3, 3200, -3200, 1};
        for (const MatrixView& m : {rows, columns, backwards}) {
            std::vector<Element> expected;
            for (std::int64_t r = 0; r < m.rows; ++r) {
                for (std::int64_t c = 0; c < m.cols; ++c)
                    expected.push_back(
                        static_cast<const Element*>(m.data)[r * m.row_stride + c * m.col_stride]);
            }
            Call call(m);
            const FullName written = write_full(trace(), call.record);
            const Safetensors file(folder() / std::string(std::string_view(written)));
            EXPECT_EQ(file.header["y"]["dtype"], name);
            EXPECT_EQ(file.header["y"]["shape"], (Json{m.rows, m.cols}));
            EXPECT_TRUE(file.data == bytes_of(expected)) << name;
        }
    };
    expect(std::vector<float>(9700), DType::f32, "F32");
    expect(std::vector<double>(9700), DType::f64, "F64");
    expect(std::vector<std::uint16_t>(9700), DType::f16, "F16");
    expect(std::vector<std::uint16_t>(9700), DType::bf16, "BF16");
}

TEST_F(FullDump, OfANameThatRepeatsHasTheNumberOfTheCall) {
    write({"logits", "logits", "embedding", "logits"});
    const std::vector<Json> records = finish();
    EXPECT_EQ(files(), (std::set<std::string>{"embedding.safetensors", "logits.000001.safetensors",
                                              "logits.000003.safetensors", "logits.safetensors"}));
    std::set<std::string> named;
    for (const Json& record : records) {
        if (!record.contains("full")) continue;
        named.insert(record["full"]);
        EXPECT_EQ(file_of(record).metadata("call"), std::to_string(record["call"].get<int>()));
    }
    EXPECT_EQ(named.size(), 4U);
}

TEST_F(FullDump, NeverReplacesAFileOfAnEarlierRun) {
    fs::create_directory(folder());
    const std::set<std::string> old{"logits.safetensors", "logits.000000.safetensors",
                                    "logits.000000.2.safetensors"};
    for (const std::string& name : old)
        std::ofstream(folder() / name) << name;
    write({"logits"});
    const std::vector<Json> records = finish();
    EXPECT_EQ(records[0]["full"], "trace.jsonl.full/logits.000000.3.safetensors");
    for (const std::string& name : old)
        EXPECT_EQ(read_file(folder() / name), name);
    EXPECT_EQ(files().size(), 4U);
}

TEST_F(FullDump, MakesFileNamesOfAnyName) {
    write({"a/b", "../x", ".hidden", "", "q k\n", "ä", std::string(300, 'l')});
    const std::vector<Json> records = finish();
    EXPECT_EQ(files(),
              (std::set<std::string>{"__.safetensors", "_.safetensors", "_._x.safetensors",
                                     "_hidden.safetensors", "a_b.safetensors",
                                     std::string(120, 'l') + ".safetensors", "q_k_.safetensors"}));
    for (const Json& record : records) {
        if (!record.contains("full")) continue;
        EXPECT_EQ(file_of(record).metadata("checkpoint"), record["checkpoint"]);
    }
    expect_counts(7, 0);
}

TEST_F(FullDump, IsMadeOfWhatIsSelectedAlone) {
    struct Case {
        const char* globs;
        bool wanted;
    };
    for (const Case& c : std::initializer_list<Case>{{"log*", true},
                                                     {"embedding", false},
                                                     {"result_*", true},
                                                     {"MUL_*,x", true},
                                                     {"gemm", false},
                                                     {"layers,logits", true},
                                                     {"all", true}}) {
        Config config;
        ASSERT_TRUE(config.full.parse(c.globs));
        EXPECT_EQ(wants_full(config, CheckpointGroup::logits, "logits", "result_output", "MUL_MAT"),
                  c.wanted)
            << c.globs;
    }
    EXPECT_FALSE(wants_full(Config{}, CheckpointGroup::gemm, "gemm", "gemm", "gemm")) << "off";
}

TEST_F(FullDump, ThatIsNotSelectedLeavesNothing) {
    select("embedding");
    write({"logits"});
    EXPECT_FALSE(finish()[0].contains("full"));
    EXPECT_FALSE(ledger_.contains("full"));
    EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(FullDump, EndsAtTheLimit) {
    config_.full_limit = 60;  // two results of 24 bytes
    write({"a", "b", "c", "d"});
    const std::vector<Json> records = finish();
    EXPECT_EQ(files(), (std::set<std::string>{"a.safetensors", "b.safetensors"}));
    expect_counts(2, 2);
    EXPECT_EQ(blind_spots(records),
              (std::vector<std::string>{"ORCH_TRACE_FULL_LIMIT is reached; the ledger has the "
                                        "number of whole results that are missing"}))
        << "once";
    EXPECT_EQ(classes("checkpoint")["recorded"], 4);
}

TEST_F(FullDump, WithoutAPlaceLeavesTheRecords) {
    std::ofstream(folder()) << "in the way";
    errno = 4711;
    write({"a", "b"});
    EXPECT_EQ(errno, 4711);
    const std::vector<Json> records = finish();
    expect_counts(0, 2);
    EXPECT_EQ(blind_spots(records).size(), 1U);
    EXPECT_EQ(classes("checkpoint")["recorded"], 2);
    for (const Json& record : records)
        EXPECT_FALSE(record.contains("full"));
    EXPECT_EQ(read_file(folder()), "in the way");
}

TEST_F(FullDump, OfATraceThatIsNoFileIsNotMade) {
    config_.log_file = FixedString<1023>{"/dev/null"};
    write({"a"});
    trace().finish();
    EXPECT_EQ(trace().ledger().full.dropped.load(), 1U);
    EXPECT_FALSE(fs::exists("/dev/null.full"));
}

TEST_F(FullDump, ThatMeetsTheEndOfTheDiskIsNotThere) {
    const std::vector<float> large = counting(100000);
    Call call(view_of(large, DType::f32, 10));
    write({"before"});
    trace().flush();
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit small{65536, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    // The default action of SIGXFSZ would end this process.
    errno = 4711;
    const FullName name = write_full(trace(), call.record);
    EXPECT_EQ(errno, 4711);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_TRUE(name.empty());
    EXPECT_EQ(files(), (std::set<std::string>{"before.safetensors"})) << "no part of it is left";
    const std::vector<Json> records = finish();
    expect_counts(1, 1);
    EXPECT_EQ(blind_spots(records).size(), 1U);
}

TEST_F(FullDump, OfSeveralThreadsAtOnceAreAllThere) {
    constexpr int threads = 4;
    constexpr int each = 25;
    trace();
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) {
        running.emplace_back([this, t] {
            const std::vector<float> values(300, static_cast<float>(t));
            Call call(view_of(values, DType::f32, 1));
            for (int i = 0; i < each; ++i) {
                call.record.call = static_cast<std::uint64_t>(t * each + i);
                write_call(trace(), call.record);
            }
        });
    }
    for (std::thread& thread : running)
        thread.join();
    std::set<std::string> named;
    for (const Json& record : finish()) {
        const Safetensors file = file_of(record);
        EXPECT_EQ(file.metadata("call"), std::to_string(record["call"].get<int>()));
        EXPECT_EQ(file.data, bytes_of(std::vector<float>(300, record["values"][0].get<float>())));
        named.insert(fs::path(record["full"].get<std::string>()).filename().string());
    }
    EXPECT_EQ(named.size(), std::size_t{threads} * each);
    EXPECT_EQ(files(), named);
    expect_counts(threads * each, 0);
}

}  // namespace
}  // namespace orch
