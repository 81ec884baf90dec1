// Modules, kernels, and the code that nvcc puts into a program to register and launch them.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <vector>

#include "api.hpp"
#include "core/kernel.hpp"

namespace fake {
namespace {

struct Module {
    const void* image = nullptr;
    std::string owned;          ///< where it was read from a file
    std::uint64_t context = 0;  ///< that it was loaded in; 0: none, a library
    std::map<std::string, Kernel*> kernels;
};

std::map<void*, std::unique_ptr<Module>>& modules() {
    static auto* const one = new std::map<void*, std::unique_ptr<Module>>;
    return *one;
}

struct Configuration {
    Dim3 grid, block;
    size_t shared;
    void* stream;
};

/// <<<>>> pushes, the kernel's stub pops.
std::vector<Configuration>& configurations() {
    static auto* const stacks = new std::map<std::uint64_t, std::vector<Configuration>>;
    const Lock lock(world());
    return (*stacks)[this_thread()];
}

int load(void** out, std::unique_ptr<Module> module) {
    if (out == nullptr) return invalid_value;
    if (const int error = kernels::check_image(module->image)) return error;
    const Lock lock(world());
    *out = module.get();
    modules()[*out] = std::move(module);
    return ok;
}

/// A module, unlike a library, is the current context's.
int load_here(void** out, std::unique_ptr<Module> module) {
    {
        const Lock lock(world());
        const Context* context = current_context(false);
        if (context == nullptr) return invalid_context;
        module->context = context->id;
    }
    return load(out, std::move(module));
}

int load_here(void** out, const void* image) {
    auto module = std::make_unique<Module>();
    module->image = image;
    return load_here(out, std::move(module));
}

int load(void** out, const void* image) {
    auto module = std::make_unique<Module>();
    module->image = image;
    return load(out, std::move(module));
}

Module* find_module(void* handle) {
    const auto it = modules().find(handle);
    return it == modules().end() ? nullptr : it->second.get();
}

int unload(void* handle) {
    Lock lock(world());
    if (find_module(handle) == nullptr) return invalid_handle;
    run_all(lock);
    modules().erase(handle);
    return ok;
}

int get_kernel(void** out, void* handle, const char* name) {
    const Lock lock(world());
    Module* module = find_module(handle);
    if (module == nullptr) return invalid_handle;
    if (out == nullptr || name == nullptr || *name == '\0') return invalid_value;
    if (kernels::surely_lacks(module->image, name)) return not_found;
    Kernel*& kernel = module->kernels[name];
    if (kernel == nullptr) {
        kernel = kernels::define(name, handle);
        kernel->context = module->context;
    }
    *out = kernel;
    return ok;
}

template <class Get>
int ask(const void* handle, const Get& get) {
    const Lock lock(world());
    Kernel* kernel = kernels::find(handle);
    return kernel == nullptr ? static_cast<int>(invalid_handle) : get(*kernel);
}

int name_of_kernel(const char** text, const void* handle) {
    return ask(handle, [&](const Kernel& kernel) {
        *text = kernel.name.c_str();
        return ok;
    });
}

int param_info(void* handle, size_t index, size_t* offset, size_t* bytes) {
    return ask(handle, [&](Kernel& kernel) {
        make_launch(kernel, {}, nullptr, nullptr);  // learns the parameters
        return kernels::offset_of(kernel, index, offset, bytes);
    });
}

/// CUfunction_attribute of a kernel of modest size.
int attribute_of(int* value, int attribute, const void* handle) {
    static const std::map<int, int> values = {{0, 1024}, {4, 32}, {5, 80}, {6, 80}, {8, 163 << 10}};
    if (value == nullptr) return invalid_value;
    return ask(handle, [&](const Kernel&) {
        const auto it = values.find(attribute);
        *value = it == values.end() ? 0 : it->second;
        return ok;
    });
}

int exists(const void* handle) {
    return ask(handle, [](const Kernel&) { return ok; });
}

int occupancy(int* blocks, const void* handle, int block) {
    if (blocks == nullptr || block <= 0) return invalid_value;
    *blocks = std::max(1, std::min(32, 2048 / block));
    return exists(handle);
}

}  // namespace

namespace api {

int cuModuleLoad(Call&, void** out, const char* file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) return 301;  // no such file
    auto module = std::make_unique<Module>();
    module->owned.assign(std::istreambuf_iterator<char>(stream), {});
    module->image = module->owned.c_str();
    return load_here(out, std::move(module));
}
int cuModuleLoadData(Call&, void** out, const void* image) {
    return load_here(out, image);
}
int cuModuleLoadDataEx(Call&, void** out, const void* image, unsigned, void*, void**) {
    return load_here(out, image);
}
int cuModuleLoadFatBinary(Call&, void** out, const void* image) {
    return load_here(out, image);
}
int cuModuleUnload(Call&, void* module) {
    return unload(module);
}
int cuModuleGetFunction(Call&, void** out, void* module, const char* name) {
    return get_kernel(out, module, name);
}
/// There are no variables: nothing runs that would use them.
int cuModuleGetGlobal_v2(Call&, uint64_t*, size_t*, void*, const char*) {
    return not_found;
}
int cuModuleGetLoadingMode(Call&, int* mode) {
    if (mode == nullptr) return invalid_value;
    *mode = 2;  // lazy
    return ok;
}
int cuLibraryLoadData(Call&, void** out, const void* image, void*, void**, unsigned, void*, void**,
                      unsigned) {
    return load(out, image);
}
int cuLibraryUnload(Call&, void* library) {
    return unload(library);
}
int cuLibraryGetKernel(Call&, void** out, void* library, const char* name) {
    return get_kernel(out, library, name);
}
int cuLibraryGetModule(Call&, void** module, void* library) {
    const Lock lock(world());
    if (find_module(library) == nullptr) return invalid_handle;
    *module = library;
    return ok;
}
int cuKernelGetFunction(Call&, void** function, void* kernel) {
    *function = kernel;
    return exists(kernel);
}
int cuKernelGetName(Call&, const char** text, void* kernel) {
    return name_of_kernel(text, kernel);
}
int cuKernelGetParamInfo(Call&, void* kernel, size_t index, size_t* offset, size_t* bytes) {
    return param_info(kernel, index, offset, bytes);
}
int cuKernelGetAttribute(Call&, int* value, int which, void* kernel, int) {
    return attribute_of(value, which, kernel);
}
int cuKernelSetAttribute(Call&, int, int, void* kernel, int) {
    return exists(kernel);
}
int cuFuncGetName(Call&, const char** text, void* function) {
    return name_of_kernel(text, function);
}
int cuFuncGetParamInfo(Call&, void* function, size_t index, size_t* offset, size_t* bytes) {
    return param_info(function, index, offset, bytes);
}
int cuFuncGetAttribute(Call&, int* value, int which, void* function) {
    return attribute_of(value, which, function);
}
int cuFuncSetAttribute(Call&, void* function, int, int) {
    return exists(function);
}
int cuFuncGetModule(Call&, void** module, void* function) {
    return ask(function, [&](const Kernel& kernel) {
        *module = kernel.module;
        return ok;
    });
}
int cuFuncLoad(Call&, void* function) {
    return exists(function);
}
int cuFuncIsLoaded(Call&, int* loaded, void* function) {
    if (loaded != nullptr) *loaded = 1;
    return exists(function);
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(Call&, int* blocks, void* function, int block,
                                                size_t) {
    return occupancy(blocks, function, block);
}
int cuLaunchKernel(Call& c, void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, void* stream, void** params,
                   void** extra) {
    return launch(c, function, {{gx, gy, gz}, {bx, by, bz}, shared}, stream, params, extra);
}
int cuLaunchKernelEx(Call& c, const DriverLaunch* g, void* function, void** params, void** extra) {
    if (g == nullptr) return invalid_value;
    const LaunchShape shape{
        {g->grid_x, g->grid_y, g->grid_z}, {g->block_x, g->block_y, g->block_z}, g->shared};
    c.note("grid", shape.grid);
    c.note("block", shape.block);
    return launch(c, function, shape, g->stream, params, extra);
}
int cuLaunchCooperativeKernel(Call& c, void* function, unsigned gx, unsigned gy, unsigned gz,
                              unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream,
                              void** params) {
    return launch(c, function, {{gx, gy, gz}, {bx, by, bz}, shared}, stream, params, nullptr);
}

void** __cudaRegisterFatBinary(Call&, void* image) {
    void* handle = nullptr;
    load(&handle, image);
    return static_cast<void**>(handle);
}
void __cudaRegisterFatBinaryEnd(Call&, void**) {}
/// Called by destructors at exit, when others may still launch: nothing is forgotten.
void __cudaUnregisterFatBinary(Call&, void**) {}
char __cudaInitModule(Call&, void**) {
    return 1;
}
void __cudaRegisterFunction(Call&, void** module, const char* host, char*, const char* name, int,
                            void*, void*, void*, void*, int*) {
    const Lock lock(world());
    kernels::bind(host, kernels::define(name, module));
}
void __cudaRegisterVar(Call&, void**, char*, char*, const char*, int, size_t, int, int) {}
int __cudaGetKernel(Call&, void** kernel, const void* host) {
    const Lock lock(world());
    *kernel = kernels::find(host);
    return *kernel != nullptr ? ok : invalid_device_function;
}
unsigned __cudaPushCallConfiguration(Call&, Dim3 grid, Dim3 block, size_t shared, void* stream) {
    configurations().push_back({grid, block, shared, stream});
    return 0;
}
int __cudaPopCallConfiguration(Call&, Dim3* grid, Dim3* block, size_t* shared, void** stream) {
    if (configurations().empty()) return 9;  // missing configuration
    const Configuration top = configurations().back();
    configurations().pop_back();
    *grid = top.grid;
    *block = top.block;
    *shared = top.shared;
    *stream = top.stream;
    return ok;
}
int cudaLaunchKernel(Call& c, const void* function, Dim3 grid, Dim3 block, void** params,
                     size_t shared, void* stream) {
    return launch(c, function, {grid, block, shared}, stream, params, nullptr);
}
int __cudaLaunchKernel(Call& c, void* kernel, Dim3 grid, Dim3 block, void** params, size_t shared,
                       void* stream) {
    return launch(c, kernel, {grid, block, shared}, stream, params, nullptr);
}
int cudaLaunchKernelExC(Call& c, const RuntimeLaunch* config, const void* function, void** params) {
    if (config == nullptr) return invalid_value;
    c.note("grid", config->grid);
    c.note("block", config->block);
    return launch(c, function, {config->grid, config->block, config->shared}, config->stream,
                  params, nullptr);
}
int cudaLaunchCooperativeKernel(Call& c, const void* function, Dim3 grid, Dim3 block, void** params,
                                size_t shared, void* stream) {
    return launch(c, function, {grid, block, shared}, stream, params, nullptr);
}
int cudaFuncGetAttributes(Call&, FunctionAttributes* attributes, const void* function) {
    if (attributes == nullptr) return invalid_value;
    *attributes = {0, 0, 0, 1024, 32, 80, 80, 0, 48 << 10, -1};
    return ask(function, [](const Kernel&) { return ok; }) == ok ? ok : invalid_device_function;
}
int cudaFuncSetAttribute(Call&, const void* function, int, int) {
    return exists(function) == ok ? ok : invalid_device_function;
}
int cudaFuncSetCacheConfig(Call&, const void* function, int) {
    return exists(function) == ok ? ok : invalid_device_function;
}
int cudaFuncGetName(Call&, const char** text, const void* function) {
    return name_of_kernel(text, function);
}
int cudaGetFuncBySymbol(Call& c, void** function, const void* symbol) {
    return __cudaGetKernel(c, function, symbol);
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessor(Call&, int* blocks, const void* function,
                                                  int block, size_t) {
    return occupancy(blocks, function, block);
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(Call&, int* blocks, const void* function,
                                                           int block, size_t, unsigned) {
    return occupancy(blocks, function, block);
}

}  // namespace api
}  // namespace fake
