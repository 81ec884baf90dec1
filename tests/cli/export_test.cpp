// orchtrace export and show. What numpy and safetensors readers make of the files is in
// tests/cli/export_numpy_test.py.
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

constexpr const char* two_lines =
    R"({"ts":"t","team":"a,b","checkpoint":"logits","token_idx":4,"dtype":"f32","shape":"[1,3]","values":[0.1,-2,null]}
{"ts":"t","team":"a,b","checkpoint":"logits","token_idx":5,"dtype":"f32","shape":"[1,3]","values":[7.0385307e-26]}
)";

using Export = InDirectory;

TEST_F(Export, CsvIsALinePerValueWithTheShortestText) {
    const Outcome outcome = orchtrace({"export", file("t.jsonl", two_lines)});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out,
              "team,checkpoint,token_idx,line,dtype,shape,index,value\n"
              "\"a,b\",logits,4,1,f32,\"[1,3]\",0,0.1\n"
              "\"a,b\",logits,4,1,f32,\"[1,3]\",1,-2\n"
              "\"a,b\",logits,4,1,f32,\"[1,3]\",2,nan\n"
              "\"a,b\",logits,5,2,f32,\"[1,3]\",0,7.038531e-26\n");
}

TEST_F(Export, TheNameChoosesTheFormat) {
    const std::string trace = file("t.jsonl", two_lines);
    EXPECT_EQ(orchtrace({"export", trace, "-o", path("x.npz")}).code, 0);
    EXPECT_EQ(read_file(path("x.npz")).substr(0, 4), "PK\x03\x04");
    EXPECT_EQ(orchtrace({"export", trace, "-o", path("x.safetensors")}).code, 0);
    const std::string tensors = read_file(path("x.safetensors"));
    const auto size =
        static_cast<unsigned char>(tensors[0]) + 256U * static_cast<unsigned char>(tensors[1]);
    const auto header = nlohmann::json::parse(tensors.substr(8, size));
    EXPECT_EQ(header["logits"]["dtype"], "F32");
    EXPECT_EQ(header["logits"]["shape"], (std::vector<int>{2, 3}));
    EXPECT_EQ(tensors.size(), 8 + size + 2 * 3 * 4 + 2 * 8);
    const Outcome unknown = orchtrace({"export", trace, "-o", path("x.xyz")});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_TRUE(contains(unknown.err, "--format")) << unknown.err;
}

