// The digest on the CPU: values per second, against one pass of a plain sum over the same memory.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "core/digest.hpp"
#include "core/proof.hpp"

namespace {

std::vector<float> normal_values(std::size_t count) {
    std::mt19937 generator(7);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values)
        value = normal(generator);
    return values;
}

void digest_f32(benchmark::State& state) {
    const auto rows = state.range(0);
    const auto cols = state.range(1);
    const auto values = normal_values(static_cast<std::size_t>(rows * cols));
    const orch::MatrixView view{values.data(), orch::DType::f32, rows, cols, cols, 1};
    orch::DigestRequest request;
    request.extremes = state.range(2) != 0;
    orch::Digest result;
    for (auto _ : state) {
        orch::digest(view, request, result);
        benchmark::DoNotOptimize(result);
    }
    state.SetItemsProcessed(state.iterations() * rows * cols);
    state.SetLabel(orch::digest_isa());
}
BENCHMARK(digest_f32)
    ->ArgNames({"rows", "cols", "extremes"})
    ->Args({256, 768, 1})
    ->Args({256, 768, 0})
    ->Args({256, 2048, 1})
    ->Args({1, 768, 1})
    ->Args({1, 32000, 1});

/// x of a product, with and without what its proof needs.
void digest_input(benchmark::State& state) {
    const auto rows = state.range(0);
    const auto cols = state.range(1);
    const auto values = normal_values(static_cast<std::size_t>(rows * cols));
    const auto probes = normal_values(orch::probe_bytes(cols) / sizeof(float));
    const orch::MatrixView view{values.data(), orch::DType::f32, rows, cols, cols, 1};
    orch::Projection projection;
    projection.probes = {probes.data(), 1, cols};
    orch::DigestRequest request;
    request.extremes = false;
    if (state.range(2) != 0) request.projections = &projection;
    orch::Digest result;
    for (auto _ : state) {
        orch::digest(view, request, result);
        benchmark::DoNotOptimize(result);
        benchmark::DoNotOptimize(projection);
    }
    state.SetItemsProcessed(state.iterations() * rows * cols);
}
BENCHMARK(digest_input)
    ->ArgNames({"rows", "cols", "proof"})
    ->ArgsProduct({{1, 256}, {768, 4096}, {0, 1}});

/// A weight, once, with and without its probes.
void digest_weight(benchmark::State& state) {
    const std::int64_t size = state.range(0);
    const auto values = normal_values(static_cast<std::size_t>(size * size));
    std::vector<float> probes(orch::probe_bytes(size) / sizeof(float));
    std::vector<float> workspace(orch::ProbeOutput::workspace_floats);
    const orch::MatrixView view{values.data(), orch::DType::f32, size, size, size, 1};
    orch::DigestRequest request;
    request.sign_rows = false;
    if (state.range(1) != 0) request.probes = {probes.data(), workspace.data()};
    orch::Digest result;
    for (auto _ : state) {
        orch::digest(view, request, result);
        benchmark::DoNotOptimize(result);
    }
    state.SetItemsProcessed(state.iterations() * size * size);
}
BENCHMARK(digest_weight)->ArgNames({"size", "probes"})->ArgsProduct({{768, 4096}, {0, 1}});

void plain_sum_f32(benchmark::State& state) {
    const auto values = normal_values(256 * 768);
    for (auto _ : state) {
        float sum = 0;
        for (float value : values)
            sum += value;
        benchmark::DoNotOptimize(sum);
    }
    state.SetItemsProcessed(state.iterations() * 256 * 768);
}
BENCHMARK(plain_sum_f32);

}  // namespace
