// A small Llama on CUDA: embedding, layers of attention and a gated feed-forward, head. Products by
// cuBLAS, everything else by its own kernels. A step of decoding may be captured and replayed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cuda_api.hpp"
#include "kernels.hpp"

namespace minillama {

struct Sizes {
    std::int32_t layers, hidden, heads, kv_heads, ffn, vocabulary;
    std::int64_t head_dim() const { return hidden / heads; }
    std::int64_t kv() const { return head_dim() * kv_heads; }
};

enum class Precision { f32, f16, bf16 };

struct Options {
    Precision precision = Precision::f32;
    bool fused = false;   ///< q, k, v in one product; gate and up in another
    bool graphs = false;  ///< decoding as a captured graph
    std::string fault;    ///< of minillama's own list, see engine.cpp
    int fault_layer = 0;
};

/// Row-major [rows x cols] in device memory, of the engine's precision.
struct Weight {
    void* data = nullptr;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
};

class Engine {
  public:
    Engine(const std::string& weights_file, const Options& options);
    /// The tokens that follow the prompt, the likeliest each time.
    std::vector<int> generate(const std::vector<int>& prompt, int count);
    /// Of the last step, in pinned memory.
    const float* logits() const { return host_logits_; }
    int vocabulary() const { return sizes_.vocabulary; }
    /// Microseconds from the first launch of each step to its token on the host.
    const std::vector<double>& step_times() const { return step_times_; }

  private:
    struct Layer {
        float* attn_norm;
        Weight q, k, v, o;  ///< q holds all three if fused
        float* ffn_norm;
        Weight gate, up, down;  ///< gate holds both if fused
        float* keys;
        float* values;
    };

    void load(const std::string& path);
    /// "layers,hidden,heads,kv_heads,ffn,vocabulary": weights that the device makes up itself.
    void make_up(const std::string& sizes);
    void allocate(std::int64_t most_rows);
    void forward(std::int64_t rows);
    void layer(int index, std::int64_t rows);
    void product(const Weight& w, const float* x, std::int64_t rows, float* y, std::int64_t stride);
    bool faulty(int layer, const char* name) const;
    Weight upload(const std::vector<const std::vector<float>*>& parts, std::int64_t cols);
    float* upload_f32(const std::vector<float>& values);
    template <class Kernel>
    void launch(const Kernel& kernel);

    Weight random_weight(std::int64_t rows, std::int64_t cols, float deviation);
    float* random_f32(std::int64_t count, float centre, float deviation);

    Options options_;
    Sizes sizes_{};
    std::vector<Layer> layers_;
    float* embedding_ = nullptr;
    float* final_norm_ = nullptr;
    Weight head_;
    void* stream_ = nullptr;
    void* cublas_ = nullptr;
    void* module_ = nullptr;
    int* tokens_ = nullptr;
    int* position_ = nullptr;
    float *x_ = nullptr, *normed_ = nullptr, *qkv_ = nullptr, *attended_ = nullptr;
    float *projected_ = nullptr, *hidden_ = nullptr, *activated_ = nullptr, *logits_ = nullptr;
    std::uint16_t* narrow_ = nullptr;
    float* host_logits_ = nullptr;
    int* host_token_ = nullptr;
    std::uint64_t seed_ = 0;
    std::vector<double> step_times_;
};

}  // namespace minillama
