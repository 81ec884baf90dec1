// minillama WEIGHTS --tokens 1,2,3 [--generate N] [--precision f32|f16|bf16] [--fused] [--graphs]
//           [--time]
// WEIGHTS: a file of weights.py, or random:LAYERS,HIDDEN,HEADS,KV_HEADS,FFN,VOCABULARY.
// Prints the tokens that follow, and a hash of the bits of the last logits; with --time also how
// long a step took, the first ones left out. MINILLAMA_FAULT=NAME[@LAYER] plants a fault.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "engine.hpp"

int main(int argc, char** argv) {
    using namespace minillama;
    Options options;
    std::vector<int> prompt;
    int count = 1;
    bool timed = false;
    for (int i = 2; i < argc; ++i) {
        const std::string word = argv[i];
        const std::string value = i + 1 < argc ? argv[i + 1] : "";
        if (word == "--fused") {
            options.fused = true;
        } else if (word == "--graphs") {
            options.graphs = true;
        } else if (word == "--time") {
            timed = true;
        } else if (word == "--tokens") {
            std::stringstream list(value);
            for (std::string token; std::getline(list, token, ',');)
                prompt.push_back(std::atoi(token.c_str()));
            ++i;
        } else if (word == "--generate") {
            count = std::atoi(value.c_str());
            ++i;
        } else if (word == "--precision") {
            options.precision = value == "f16"    ? Precision::f16
                                : value == "bf16" ? Precision::bf16
                                                  : Precision::f32;
            ++i;
        }
    }
    if (argc < 2 || prompt.empty()) {
        std::fprintf(stderr,
                     "usage: minillama WEIGHTS --tokens 1,2,3 [--generate N] "
                     "[--precision f32|f16|bf16] [--fused] [--graphs] [--time]\n");
        return 2;
    }
    if (const char* fault = std::getenv("MINILLAMA_FAULT"); fault != nullptr) {
        const char* at = std::strchr(fault, '@');
        options.fault = at != nullptr ? std::string(fault, at) : fault;
        options.fault_layer = at != nullptr ? std::atoi(at + 1) : 0;
    }
    Engine engine(argv[1], options);
    for (const int token : engine.generate(prompt, count))
        std::printf("%d ", token);
    std::uint64_t hash = 14695981039346656037ULL;
    const auto* bytes = reinterpret_cast<const unsigned char*>(engine.logits());
    for (std::size_t i = 0; i < static_cast<std::size_t>(engine.vocabulary()) * sizeof(float); ++i)
        hash = (hash ^ bytes[i]) * 1099511628211ULL;
    std::printf("\nlogits %016llx\n", static_cast<unsigned long long>(hash));
    if (!timed) return 0;
    // A prompt, a capture, the weights' own digests: none of them is a step like the others.
    const std::size_t settling = std::min<std::size_t>(engine.step_times().size() - 1, 16);
    std::vector<double> times(engine.step_times().begin() + static_cast<std::ptrdiff_t>(settling),
                              engine.step_times().end());
    std::sort(times.begin(), times.end());
    std::printf("steps %zu median %.1f us fastest %.1f us\n", times.size(), times[times.size() / 2],
                times.front());
}
