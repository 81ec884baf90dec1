#include "engine.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

// Of kernels.cu where there is nvcc; else a few bytes that only the stand-in takes for a module.
extern "C" const unsigned char mini_fatbin[];

namespace minillama {
namespace {

void check(int error, const char* what) {
    if (error == 0) return;
    std::fprintf(stderr, "minillama: %s failed: %d\n", what, error);
    std::exit(1);
}

template <class Value>
Value* on_device(std::int64_t count) {
    void* address = nullptr;
    const auto size = static_cast<std::size_t>(count) * sizeof(Value);
    check(cudaMalloc(&address, size), "cudaMalloc");
    check(cudaMemset(address, 0, size), "cudaMemset");
    // The engine's own stream does not wait for the one that this used.
    check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
    return static_cast<Value*>(address);
}

}  // namespace

Engine::Engine(const std::string& weights_file, const Options& options) : options_(options) {
    check(cudaStreamCreateWithFlags(&stream_, non_blocking), "cudaStreamCreateWithFlags");
    check(cublasCreate_v2(&cublas_), "cublasCreate");
    check(cublasSetStream_v2(cublas_, stream_), "cublasSetStream");
    // Or cuBLAS allocates its own, which a capture forbids.
    constexpr std::size_t workspace = 4U << 20;
    check(cublasSetWorkspace_v2(cublas_, on_device<char>(workspace), workspace),
          "cublasSetWorkspace");
    check(cuModuleLoadData(&module_, mini_fatbin), "cuModuleLoadData");
    constexpr char made_up[] = "random:";
    if (weights_file.rfind(made_up, 0) == 0)
        make_up(weights_file.substr(std::strlen(made_up)));
    else
        load(weights_file);
}

bool Engine::faulty(int layer, const char* name) const {
    return options_.fault == name && options_.fault_layer == layer;
}

float* Engine::upload_f32(const std::vector<float>& values) {
    auto* to = on_device<float>(static_cast<std::int64_t>(values.size()));
    check(cudaMemcpy(to, values.data(), values.size() * sizeof(float), host_to_device),
          "cudaMemcpy");
    return to;
}

Weight Engine::upload(const std::vector<const std::vector<float>*>& parts, std::int64_t cols) {
    std::vector<float> all;
    for (const auto* part : parts)
        all.insert(all.end(), part->begin(), part->end());
    Weight weight{nullptr, static_cast<std::int64_t>(all.size()) / cols, cols};
    if (options_.precision == Precision::f32) {
        weight.data = upload_f32(all);
        return weight;
    }
    const Half type = options_.precision == Precision::f16 ? Half::f16 : Half::bf16;
    std::vector<std::uint16_t> narrowed(all.size());
    std::transform(all.begin(), all.end(), narrowed.begin(),
                   [&](float value) { return narrow(value, type); });
    weight.data = on_device<std::uint16_t>(static_cast<std::int64_t>(all.size()));
    check(cudaMemcpy(weight.data, narrowed.data(), narrowed.size() * 2, host_to_device),
          "cudaMemcpy");
    return weight;
}

/// Six sizes, then the tensors in the order of the layers, as f32.
void Engine::load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(&sizes_), sizeof sizes_);
    const auto next = [&](std::int64_t count) {
        std::vector<float> values(static_cast<std::size_t>(count));
        file.read(reinterpret_cast<char*>(values.data()), count * 4);
        return values;
    };
    const std::int64_t d = sizes_.hidden;
    const std::int64_t f = sizes_.ffn;
    const std::int64_t kv = sizes_.kv();
    embedding_ = upload_f32(next(sizes_.vocabulary * d));
    for (int i = 0; i < sizes_.layers; ++i) {
        const auto attn_norm = next(d);
        const auto q = next(d * d);
        const auto k = next(kv * d);
        const auto v = next(kv * d);
        const auto o = next(d * d);
        const auto ffn_norm = next(d);
        const auto gate = next(f * d);
        const auto up = next(f * d);
        const auto down = next(d * f);
        Layer layer{};
        layer.attn_norm = upload_f32(attn_norm);
        layer.ffn_norm = upload_f32(ffn_norm);
        if (options_.fused) {
            layer.q = upload({&q, &k, &v}, d);
            layer.gate =
                faulty(i, "gate_up_swapped") ? upload({&up, &gate}, d) : upload({&gate, &up}, d);
        } else {
            layer.q = upload({&q}, d);
            layer.k = upload({&k}, d);
            layer.v = upload({&v}, d);
            layer.gate = upload({faulty(i, "gate_up_swapped") ? &up : &gate}, d);
            layer.up = upload({faulty(i, "gate_up_swapped") ? &gate : &up}, d);
        }
        layer.o = upload({&o}, d);
        layer.down = upload({&down}, f);
        layer.keys = on_device<float>(context * kv);
        layer.values = on_device<float>(context * kv);
        layers_.push_back(layer);
    }
    final_norm_ = upload_f32(next(d));
    const auto head = next(sizes_.vocabulary * d);
    head_ = upload({&head}, d);
    if (!file) check(1, "reading the weights");
}

