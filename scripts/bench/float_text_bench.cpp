// Number texts against std::to_chars and nlohmann::json, on N(0,1) values:
//
//   g++ -std=c++20 -O2 -I. scripts/bench/float_text_bench.cpp core/float_text.cpp -lbenchmark
//   ./a.out --benchmark_repetitions=7 --benchmark_enable_random_interleaving=true

#include <benchmark/benchmark.h>

#include <bit>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "core/float_text.hpp"
#include "core/half.hpp"

namespace {

constexpr std::size_t count = 1 << 16;

std::vector<float> normal_floats(float scale = 1) {
    std::mt19937_64 random(7);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values)
        value = scale * normal(random);
    return values;
}

/// Cut off rather than rounded: the distribution of texts is the same.
std::vector<std::uint16_t> normal_bf16() {
    std::vector<std::uint16_t> values;
    for (float value : normal_floats()) {
        values.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
    }
    return values;
}

std::vector<std::uint16_t> normal_f16() {
    std::vector<std::uint16_t> values;
    for (float value : normal_floats()) {
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t magnitude = bits & 0x7fffffffu;
        std::uint32_t half = bits >> 31 << 15;
        if (magnitude >= 0x38800000u) half |= (magnitude - 0x38000000u) >> 13;
        values.push_back(static_cast<std::uint16_t>(half));
    }
    return values;
}

std::vector<char> room() {
    return std::vector<char>(count * 32);
}

void per_value(benchmark::State& state) {
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
}

template <class T, class Write>
void run_each(benchmark::State& state, const std::vector<T>& values, Write write) {
    auto buffer = room();
    for (auto _ : state) {
        char* out = buffer.data();
        for (const T& value : values) {
            out = write(out, value);
            *out++ = ',';
        }
        benchmark::DoNotOptimize(out);
        benchmark::ClobberMemory();
    }
    per_value(state);
}

char* with_to_chars(char* out, float value) {
    return std::to_chars(out, out + 32, value).ptr;
}

void f32_write(benchmark::State& state) {
    run_each(state, normal_floats(), orch::write_f32);
}
void f32_to_chars(benchmark::State& state) {
    run_each(state, normal_floats(), with_to_chars);
}
void f32_tiny_write(benchmark::State& state) {
    run_each(state, normal_floats(1e-6f), orch::write_f32);
}
void f32_tiny_to_chars(benchmark::State& state) {
    run_each(state, normal_floats(1e-6f), with_to_chars);
}

template <class T, class WriteList>
void run_list(benchmark::State& state, const std::vector<T>& values, WriteList write_list) {
    auto buffer = room();
    for (auto _ : state) {
        benchmark::DoNotOptimize(write_list(buffer.data(), values.data(), values.size()));
        benchmark::ClobberMemory();
    }
    per_value(state);
}

void f32_list(benchmark::State& state) {
    run_list(state, normal_floats(), orch::write_f32_list);
}
void bf16_list(benchmark::State& state) {
    run_list(state, normal_bf16(), orch::write_bf16_list);
}
void f16_list(benchmark::State& state) {
    run_list(state, normal_f16(), orch::write_f16_list);
}

void bf16_to_chars(benchmark::State& state) {
    run_each(state, normal_bf16(), [](char* out, std::uint16_t bits) {
        return with_to_chars(out, orch::bf16_to_f32(bits));
    });
}

void f16_to_chars(benchmark::State& state) {
    run_each(state, normal_f16(), [](char* out, std::uint16_t bits) {
        return with_to_chars(out, orch::f16_to_f32(bits));
    });
}

void f32_nlohmann_dump(benchmark::State& state) {
    const nlohmann::json values = normal_floats();
    for (auto _ : state)
        benchmark::DoNotOptimize(values.dump());
    per_value(state);
}

BENCHMARK(f32_write);
BENCHMARK(f32_list);
BENCHMARK(f32_to_chars);
BENCHMARK(f32_nlohmann_dump);
BENCHMARK(f32_tiny_write);
BENCHMARK(f32_tiny_to_chars);
BENCHMARK(bf16_list);
BENCHMARK(bf16_to_chars);
BENCHMARK(f16_list);
BENCHMARK(f16_to_chars);

}  // namespace

BENCHMARK_MAIN();
