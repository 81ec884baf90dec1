// The GPU's build of minillama's kernels.
#include "kernels.hpp"

namespace minillama {

/// Of all threads of the block, known to all of them afterwards.
template <class Value, class Join>
__device__ Value across_block(Value value, Join join) {
    __shared__ Value parts[1024];
    __syncthreads();
    parts[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            parts[threadIdx.x] = join(parts[threadIdx.x], parts[threadIdx.x + half]);
    }
    __syncthreads();
    return parts[0];
}

__device__ float plus(float a, float b) {
    return a + b;
}

__device__ void work(const RmsNorm& k, std::int64_t row) {
    const float* in = k.x + row * k.cols;
    float sum = 0;
    for (std::int64_t c = threadIdx.x; c < k.cols; c += blockDim.x)
        sum += in[c] * in[c];
    sum = across_block(sum, plus);
    const float scale = 1.0F / sqrtf(sum / static_cast<float>(k.cols) + k.eps);
    for (std::int64_t c = threadIdx.x; c < k.cols; c += blockDim.x)
        k.out[row * k.cols + c] = in[c] * scale * k.weight[c];
}

__device__ void work(const Attention& k, std::int64_t i) {
    __shared__ float weights[context];
    const std::int64_t head = i % k.heads;
    const std::int64_t row = i / k.heads;
    const std::int64_t group = k.group_of(head);
    const std::int64_t visible = k.last_visible(row);
    const std::int64_t width = k.kv_heads * k.head_dim;
    const float* query = k.q + row * k.row_stride + head * k.head_dim;
    float largest = -INFINITY;
    for (std::int64_t p = threadIdx.x; p <= visible; p += blockDim.x) {
        weights[p] = k.score(query, p, group, width);
        largest = fmaxf(largest, weights[p]);
    }
    largest = across_block(largest, [](float a, float b) { return fmaxf(a, b); });
    float total = 0;
    for (std::int64_t p = threadIdx.x; p <= visible; p += blockDim.x) {
        weights[p] = expf(weights[p] - largest);
        total += weights[p];
    }
    total = across_block(total, plus);
    for (std::int64_t d = threadIdx.x; d < k.head_dim; d += blockDim.x) {
        float sum = 0;
        for (std::int64_t p = 0; p <= visible; ++p)
            sum += weights[p] * k.values[p * width + group * k.head_dim + d];
        k.out[(row * k.heads + head) * k.head_dim + d] = sum / total;
    }
    __syncthreads();  // the weights are the next index's
}

__device__ void work(const NextToken& k, std::int64_t) {
    struct Best {
        float value;
        int index;
    };
    Best best{-INFINITY, 0};
    for (int v = static_cast<int>(threadIdx.x); v < k.vocabulary; v += static_cast<int>(blockDim.x)) {
        if (k.logits[v] > best.value) best = {k.logits[v], v};
    }
    best = across_block(best, [](Best a, Best b) {
        const bool first = a.value > b.value || (a.value == b.value && a.index < b.index);
        return first ? a : b;
    });
    if (threadIdx.x != 0) return;
    *k.token = best.index;
    *k.position += k.advance;
}

template <class Kernel>
__device__ void run(const Kernel& kernel) {
    if constexpr (threads_per_index<Kernel> > 0) {
        for (std::int64_t i = blockIdx.x; i < kernel.count(); i += gridDim.x)
            work(kernel, i);
    } else {
        const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
        for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
             i < kernel.count(); i += step) {
            kernel(i);
        }
    }
}

}  // namespace minillama

#define MINI_ENTRY(Kernel)                                                   \
    extern "C" __global__ void mini_##Kernel(const minillama::Kernel work) { \
        minillama::run(work);                                                \
    }
MINI_KERNELS(MINI_ENTRY)