float* Engine::random_f32(std::int64_t count, float centre, float deviation) {
    auto* to = on_device<float>(count);
    const float spread = deviation * std::sqrt(3.0F);
    launch(Fill{to, count, ++seed_, centre, spread, Half::f16, false});
    return to;
}

Weight Engine::random_weight(std::int64_t rows, std::int64_t cols, float deviation) {
    const std::int64_t count = rows * cols;
    if (options_.precision == Precision::f32) return {random_f32(count, 0, deviation), rows, cols};
    auto* to = on_device<std::uint16_t>(count);
    const Half type = options_.precision == Precision::f16 ? Half::f16 : Half::bf16;
    launch(Fill{to, count, ++seed_, 0, deviation * std::sqrt(3.0F), type, true});
    return {to, rows, cols};
}

void Engine::make_up(const std::string& text) {
    const int read = std::sscanf(text.c_str(), "%d,%d,%d,%d,%d,%d", &sizes_.layers, &sizes_.hidden,
                                 &sizes_.heads, &sizes_.kv_heads, &sizes_.ffn, &sizes_.vocabulary);
    check(read == 6 ? 0 : 1, "reading the sizes");
    const std::int64_t d = sizes_.hidden;
    const std::int64_t f = sizes_.ffn;
    const std::int64_t kv = sizes_.kv();
    // Every product keeps the scale of its input.
    const float of_d = 1.0F / std::sqrt(static_cast<float>(d));
    const float of_f = 1.0F / std::sqrt(static_cast<float>(f));
    const auto norm = [&] { return random_f32(d, 1.0F, 0.05F); };
    embedding_ = random_f32(sizes_.vocabulary * d, 0, 0.5F);
    for (int i = 0; i < sizes_.layers; ++i) {
        Layer layer{};
        layer.attn_norm = norm();
        layer.ffn_norm = norm();
        layer.q = random_weight(options_.fused ? d + 2 * kv : d, d, of_d);
        layer.gate = random_weight(options_.fused ? 2 * f : f, d, of_d);
        if (!options_.fused) {
            layer.k = random_weight(kv, d, of_d);
            layer.v = random_weight(kv, d, of_d);
            layer.up = random_weight(f, d, of_d);
        }
        layer.o = random_weight(d, d, of_d);
        layer.down = random_weight(d, f, of_f);
        layer.keys = on_device<float>(context * kv);
        layer.values = on_device<float>(context * kv);
        layers_.push_back(layer);
    }
    final_norm_ = norm();
    head_ = random_weight(sizes_.vocabulary, d, 4 * of_d);
    check(cudaStreamSynchronize(stream_), "making up the weights");
}

