// The trace writer against nlohmann::json's dump() and std::ofstream, in one process, interleaved.
// Both write the seven keys of a record to a fresh file; the writer's time ends when the last line
// is in the file. CPU time of the whole process, so that the drain thread is counted too. usage:
// writer_bench [DIRECTORY]
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/half.hpp"
#include "core/records.hpp"
#include "core/trace.hpp"

namespace {

struct Times {
    double cpu = 1e9;
    double wall = 1e9;
};

double cpu_seconds() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(use.ru_utime) + seconds(use.ru_stime);
}

void best_of(Times& best, const std::function<void()>& work) {
    const double cpu = cpu_seconds();
    const auto wall = std::chrono::steady_clock::now();
    work();
    best.cpu = std::min(best.cpu, cpu_seconds() - cpu);
    best.wall = std::min(
        best.wall, std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count());
}

struct Case {
    const char* name;
    orch::DType dtype;
    std::size_t values;
    int records;
    double target;
};

constexpr Case cases[] = {
    {"10 f32 values", orch::DType::f32, 10, 60000, 4.5},
    {"4096 f32 values", orch::DType::f32, 4096, 400, 2.6},
    {"4096 bf16 values", orch::DType::bf16, 4096, 400, 15},
    {"4096 f16 values", orch::DType::f16, 4096, 400, 15},
};

std::uint16_t to_half(float value, orch::DType dtype) {
    if (dtype == orch::DType::bf16)
        return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
    // Enough for a benchmark: normal numbers, cut off.
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const int exponent = static_cast<int>((bits >> 23) & 255U) - 127 + 15;
    if (exponent <= 0) return 0;
    return static_cast<std::uint16_t>(
        (bits >> 16 & 0x8000U) | (static_cast<unsigned>(exponent) << 10) | (bits >> 13 & 0x3ffU));
}

/// One buffer of inputs; each record shows another part of it.
struct Input {
    std::vector<float> wide;
    std::vector<std::uint16_t> half;

    Input(const Case& c) {
        std::mt19937 generator(7);
        std::normal_distribution<float> normal;
        wide.resize(c.values + 65536);
        for (float& value : wide)
            value = normal(generator);
        half.resize(wide.size());
        for (std::size_t i = 0; i < wide.size(); ++i) {
            if (c.dtype == orch::DType::f32) continue;
            half[i] = to_half(wide[i], c.dtype);
            wide[i] = c.dtype == orch::DType::bf16 ? orch::bf16_to_f32(half[i])
                                                   : orch::f16_to_f32(half[i]);
        }
    }
};

void write_with_nlohmann(const Case& c, const Input& input, const std::string& path) {
    std::ofstream out(path, std::ios::app);
    for (int i = 0; i < c.records; ++i) {
        const float* from = input.wide.data() + (static_cast<std::size_t>(i) * 37) % 65536;
        nlohmann::json record{{"ts", "2026-01-31T12:00:00.123Z"},   {"team", "bench"},
                              {"checkpoint", "layer_0_output"},     {"token_idx", i},
                              {"dtype", orch::dtype_name(c.dtype)}, {"shape", "[1,4096]"}};
        record["values"] = std::vector<float>(from, from + c.values);
        out << record.dump() << '\n';
    }
}

void write_with_trace(const Case& c, const Input& input, orch::Trace& trace) {
    for (int i = 0; i < c.records; ++i) {
        const std::size_t offset = (static_cast<std::size_t>(i) * 37) % 65536;
        orch::LogRecord record;
        record.checkpoint = "layer_0_output";
        record.dtype = orch::dtype_name(c.dtype);
        record.shape = "[1,4096]";
        record.token_idx = i;
        record.type = c.dtype;
        record.data = c.dtype == orch::DType::f32
                          ? static_cast<const void*>(input.wide.data() + offset)
                          : input.half.data() + offset;
        record.count = static_cast<std::int64_t>(c.values);
        orch::write_log(trace, record);
    }
    trace.flush();
}

}  // namespace

int main(int argc, char** argv) {
    const std::filesystem::path directory =
        argc > 1 ? argv[1] : std::filesystem::temp_directory_path();
    constexpr int rounds = 7;
    bool reached = true;
    std::printf(
        "| record | nlohmann + ofstream, us | orchtrace, us CPU | ratio (CPU) | ratio (wall) | "
        "target |\n");
    std::printf("|---|---|---|---|---|---|\n");
    for (const Case& c : cases) {
        const Input input(c);
        Times theirs;
        Times ours;
        const std::string their_path = directory / ("nlohmann-" + std::to_string(getpid()));
        const std::string our_path = directory / ("orchtrace-" + std::to_string(getpid()));
        for (int round = 0; round < rounds; ++round) {
            std::filesystem::remove(their_path);
            std::filesystem::remove(our_path);
            best_of(theirs, [&] { write_with_nlohmann(c, input, their_path); });
            orch::Config config;
            config.log_file.append(our_path);
            config.team.append("bench");
            config.values = static_cast<std::int64_t>(c.values);
            orch::PathFacts facts;
            facts.pid = getpid();
            orch::Trace* trace = orch::Trace::start(config, facts);
            if (trace == nullptr) return 1;
            best_of(ours, [&] { write_with_trace(c, input, *trace); });
        }
        std::filesystem::remove(their_path);
        std::filesystem::remove(our_path);
        const double each = 1e6 / c.records;
        std::printf("| %s | %.2f | %.2f | %.2f | %.2f | %.1f |\n", c.name, theirs.cpu * each,
                    ours.cpu * each, theirs.cpu / ours.cpu, theirs.wall / ours.wall, c.target);
        reached = reached && theirs.cpu / ours.cpu >= c.target;
    }
    return reached ? 0 : 1;
}
