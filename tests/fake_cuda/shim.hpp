// What the generated shims share.
#pragma once
#include "api.hpp"
#include "types_of_cuda.hpp"

#define FAKE_EXPORT __attribute__((visibility("default")))

/// What cuGetProcAddress finds: a function under a name, from a CUDA version on.
struct ProcEntry {
    const char* name;
    int since;
    bool per_thread;
    void* function;
};
extern const ProcEntry proc_table[];
extern const std::size_t proc_count;