void Engine::allocate(std::int64_t rows) {
    const std::int64_t d = sizes_.hidden;
    const std::int64_t f = sizes_.ffn;
    tokens_ = on_device<int>(rows);
    position_ = on_device<int>(1);
    x_ = on_device<float>(rows * d);
    normed_ = on_device<float>(rows * d);
    qkv_ = on_device<float>(rows * (d + 2 * sizes_.kv()));
    attended_ = on_device<float>(rows * d);
    projected_ = on_device<float>(rows * d);
    hidden_ = on_device<float>(rows * 2 * f);
    activated_ = on_device<float>(rows * f);
    logits_ = on_device<float>(sizes_.vocabulary);
    narrow_ = on_device<std::uint16_t>(rows * f);
    void* pinned = nullptr;
    check(cudaMallocHost(&pinned, static_cast<std::size_t>(sizes_.vocabulary) * 4 + 64),
          "cudaMallocHost");
    host_token_ = static_cast<int*>(pinned);
    host_logits_ = static_cast<float*>(pinned) + 16;
}

template <class Kernel>
void Engine::launch(const Kernel& kernel) {
    static void* function = nullptr;
    if (function == nullptr)
        check(cuModuleGetFunction(&function, module_, KernelName<Kernel>::text),
              KernelName<Kernel>::text);
    constexpr bool whole_blocks = threads_per_index < Kernel >> 0;
    constexpr unsigned threads = whole_blocks ? threads_per_index<Kernel> : 128;
    constexpr std::int64_t most_blocks = 1024;
    const std::int64_t wanted =
        whole_blocks ? kernel.count() : (kernel.count() + threads - 1) / threads;
    const auto blocks = static_cast<unsigned>(std::min(wanted, most_blocks));
    Kernel copy = kernel;
    void* parameters[] = {&copy};
    check(cuLaunchKernel(function, std::max(blocks, 1U), 1, 1, threads, 1, 1, 0, stream_,
                         parameters, nullptr),
          KernelName<Kernel>::text);
}

void Engine::product(const Weight& w, const float* x, std::int64_t rows, float* y,
                     std::int64_t stride) {
    const float one = 1;
    const float zero = 0;
    const auto m = static_cast<int>(w.rows);
    const auto n = static_cast<int>(rows);
    const auto k = static_cast<int>(w.cols);
    const auto ldc = static_cast<int>(stride);
    if (options_.precision == Precision::f32) {
        check(cublasSgemm_v2(cublas_, op_t, op_n, m, n, k, &one, static_cast<const float*>(w.data),
                             k, x, k, &zero, y, ldc),
              "cublasSgemm");
        return;
    }
    const bool f16 = options_.precision == Precision::f16;
    launch(Convert{x, narrow_, rows * w.cols, f16 ? Half::f16 : Half::bf16});
    const int type = f16 ? r_16f : r_16bf;
    check(cublasGemmEx(cublas_, op_t, op_n, m, n, k, &one, w.data, type, k, narrow_, type, k, &zero,
                       y, r_32f, ldc, compute_32f, default_algo),
          "cublasGemmEx");
}

