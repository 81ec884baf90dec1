// A toy engine with checkpoints at the usual places: embedding, each layer's output, and the logits
// at the very end, before sampling. On a GPU, copy to the host first and log that copy.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "orch_log.hpp"

namespace {

constexpr int kDim = 32, kVocabulary = 64, kLayers = 3;

std::vector<float> embed(int token) {
    std::vector<float> x(kDim);
    for (int i = 0; i < kDim; ++i)
        x[i] = std::sin(static_cast<float>(token * 7 + i));
    return x;
}

void run_layer(std::vector<float>& x, int layer) {
    const float before = x.front();
    for (std::size_t i = 0; i < x.size(); ++i) {
        const float next = i + 1 < x.size() ? x[i + 1] : before;
        x[i] += 0.5f * std::tanh(next + 0.1f * static_cast<float>(layer));
    }
}

std::vector<float> project(const std::vector<float>& x) {
    std::vector<float> logits(kVocabulary);
    for (int v = 0; v < kVocabulary; ++v) {
        for (int i = 0; i < kDim; ++i)
            logits[v] += x[i] * std::cos(static_cast<float>(v * kDim + i));
    }
    return logits;
}

}  // namespace

int main() {
    int token = 1;
    for (int position = 0; position < 4; ++position) {
        std::vector<float> x = embed(token);
        ORCH_LOG_JSON_TOKEN("embedding", x.data(), x.size(), "f32", "[1,32]", position);

        for (int layer = 0; layer < kLayers; ++layer) {
            run_layer(x, layer);
            // The name is built only when there is a record to write.
            ORCH_LOG_JSON_TOKEN(("layer_" + std::to_string(layer) + "_output").c_str(), x.data(),
                                x.size(), "f32", "[1,32]", position);
        }
        const std::vector<float> logits = project(x);
        ORCH_LOG_JSON_TOKEN("logits", logits.data(), logits.size(), "f32", "[1,64]", position);
        ORCH_LOG_FLUSH();  // a crash while sampling would leave the trace up to here

        token = static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        std::printf("%d ", token);
    }
    std::puts("");
}
