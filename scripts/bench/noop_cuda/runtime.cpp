// A CUDA runtime that does nothing, at once.
#include "noop_cuda.hpp"

extern "C" {

int cudaMemcpy(void*, const void*, std::size_t, int) {
    return 0;
}
NOOP_TWIN(cudaMemcpy)
int plain_cudaMemcpy(void*, const void*, std::size_t, int);

int cudaMemcpyAsync(void*, const void*, std::size_t, int, void*) {
    return 0;
}
NOOP_TWIN(cudaMemcpyAsync)
int plain_cudaMemcpyAsync(void*, const void*, std::size_t, int, void*);

int cudaGraphLaunch(void*, void*) {
    return 0;
}
NOOP_TWIN(cudaGraphLaunch)
int plain_cudaGraphLaunch(void*, void*);

int cudaStreamBeginCapture(void*, int) {
    noop_captures = 1;
    return 0;
}

int cudaStreamEndCapture(void*, void** graph) {
    noop_captures = 0;
    *graph = &noop_captures;
    return 0;
}

int cudaGraphInstantiateWithFlags(void** exec, void* graph, std::uint64_t) {
    *exec = graph;
    return 0;
}
}