void Engine::layer(int index, std::int64_t rows) {
    const Layer& l = layers_[static_cast<std::size_t>(index)];
    const std::int64_t d = sizes_.hidden;
    const std::int64_t f = sizes_.ffn;
    const std::int64_t kv = sizes_.kv();
    const std::int64_t head_dim = sizes_.head_dim();
    constexpr float eps = 1e-5F;
    constexpr float rope_base = 10000.0F;

    launch(RmsNorm{x_, l.attn_norm, normed_, rows, d, faulty(index, "norm_eps") ? 0.05F : eps});
    float* q = qkv_;
    float* k = options_.fused ? qkv_ + d : qkv_ + rows * d;
    float* v = options_.fused ? k + kv : k + rows * kv;
    const std::int64_t q_stride = options_.fused ? d + 2 * kv : d;
    const std::int64_t kv_stride = options_.fused ? q_stride : kv;
    product(l.q, normed_, rows, q, q_stride);
    if (!options_.fused) {
        product(l.k, normed_, rows, k, kv);
        product(l.v, normed_, rows, v, kv);
    }
    const bool neighbours = faulty(index, "rope_style");
    const float base = faulty(index, "rope_base") ? 500000.0F : rope_base;
    launch(Rope{q, position_, rows, sizes_.heads, head_dim, q_stride, base, neighbours});
    launch(Rope{k, position_, rows, sizes_.kv_heads, head_dim, kv_stride, base, neighbours});
    if (!faulty(index, "cache_stale") || rows > 1)
        launch(StoreCache{k, l.keys, position_, rows, kv, kv_stride});
    launch(StoreCache{v, l.values, position_, rows, kv, kv_stride});
    const float scale =
        faulty(index, "scale_missing") ? 1.0F : 1.0F / std::sqrt(static_cast<float>(head_dim));
    launch(Attention{q, l.keys, l.values, attended_, position_, rows, sizes_.heads, sizes_.kv_heads,
                     head_dim, q_stride, scale, faulty(index, "wrong_group"),
                     faulty(index, "mask")});
    product(l.o, attended_, rows, projected_, d);
    if (!faulty(index, "residual_missing")) launch(Add{x_, projected_, rows * d});

    launch(RmsNorm{x_, l.ffn_norm, normed_, rows, d, eps});
    float* gate = hidden_;
    float* up = options_.fused ? hidden_ + f : hidden_ + rows * f;
    const std::int64_t stride = options_.fused ? 2 * f : f;
    product(l.gate, normed_, rows, gate, stride);
    if (!options_.fused) product(l.up, normed_, rows, up, f);
    launch(SiluMul{gate, up, activated_, rows, f, stride});
    product(l.down, activated_, rows, projected_, d);
    launch(Add{x_, projected_, rows * d});
}

/// Tokens and position are in device memory; so are the logits of the last row, afterwards.
void Engine::forward(std::int64_t rows) {
    const std::int64_t d = sizes_.hidden;
    launch(Embed{embedding_, tokens_, x_, rows, d});
    for (int i = 0; i < sizes_.layers; ++i)
        layer(i, rows);
    launch(RmsNorm{x_ + (rows - 1) * d, final_norm_, normed_, 1, d, 1e-5F});
    product(head_, normed_, 1, logits_, sizes_.vocabulary);
    launch(NextToken{logits_, tokens_, position_, sizes_.vocabulary, static_cast<int>(rows)});
    const auto bytes = static_cast<std::size_t>(sizes_.vocabulary) * sizeof(float);
    check(cudaMemcpyAsync(host_logits_, logits_, bytes, device_to_host, stream_),
          "cudaMemcpyAsync");
    check(cudaMemcpyAsync(host_token_, tokens_, sizeof(int), device_to_host, stream_),
          "cudaMemcpyAsync");
}

std::vector<int> Engine::generate(const std::vector<int>& prompt, int count) {
    const auto rows = static_cast<std::int64_t>(prompt.size());
    allocate(rows);
    check(cudaMemcpy(tokens_, prompt.data(), prompt.size() * sizeof(int), host_to_device),
          "cudaMemcpy");
    std::vector<int> result;
    void* exec = nullptr;
    if (rows + count > context) check(1, "a context of 512 positions");
    for (int step = 0; step < count; ++step) {
        const auto begin = std::chrono::steady_clock::now();
        if (step == 0 || !options_.graphs) {
            forward(step == 0 ? rows : 1);
        } else {
            if (exec == nullptr) {
                void* graph = nullptr;
                check(cudaStreamBeginCapture(stream_, capture_thread_local), "begin capture");
                forward(1);
                check(cudaStreamEndCapture(stream_, &graph), "end capture");
                check(cudaGraphInstantiateWithFlags(&exec, graph, 0), "instantiate");
                check(cudaGraphDestroy(graph), "destroy graph");
            }
            check(cudaGraphLaunch(exec, stream_), "graph launch");
        }
        check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
        const std::chrono::duration<double, std::micro> taken =
            std::chrono::steady_clock::now() - begin;
        step_times_.push_back(taken.count());
        result.push_back(*host_token_);
    }
    if (exec != nullptr) check(cudaGraphExecDestroy(exec), "destroy exec");
    return result;
}

}  // namespace minillama
