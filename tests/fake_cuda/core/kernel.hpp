// Kernels run as host functions of the same name, where there are some; else they only count.
//
//   FAKE_CUDA_KERNELS=LIB:LIB   where NAME_host is looked for, after the program itself:
//
//     extern "C" void NAME_host(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
//                               unsigned bz, void** params);
//
// NAME is the kernel's mangled name or its plain one, without namespaces, template arguments and
// parameters. How large its parameters are is read from its C++ name, or taken from
//
//     extern "C" const std::size_t NAME_param_sizes[];  // ends with 0
//
// and without either as much as is readable is kept of each of the first sixteen.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/stream.hpp"

namespace fake {

using HostFunction = void (*)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void**);

struct Kernel {
    std::string name;       ///< as the binary has it
    std::string demangled;  ///< readable, whole
    std::string plain;
    HostFunction host = nullptr;
    std::vector<std::size_t> sizes;  ///< of the parameters; 0: unknown
    bool count_known = false;
    void* module = nullptr;
    std::uint64_t context = 0;  ///< of its module; 0: of any
    std::size_t launches = 0;
};

/// A kernel with a copy of its arguments.
struct Launch {
    Kernel* kernel = nullptr;
    Dim3 grid, block;
    std::size_t shared = 0;
    std::vector<std::vector<std::byte>> values;
    std::vector<void*> params;

    void run();
};

namespace kernels {
/// With the lock held; null for a handle that is none.
Kernel* find(const void* handle);
Kernel* define(const char* name, void* module);
void bind(const void* host_function, Kernel* kernel);
/// ok, or why this is no image of code.
int check_image(const void* image);
/// True if the image is readable text that has no such kernel.
bool surely_lacks(const void* image, const char* name);
/// True once a kernel that has no host function was launched: device memory is not what it should
/// be.
bool any_without_effect();
int offset_of(const Kernel& kernel, std::size_t index, std::size_t* offset, std::size_t* bytes);
}  // namespace kernels

struct LaunchShape {
    Dim3 grid, block;
    std::size_t shared;
};
std::shared_ptr<Launch> make_launch(Kernel& kernel, const LaunchShape& shape, void** params,
                                    void** extra);
int launch(Call& call, const void* handle, const LaunchShape& shape, void* stream, void** params,
           void** extra);
Op kernel_op(const std::shared_ptr<Launch>& launch);

}  // namespace fake
