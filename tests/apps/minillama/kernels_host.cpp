// The same kernels for the stand-in, which finds them by their names.
#include "kernels.hpp"

#define MINI_ENTRY(Kernel)                                                               \
    extern "C" __attribute__((visibility("default"))) void mini_##Kernel##_host(         \
        unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void** parameters) { \
        const auto& work = *static_cast<const minillama::Kernel*>(parameters[0]);        \
        for (std::int64_t i = 0; i < work.count(); ++i)                                  \
            work(i);                                                                     \
    }
MINI_KERNELS(MINI_ENTRY)
