#include "core/config.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace orch {
namespace {

std::map<std::string, std::string> environment;

const char* get(const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
}

Config read(std::map<std::string, std::string> variables) {
    environment = std::move(variables);
    return read_config(get);
}

/// The refusal of one variable alone.
std::string problem_of(const std::string& name, const std::string& value) {
    const Config config = read({{name, value}});
    if (config.problems == 0) return {};
    EXPECT_EQ(config.problems, 1U);
    return std::string(std::string_view(config.problem[0]));
}

void expect_refused(const std::string& name, const std::vector<std::string>& values) {
    for (const std::string& value : values) {
        const std::string problem = problem_of(name, value);
        EXPECT_TRUE(problem.starts_with(name + "=" + value.substr(0, 80) + " "))
            << value << ": " << problem;
    }
}

TEST(Config, OfAnEmptyEnvironmentIsTheDefaults) {
    const Config c = read({});
    EXPECT_FALSE(c.enabled());
    EXPECT_EQ(c.problems, 0U);
    EXPECT_EQ(std::string_view(c.team), "");
    EXPECT_EQ(c.values, 10);
    EXPECT_EQ(c.rows, 16);
    EXPECT_EQ(c.checkpoints.text(), "gemm,layers,logits");
    EXPECT_EQ(c.weights, WeightMode::proof);
    EXPECT_EQ(c.capture, CaptureMode::mark);
    EXPECT_EQ(c.memory_bytes, 1073741824U);
    EXPECT_TRUE(c.probe_blas && c.probe_onednn && c.probe_ggml);
}

TEST(Config, AnEmptyValueMeansUnsetForEveryVariable) {
    std::map<std::string, std::string> all;
    for (const ConfigVariable& variable : config_variables())
        all[variable.name] = "";
    const Config c = read(all);
    EXPECT_EQ(c.problems, 0U);
    EXPECT_FALSE(c.enabled());
    EXPECT_EQ(c.values, 10);
    EXPECT_EQ(c.memory_bytes, 1073741824U);
    EXPECT_TRUE(c.probe_blas);
}

TEST(Config, TheTableNamesEachVariableOnceWithItsHelp) {
    std::vector<std::string> names;
    for (const ConfigVariable& variable : config_variables()) {
        names.emplace_back(variable.name);
        EXPECT_STRNE(variable.values, "");
        EXPECT_STRNE(variable.help, "");
        // What is the default can be said.
        Config c;
        const std::string fallback = variable.fallback;
        if (!fallback.empty()) {
            EXPECT_TRUE(variable.parse(c, fallback)) << variable.name;
        }
    }
    EXPECT_EQ(names, (std::vector<std::string>{
                         "ORCH_TRACE", "ORCH_LOG_FILE", "ORCH_LOG_TEAM", "ORCH_LOG_VALUES",
                         "ORCH_TRACE_CHECKPOINTS", "ORCH_TRACE_ROWS", "ORCH_TRACE_WEIGHTS",
                         "ORCH_TRACE_CAPTURE", "ORCH_TRACE_MEMORY", "ORCH_TRACE_GRAPHS",
                         "ORCH_TRACE_FULL", "ORCH_TRACE_FULL_LIMIT", "ORCH_TRACE_FULL_RING",
                         "ORCH_TRACE_PROBES", "ORCH_TRACE_EXCLUDE"}));
    EXPECT_LE(config_variables().size(), Config::max_problems);
}

TEST(Config, OffWinsOverAFile) {
    EXPECT_TRUE(read({{"ORCH_LOG_FILE", "t.jsonl"}}).enabled());
    EXPECT_TRUE(read({{"ORCH_LOG_FILE", "t.jsonl"}, {"ORCH_TRACE", "on"}}).enabled());
    EXPECT_FALSE(read({{"ORCH_LOG_FILE", "t.jsonl"}, {"ORCH_TRACE", "off"}}).enabled());
    expect_refused("ORCH_TRACE", {"0", "no", "OFF", "on,off"});
}

TEST(Config, WhatIsExcludedIsOnlyWhatTheGlobsSay) {
    const Config by_default = read({});
    EXPECT_TRUE(by_default.exclude.matches("libnccl.so.2"));
    EXPECT_FALSE(by_default.exclude.matches("libncc.so"));
    const Config own = read({{"ORCH_TRACE_EXCLUDE", "cudaMemcpy,lib?.so*"}});
    EXPECT_TRUE(own.exclude.matches("cudaMemcpy"));
    EXPECT_TRUE(own.exclude.matches("libx.so.3"));
    EXPECT_FALSE(own.exclude.matches("cudaMemcpyAsync"));
    EXPECT_FALSE(own.exclude.matches("libnccl.so.2"));
    EXPECT_FALSE(read({{"ORCH_TRACE_EXCLUDE", "none"}}).exclude.matches("libnccl.so.2"));
    expect_refused("ORCH_TRACE_EXCLUDE", {",", "a,", ",a", "a,,b"});
}

TEST(Config, EveryVariableMayBeRefusedAtOnce) {
    std::map<std::string, std::string> all;
    for (const ConfigVariable& variable : config_variables())
        all[variable.name] = std::string(2000, ',');
    const Config c = read(all);
    EXPECT_EQ(c.problems, config_variables().size());
    EXPECT_FALSE(c.enabled());
    EXPECT_EQ(c.values, 10);
    EXPECT_EQ(c.rows, 16);
    EXPECT_EQ(c.checkpoints.text(), "gemm,layers,logits");
    EXPECT_TRUE(c.probe_blas && c.probe_onednn && c.probe_ggml);
}

TEST(Config, ARefusalSaysWhatIsAllowedAndWhatHolds) {
    EXPECT_EQ(problem_of("ORCH_TRACE_ROWS", "17"),
              "ORCH_TRACE_ROWS=17 is none of: 1..16, last or all; using 16");
}

TEST(Config, ReadsTheLogFile) {
    const Config c = read({{"ORCH_LOG_FILE", "/tmp/%p trace.jsonl"}});
    EXPECT_TRUE(c.enabled());
    EXPECT_EQ(std::string_view(c.log_file), "/tmp/%p trace.jsonl");
    EXPECT_TRUE(read({{"ORCH_LOG_FILE", std::string(1023, 'f')}}).enabled());
    const Config too_long = read({{"ORCH_LOG_FILE", std::string(1024, 'f')}});
    EXPECT_FALSE(too_long.enabled()) << "a file with a name that was cut off";
    EXPECT_EQ(too_long.problems, 1U);
}

TEST(Config, ReadsTheTeam) {
    EXPECT_EQ(std::string_view(read({{"ORCH_LOG_TEAM", "llama.cpp \"x\""}}).team),
              "llama.cpp \"x\"");
    EXPECT_EQ(read({{"ORCH_LOG_TEAM", std::string(255, 't')}}).team.size(), 255U);
    const Config too_long = read({{"ORCH_LOG_TEAM", std::string(256, 't')}});
    EXPECT_TRUE(too_long.team.empty());
    EXPECT_EQ(too_long.problems, 1U);
}

TEST(Config, ReadsTheNumberOfValues) {
    EXPECT_EQ(read({{"ORCH_LOG_VALUES", "1"}}).values, 1);
    EXPECT_EQ(read({{"ORCH_LOG_VALUES", "007"}}).values, 7);
    EXPECT_EQ(read({{"ORCH_LOG_VALUES", "1073741824"}}).values, 1073741824);
    expect_refused("ORCH_LOG_VALUES", {"0", "-1", "+1", "1073741825", "99999999999999999999", "ten",
                                       "10 ", " 10", "1e3", "0x10", "10,"});
}

TEST(Config, ReadsTheCheckpoints) {
    const Config c = read({{"ORCH_TRACE_CHECKPOINTS", "logits,ffn*"}});
    EXPECT_TRUE(c.checkpoints.selects(CheckpointGroup::inner, "ffn_up"));
    EXPECT_FALSE(c.checkpoints.group(CheckpointGroup::gemm));
    expect_refused("ORCH_TRACE_CHECKPOINTS", {",", "a,", std::string(1025, 'x')});
}

TEST(Config, ReadsTheRows) {
    EXPECT_EQ(read({{"ORCH_TRACE_ROWS", "1"}}).rows, 1);
    EXPECT_EQ(read({{"ORCH_TRACE_ROWS", "16"}}).rows, 16);
    EXPECT_EQ(read({{"ORCH_TRACE_ROWS", "last"}}).rows, 1);
    EXPECT_EQ(read({{"ORCH_TRACE_ROWS", "all"}}).rows, all_rows);
    expect_refused("ORCH_TRACE_ROWS", {"0", "17", "-1", "All", "first", "4294967297"});
}

TEST(Config, ReadsHowWeightsAreIdentified) {
    EXPECT_EQ(read({{"ORCH_TRACE_WEIGHTS", "proof"}}).weights, WeightMode::proof);
    EXPECT_EQ(read({{"ORCH_TRACE_WEIGHTS", "sketch"}}).weights, WeightMode::sketch);
    EXPECT_EQ(read({{"ORCH_TRACE_WEIGHTS", "names"}}).weights, WeightMode::names);
    EXPECT_EQ(read({{"ORCH_TRACE_WEIGHTS", "off"}}).weights, WeightMode::off);
    expect_refused("ORCH_TRACE_WEIGHTS", {"on", "Sketch", "0"});
}

TEST(Config, ReadsHowTensorsAreCaptured) {
    EXPECT_EQ(read({{"ORCH_TRACE_CAPTURE", "mark"}}).capture, CaptureMode::mark);
    EXPECT_EQ(read({{"ORCH_TRACE_CAPTURE", "callback"}}).capture, CaptureMode::callback);
    expect_refused("ORCH_TRACE_CAPTURE", {"marks", "off"});
}

TEST(Config, ReadsTheMemory) {
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "0"}}).memory_bytes, 0U);
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "12345"}}).memory_bytes, 12345U);
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "3K"}}).memory_bytes, 3072U);
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "5M"}}).memory_bytes, 5242880U);
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "2G"}}).memory_bytes, 2147483648U);
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "18446744073709551615"}}).memory_bytes, ~0ULL);
    EXPECT_EQ(read({{"ORCH_TRACE_MEMORY", "17179869183G"}}).memory_bytes, 17179869183ULL << 30);
    expect_refused("ORCH_TRACE_MEMORY", {"17179869184G", "18446744073709551616", "K", "1T", "1k",
                                         "1KK", "-1", "1.5G", "G1"});
}

