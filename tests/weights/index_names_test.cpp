// --index: what a nameless engine recorded is shown under the checkpoint's names. The engine's
// weights are those of the index, without their names: a tracer sketches the same numbers.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/util/text.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/weights/checkpoint_builder.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

std::vector<float> noise(std::size_t count, unsigned seed) {
    std::vector<float> values(count);
    for (float& value : values) {
        seed = seed * 1664525U + 1013904223U;
        value = static_cast<float>(seed >> 16) / 65536.0F - 0.5F;
    }
    return values;
}

std::string model(unsigned seed) {
    GgufBuilder gguf;
    gguf.text("general.architecture", "llama");
    for (const char* name : {"blk.0.attn_q.weight", "blk.1.attn_q.weight", "blk.0.attn_k.weight",
                             "blk.0.attn_v.weight", "output.weight"}) {
        const std::uint64_t rows = name == std::string_view{"output.weight"} ? 48 : 32;
        gguf.tensor(name, {16, rows}, 0, raw_floats(noise(16 * rows, ++seed * 7919)));
    }
    return gguf.file();
}

std::vector<Json> lines_of(const std::string& text) {
    std::vector<Json> lines;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);)
        lines.push_back(Json::parse(line));
    return lines;
}

/// A process of an engine on a BLAS.
class EngineRun {
  public:
    /// Under an id that tells nothing.
    void weight(const std::string& id, Json line) {
        line["team"] = "torch";
        line["checkpoint"] = "weight." + id;
        line["weight"] = id;
        line.erase("name");
        line.erase("role");
        shapes_[id] = Json::parse(line["shape"].get<std::string>());
        text_ += line.dump() + '\n';
    }
    void product(const std::string& id) {
        const std::string head = fmt::format(
            R"({{"ts":"t","team":"torch","checkpoint":"gemm.{:06}","token_idx":1,"dtype":"f32",)"
            R"("shape":"[2,{}]",)",
            call_, shapes_[id][0].dump());
        const auto side = [&](int extent) {
            return fmt::format(R"({{"dtype":"f32","rows":2,"cols":{},"energy":1,"sum":{}}})",
                               shapes_[id][static_cast<std::size_t>(extent)].dump(), call_);
        };
        text_ += fmt::format(R"({}"kind":"row","call":{},"values":[{}.25]}})", head, call_, call_);
        text_ += '\n';
        text_ += fmt::format(
            R"({}"kind":"gemm","call":{},"weight":"{}","x":{},"y":{},"values":[{}.5]}})", head,
            call_, id, side(1), side(0), call_);
        text_ += '\n';
        ++call_;
    }
    /// Nothing but a header tells one run from the next.
    std::string text() const {
        return R"({"ts":"t","team":"torch","checkpoint":"orchtrace.header","token_idx":0,)"
               R"("dtype":"","shape":"[]","kind":"header","schema":1,"values":[]})"
               "\n" +
               text_;
    }

  private:
    std::string text_;
    std::map<std::string, Json> shapes_;
    int call_ = 0;
};

class IndexNames : public InDirectory {
  protected:
    IndexNames() {
        index_ = index_of("model.gguf", 1);
        for (const Json& line : lines_of(read_file(index_))) {
            if (line["kind"] == "weight") weights_[line["name"]] = line;
        }
    }
    std::string index_of(const std::string& name, unsigned seed) {
        const std::string gguf = file(name, model(seed));
        EXPECT_EQ(orchtrace({"index", gguf, "-o", gguf + ".idx"}).code, exit_ok);
        return gguf + ".idx";
    }

    /// Two passes over q of two layers, something that is no parameter, and the head.
    std::string trace() {
        EngineRun run;
        run.weight("w1", weights_["blk.0.attn_q.weight"]);
        run.weight("w2", weights_["blk.1.attn_q.weight"]);
        run.weight("w3", other_content());
        run.weight("w4", weights_["output.weight"]);
        for (int pass = 0; pass < 2; ++pass) {
            for (const char* id : {"w1", "w3", "w2", "w4"})
                run.product(id);
        }
        return file("torch.jsonl", run.text());
    }
    Json other_content() {
        Json line = weights_["output.weight"];
        for (Json& bucket : line["sketch"])
            bucket = -bucket.get<double>();
        return line;
    }

