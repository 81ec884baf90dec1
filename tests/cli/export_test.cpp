// orchtrace export and show. What numpy and safetensors readers make of the files is in
// tests/cli/export_numpy_test.py.
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

TEST_F(Show, WhatIsLeftOutIsSaid) {
    const Outcome outcome = orchtrace({"show", file("t.jsonl", two_lines), "--limit", "1"});
    EXPECT_TRUE(contains(outcome.err, "1 more record")) << outcome.err;
    EXPECT_EQ(orchtrace({"show", file("t.jsonl", two_lines), "--token", "99"}).code, 2);
}

}  // namespace
}  // namespace orch