TEST(Config, ReadsWhatIsKeptWhole) {
    EXPECT_TRUE(read({}).full.is_none());
    EXPECT_EQ(read({}).full_limit, 16ULL << 30);
    EXPECT_EQ(read({}).full_ring, 64ULL << 20);
    const Config c = read({{"ORCH_TRACE_FULL", "logits,gemm.blk.0.*"},
                           {"ORCH_TRACE_FULL_LIMIT", "20M"},
                           {"ORCH_TRACE_FULL_RING", "4G"}});
    EXPECT_EQ(c.problems, 0U);
    EXPECT_TRUE(c.full.group(CheckpointGroup::logits));
    EXPECT_FALSE(c.full.group(CheckpointGroup::gemm));
    EXPECT_TRUE(c.full.selects(CheckpointGroup::gemm, "gemm.blk.0.attn_q"));
    EXPECT_EQ(c.full_limit, 20ULL << 20);
    EXPECT_EQ(c.full_ring, 4ULL << 30);
    expect_refused("ORCH_TRACE_FULL", {",", "a,", std::string(1025, 'x')});
    expect_refused("ORCH_TRACE_FULL_LIMIT", {"1T", "-1"});
    expect_refused("ORCH_TRACE_FULL_RING", {"5G", "4294967297"});
}