    std::map<std::string, Json> weights_;
    std::string index_;
};

TEST_F(IndexNames, InfoCountsWeightsAndProductsUnderThem) {
    const Outcome outcome = orchtrace({"info", "--index", index_, trace()});
    EXPECT_EQ(outcome.code, exit_ok) << outcome.err;
    EXPECT_TRUE(contains(outcome.out, "4 (0 named, 3 named by the index, 1 nameless): 4 f32"))
        << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "5 weights of model.gguf")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "gemm.blk.0..1.attn_q")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "gemm.output")) << outcome.out;
    // What is left of the numbered calls has gaps where the others were.
    EXPECT_TRUE(contains(outcome.out, "gemm.000001..000005")) << outcome.out;
    EXPECT_FALSE(contains(outcome.out, "gap")) << outcome.out;
}

TEST_F(IndexNames, InfoAsJsonHasMembersAndRecordsOfEach) {
    const Outcome outcome = orchtrace({"info", "--format", "json", "--index", index_, trace()});
    const Json run = Json::parse(outcome.out)["files"][0]["runs"][0];
    EXPECT_EQ(run["weights"]["named"], 0);
    EXPECT_EQ(run["weights"]["named_by_index"], 3);
    EXPECT_EQ(run["weights"]["nameless"], 1);
    const Json& q = run["checkpoints"][0];
    EXPECT_EQ(q["name"], "gemm.blk.0..1.attn_q");
    EXPECT_EQ(q["members"], 2);
    EXPECT_EQ(q["records"], 4);
    EXPECT_EQ(q["rows"], 4);
    EXPECT_EQ(q["records_per_member"], Json::parse("[2,2]"));
}

TEST_F(IndexNames, WithoutItNothingIsNamed) {
    const Outcome outcome = orchtrace({"info", trace()});
    EXPECT_TRUE(contains(outcome.out, "4 (0 named, 4 nameless): 4 f32")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "gemm.000000..000007")) << outcome.out;
    EXPECT_FALSE(contains(outcome.out, "index")) << outcome.out;
}

TEST_F(IndexNames, ExportWritesThemAsCheckpoints) {
    const Outcome outcome = orchtrace({"export", "--index", index_, trace()});
    EXPECT_EQ(outcome.code, exit_ok) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_TRUE(contains(outcome.out, "\ntorch,gemm.blk.0.attn_q,1,6,f32,\"[2,32]\",0,0.25\n"))
        << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "torch,gemm.blk.0.attn_q,1,7,f32,\"[2,32]\",0,0.5\n"));
    EXPECT_TRUE(contains(outcome.out, "torch,gemm.blk.1.attn_q,1,11,f32,\"[2,32]\",0,2.5\n"));
    EXPECT_TRUE(contains(outcome.out, "torch,gemm.000001,1,9,f32,\"[2,48]\",0,1.5\n"));
    EXPECT_FALSE(contains(outcome.out, "gemm.000000")) << outcome.out;
}

TEST_F(IndexNames, ExportPutsAllCallsOfAWeightIntoOneArray) {
    const std::string output = path("x.safetensors");
    const Outcome outcome = orchtrace(
        {"export", "--index", index_, "--checkpoint", "gemm.blk.*", "-o", output, trace()});
    EXPECT_EQ(outcome.code, exit_ok) << outcome.err;
    EXPECT_TRUE(contains(outcome.out, "8 records of 2 checkpoints")) << outcome.out;
    const std::string bytes = read_file(output);
    const Json header = Json::parse(bytes.substr(8, bytes.find("}}") + 2 - 8));
    EXPECT_EQ(header["gemm.blk.0.attn_q"]["shape"], Json::parse("[4,1]"));
    EXPECT_EQ(header["gemm.blk.1.attn_q"]["shape"], Json::parse("[4,1]"));
    EXPECT_FALSE(header.contains("gemm.000001"));
    EXPECT_EQ(orchtrace({"export", "--index", index_, "-o", path("x.npz"), trace()}).code, exit_ok);
    EXPECT_TRUE(contains(read_file(path("x.npz")), "gemm.output.token_idx.npy"));
}