TEST_F(Export, NothingToWriteLeavesNoFile) {
    const std::string trace = file("t.jsonl", two_lines);
    const Outcome outcome =
        orchtrace({"export", trace, "-o", path("x.npz"), "--checkpoint", "nothing"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_FALSE(std::filesystem::exists(path("x.npz")));
}

TEST_F(Export, WithoutValuesCsvHasNoTitleEither) {
    const std::string trace = file("t.jsonl", two_lines);
    const Outcome outcome = orchtrace({"export", trace, "--checkpoint", "lgits"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(contains(outcome.err, "no values of a checkpoint lgits; ")) << outcome.err;
    orchtrace({"export", trace, "--checkpoint", "lgits", "-o", path("x.csv")});
    EXPECT_FALSE(std::filesystem::exists(path("x.csv")));
}

TEST_F(Export, TheOptionForCheckpointsDoesNotTakeTheTrace) {
    const std::string trace = file("t.jsonl", two_lines);
    for (const char* command : {"export", "stats"}) {
        const Outcome outcome =
            orchtrace({command, "--checkpoint", "none", "--checkpoint", "logits", trace});
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_TRUE(contains(outcome.out, "logits")) << outcome.out;
    }
}

TEST_F(Export, NeitherTheTraceNorADeviceIsOverwritten) {
    const std::string trace = file("t.csv", two_lines);
    const Outcome itself = orchtrace({"export", trace, "-o", trace});
    EXPECT_EQ(itself.code, 2);
    EXPECT_TRUE(contains(itself.err, "that is the trace itself")) << itself.err;
    EXPECT_EQ(read_file(trace), two_lines);
    std::filesystem::create_directory(path("x.npz"));
    ASSERT_EQ(::mkfifo(path("queue").c_str(), 0600), 0);
    for (const std::string& output : {path("x.npz"), path("queue")}) {
        const Outcome outcome = orchtrace({"export", "--format", "npz", trace, "-o", output});
        EXPECT_EQ(outcome.code, 2);
        EXPECT_TRUE(contains(outcome.err, output + ": not a regular file")) << outcome.err;
    }
    EXPECT_TRUE(std::filesystem::is_fifo(path("queue")));
}

TEST_F(Export, AFileThatALinkNamesIsWrittenWhereItIs) {
    file("real.npz", "old");
    std::filesystem::create_symlink("real.npz", path("link.npz"));
    EXPECT_EQ(orchtrace({"export", file("t.jsonl", two_lines), "-o", path("link.npz")}).code, 0);
    EXPECT_TRUE(std::filesystem::is_symlink(path("link.npz")));
    EXPECT_EQ(read_file(path("real.npz")).substr(0, 2), "PK");
}

TEST_F(Export, APathThatCannotBeWrittenIsNamed) {
    const Outcome outcome =
        orchtrace({"export", file("t.jsonl", two_lines), "-o", path("no/such/x.npz")});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_TRUE(contains(outcome.err, "no/such/x.npz")) << outcome.err;
}

TEST_F(Export, ASidecarIsReadWhole) {
    const float whole[] = {1, 2, 3, 4, 5};
    write_file(path("t.jsonl.values"),
               {reinterpret_cast<const char*>(whole), sizeof whole});  // NOLINT
    const std::string trace = file(
        "t.jsonl",
        R"({"ts":"t","team":"a","checkpoint":"logits","token_idx":0,"dtype":"f32","shape":"[5]","sidecar":{"file":"t.jsonl.values","offset":4,"count":4,"dtype":"f32"},"values":[2]})"
        "\n");
    const Outcome outcome = orchtrace({"export", trace});
    EXPECT_TRUE(contains(outcome.out, "0,2\n")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "3,5\n")) << outcome.out;
}

TEST_F(Export, ASidecarThatLiesGivesTheValuesOfTheLine) {
    write_file(path("t.jsonl.values"), "1234");
    for (const char* sidecar :
         {R"({"file":"t.jsonl.values","offset":0,"count":4611686018427387905,"dtype":"f32"})",
          R"({"file":"../t.jsonl.values","offset":0,"count":1,"dtype":"f32"})",
          R"({"file":"t.jsonl.values","offset":-1,"count":1,"dtype":"f32"})"}) {
        const std::string trace = file(
            "t.jsonl",
            R"({"ts":"t","team":"a","checkpoint":"c","token_idx":0,"dtype":"f32","shape":"[5]","sidecar":)" +
                std::string{sidecar} + R"(,"values":[2]})" + "\n");
        const Outcome outcome = orchtrace({"export", trace});
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_TRUE(outcome.out.ends_with("0,2\n")) << outcome.out;
    }
}

using Show = InDirectory;

TEST_F(Show, OneRecordByItsLine) {
    const Outcome outcome = orchtrace({"show", file("t.jsonl", two_lines), "--line", "1"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(contains(outcome.out, "t.jsonl:1  logits  token 4  f32 [1,3]")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "0.1 -2 nan")) << outcome.out;
    EXPECT_FALSE(contains(outcome.out, "token 5")) << outcome.out;
}

TEST_F(Show, ByTokenAsTheLineStands) {
    const Outcome outcome =
        orchtrace({"show", file("t.jsonl", two_lines), "--token", "5", "--format", "jsonl"});
    EXPECT_EQ(outcome.out, std::string{two_lines}.substr(std::string{two_lines}.find('\n') + 1));
}

TEST_F(Show, RecordsOfTheTracerAreShownByTheirKeys) {
    const std::string trace = file(
        "t.jsonl",
        R"({"ts":"t","team":"a","checkpoint":"pass","token_idx":2,"dtype":"i32","shape":"[]","kind":"pass","pass":0,"op":"llama_decode","n_tokens":3,"tokens":[7,8,9],"values":[]})"
        "\n");
    const Outcome outcome = orchtrace({"show", trace});
    EXPECT_TRUE(contains(outcome.out, "op        llama_decode")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "tokens    [7, 8, 9]")) << outcome.out;
    EXPECT_FALSE(contains(outcome.out, "team ")) << outcome.out;
}

TEST_F(Show, WhatIsLeftOutIsSaid) {
    const Outcome outcome = orchtrace({"show", file("t.jsonl", two_lines), "--limit", "1"});
    EXPECT_TRUE(contains(outcome.err, "1 more record")) << outcome.err;
    EXPECT_EQ(orchtrace({"show", file("t.jsonl", two_lines), "--token", "99"}).code, 2);
}

}  // namespace
}  // namespace orch