TEST(Config, ReadsTheProbes) {
    const auto probes = [](const char* text) {
        const Config c = read({{"ORCH_TRACE_PROBES", text}});
        EXPECT_EQ(c.problems, 0U) << text;
        return (c.probe_blas ? 1 : 0) + (c.probe_onednn ? 2 : 0) + (c.probe_ggml ? 4 : 0) +
               (c.probe_cublas ? 8 : 0) + (c.probe_cuda ? 16 : 0);
    };
    EXPECT_EQ(probes("blas"), 1);
    EXPECT_EQ(probes("onednn"), 2);
    EXPECT_EQ(probes("ggml"), 4);
    EXPECT_EQ(probes("ggml,blas"), 5);
    EXPECT_EQ(probes("cuda,cublas"), 24);
    EXPECT_EQ(probes("all"), 31);
    EXPECT_EQ(probes("blas,all"), 31);
    expect_refused("ORCH_TRACE_PROBES", {"none", "blas,moon", ",blas", "blas,,ggml", "blas ggml"});
}

TEST(Config, ReadsWhatBecomesOfGraphs) {
    EXPECT_EQ(read({}).graphs, GraphMode::digest);
    EXPECT_EQ(read({{"ORCH_TRACE_GRAPHS", "report"}}).graphs, GraphMode::report);
    EXPECT_EQ(read({{"ORCH_TRACE_GRAPHS", "off"}}).graphs, GraphMode::off);
    expect_refused("ORCH_TRACE_GRAPHS", {"on", "Digest", "digest,report"});
}

TEST(PathTemplate, ReplacesWhatIsKnown) {
    PathFacts facts;
    facts.pid = 42;
    facts.rank = "3";
    facts.host = "node-1";
    facts.executable = "llama-cli";
    const auto expand = [&](std::string_view pattern) {
        return std::string(std::string_view(expand_path(pattern, facts)));
    };
    EXPECT_EQ(expand("/tmp/%e.%h.%r.%p.jsonl"), "/tmp/llama-cli.node-1.3.42.jsonl");
    EXPECT_EQ(expand("100%%"), "100%%");  // no escape: as in orch_log.hpp
    EXPECT_EQ(expand("%%p"), "%%p");
    EXPECT_EQ(expand("%x%"), "%x%");
    EXPECT_EQ(expand("%"), "%");
    EXPECT_EQ(expand(""), "");
    EXPECT_EQ(expand("%p%p"), "4242");
    EXPECT_EQ(expand_path(std::string(1023, '%'), facts).size(), 1023U);
}

TEST(PathTemplate, StaysWithinItsRoom) {
    const std::string host(300, 'h');
    PathFacts facts;
    facts.host = host;
    std::string pattern;
    for (int i = 0; i < 50; ++i)
        pattern += "%h";
    EXPECT_EQ(expand_path(pattern, facts).size(), 4095U);
}

}  // namespace
}  // namespace orch