TEST_F(IndexNames, AFusedWeightHasTheNamesOfItsParts) {
    Json fused = weights_["blk.0.attn_k.weight"];
    const Json& v = weights_["blk.0.attn_v.weight"];
    fused["shape"] = "[64,16]";
    for (const char* sum : {"energy", "sum"})
        fused[sum] = fused[sum].get<double>() + v[sum].get<double>();
    for (std::size_t i = 0; i < fused["sketch"].size(); ++i)
        fused["sketch"][i] = fused["sketch"][i].get<double>() + v["sketch"][i].get<double>();
    EngineRun run;
    run.weight("w1", fused);
    run.product("w1");
    const Outcome outcome =
        orchtrace({"export", "--index", index_, file("torch.jsonl", run.text())});
    EXPECT_TRUE(contains(outcome.out, "torch,gemm.blk.0.attn_k + blk.0.attn_v,1,")) << outcome.out;
}

TEST_F(IndexNames, EachRunOfAFileHasItsOwn) {
    std::string both;
    for (const char* name : {"blk.0.attn_q.weight", "blk.1.attn_q.weight"}) {
        EngineRun run;
        run.weight("w1", weights_[name]);
        run.product("w1");
        both += run.text();
    }
    const std::string trace = file("torch.jsonl", both);
    const Json runs = Json::parse(
        orchtrace({"info", "--format", "json", "--index", index_, trace}).out)["files"][0]["runs"];
    EXPECT_EQ(runs[0]["checkpoints"][0]["name"], "gemm.blk.0.attn_q");
    EXPECT_EQ(runs[1]["checkpoints"][0]["name"], "gemm.blk.1.attn_q");
    const std::string csv = orchtrace({"export", "--index", index_, trace}).out;
    EXPECT_TRUE(contains(csv, "torch,gemm.blk.0.attn_q,1,4,")) << csv;
    EXPECT_TRUE(contains(csv, "torch,gemm.blk.1.attn_q,1,8,")) << csv;
}

TEST_F(IndexNames, AnIndexOfAnotherModelIsSeen) {
    const std::string other = index_of("other.gguf", 99);
    const Outcome info = orchtrace({"info", "--index", other, trace()});
    EXPECT_EQ(info.code, exit_ok);
    std::string words;
    std::istringstream in{info.out};
    for (std::string word; in >> word;)
        words += word + ' ';
    EXPECT_TRUE(
        contains(words, "none of the 4 nameless weights here is in it; is it of this model?"))
        << info.out;
    const Outcome exported = orchtrace({"export", "--index", other, trace()});
    EXPECT_EQ(exported.code, exit_ok);
    EXPECT_TRUE(contains(exported.err, "names nothing in")) << exported.err;
    EXPECT_TRUE(contains(exported.out, "torch,gemm.000000,")) << exported.out;
}

TEST_F(IndexNames, NamesOfTheEngineAreKept) {
    std::string text = read_file(trace());
    const std::string id = R"("weight":"w1",)";
    text.insert(text.find(id) + id.size(), R"("name":"my.own.weight",)");
    const Outcome outcome = orchtrace({"info", "--index", index_, file("own.jsonl", text)});
    EXPECT_TRUE(contains(outcome.out, "4 (1 named, 2 named by the index, 1 nameless)"))
        << outcome.out;
}

TEST_F(IndexNames, ABadIndexIsOneMessage) {
    const std::string trace = this->trace();
    const std::string whole = read_file(index_);
    const std::string cut = file("cut.idx", whole.substr(0, whole.size() / 2));
    const std::pair<std::string, std::string> cases[] = {
        {path("none.idx"), "No such file"},
        {trace, "not an index of a model"},
        {file("empty.idx", ""), "not an index of a model"},
        {cut, "damaged"},
        {directory_.string(), "Is a directory"}};
    for (const char* command : {"info", "export"}) {
        for (const auto& [index, why] : cases) {
            const Outcome outcome = orchtrace({command, "--index", index, trace});
            EXPECT_EQ(outcome.code, exit_unusable) << command << ' ' << index;
            EXPECT_EQ(outcome.out, "");
            EXPECT_TRUE(outcome.err.starts_with("orchtrace: " + index + ": ")) << outcome.err;
            EXPECT_TRUE(contains(outcome.err, why)) << outcome.err;
            EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
        }
    }
}

}  // namespace
}  // namespace orch
