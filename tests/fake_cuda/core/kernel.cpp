#include "core/kernel.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "fake_cuda.h"

namespace fake {
namespace {

constexpr std::size_t most_bytes = 4096;  ///< CUDA's limit of all parameters of a kernel
constexpr std::size_t most_params = 16;   ///< looked at, where nothing tells how many there are

struct State {
    std::map<const void*, std::unique_ptr<Kernel>> kernels;
    std::map<const void*, Kernel*> bound;  ///< by the host function that stands for it
    std::vector<void*> libraries;
    bool without_effect = false;

    State() {
        const char* text = std::getenv("FAKE_CUDA_KERNELS");
        std::string_view rest = text == nullptr ? "" : text;
        while (!rest.empty()) {
            const std::string path(rest.substr(0, rest.find(':')));
            rest.remove_prefix(std::min(rest.size(), path.size() + 1));
            void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
            if (library == nullptr) {
                std::fprintf(stderr, "fake_cuda: FAKE_CUDA_KERNELS: %s\n", ::dlerror());
                std::_Exit(2);
            }
            libraries.push_back(library);
        }
    }
};

State& state() {
    static State* const one = new State;
    return *one;
}

thread_local const Launch* running = nullptr;

void* lookup(const std::string& symbol) {
    if (void* found = ::dlsym(RTLD_DEFAULT, symbol.c_str())) return found;
    for (void* library : state().libraries) {
        if (void* found = ::dlsym(library, symbol.c_str())) return found;
    }
    return nullptr;
}

std::string demangle(const std::string& name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    if (text == nullptr) return name;
    std::string result = text;
    std::free(text);
    return result;
}

/// Where the parenthesis of the parameters opens; npos if there are none.
std::size_t parameters_of(std::string_view demangled) {
    if (!demangled.ends_with(')')) return demangled.npos;
    int depth = 0;
    for (std::size_t i = demangled.size(); i-- > 0;) {
        if (demangled[i] == ')') ++depth;
        if (demangled[i] == '(' && --depth == 0) return i;
    }
    return demangled.npos;
}

/// "void ns::name<int, (kind)2>(float*)" is "name".
std::string plain_name(std::string_view demangled) {
    const std::size_t open = parameters_of(demangled);
    std::string_view text = demangled.substr(0, open);
    int depth = 0;
    std::size_t start = 0;
    std::size_t end = text.size();
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '<' && depth++ == 0) end = i;
        if (c == '>') --depth;
        if (depth == 0 && (c == ' ' || c == ':')) {
            start = i + 1;
            end = text.size();
        }
    }
    return std::string(text.substr(start, std::max(end, start) - start));
}

std::size_t size_of_type(std::string_view type) {
    if (type.ends_with('*') || type.ends_with('&') || type.ends_with("* const")) return 8;
    static const std::map<std::string_view, std::size_t> sizes = {{"bool", 1},
                                                                  {"char", 1},
                                                                  {"signed char", 1},
                                                                  {"unsigned char", 1},
                                                                  {"short", 2},
                                                                  {"unsigned short", 2},
                                                                  {"int", 4},
                                                                  {"unsigned int", 4},
                                                                  {"float", 4},
                                                                  {"long", 8},
                                                                  {"unsigned long", 8},
                                                                  {"long long", 8},
                                                                  {"unsigned long long", 8},
                                                                  {"double", 8},
                                                                  {"uint3", 12},
                                                                  {"dim3", 12},
                                                                  {"__half", 2},
                                                                  {"__nv_bfloat16", 2}};
    const auto it = sizes.find(type);
    return it == sizes.end() ? 0 : it->second;
}

void read_sizes(Kernel& kernel) {
    for (const std::string& name : {kernel.name, kernel.plain}) {
        if (const auto* sizes = static_cast<const std::size_t*>(lookup(name + "_param_sizes"))) {
            while (*sizes != 0)
                kernel.sizes.push_back(*sizes++);
            kernel.count_known = true;
            return;
        }
    }
    const std::string_view text = kernel.demangled;
    const std::size_t open = parameters_of(text);
    if (open == text.npos) return;
    kernel.count_known = true;
    const std::string_view list = text.substr(open + 1, text.size() - open - 2);
    int depth = 0;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= list.size(); ++i) {
        const char c = i < list.size() ? list[i] : ',';
        depth += (c == '<' || c == '(') - (c == '>' || c == ')');
        if (c != ',' || (depth != 0 && i < list.size())) continue;
        std::string_view type = list.substr(start, i - start);
        while (type.starts_with(' '))
            type.remove_prefix(1);
        if (!type.empty() && type != "void") kernel.sizes.push_back(size_of_type(type));
        start = i + 1;
    }
}

/// As many of the bytes as there are: a parameter of unknown size may end where the stack ends.
std::vector<std::byte> copy_readable(const void* from, std::size_t bytes) {
    std::vector<std::byte> copy(bytes);
    std::size_t done = 0;
    while (done < bytes) {
        const std::size_t page_left = 4096 - (reinterpret_cast<Address>(from) + done) % 4096;
        const std::size_t step = std::min(bytes - done, page_left);
        iovec to{copy.data() + done, step};
        iovec source{const_cast<char*>(static_cast<const char*>(from)) + done, step};
        if (::syscall(SYS_process_vm_readv, ::getpid(), &to, 1, &source, 1, 0) !=
            static_cast<long>(step))
            break;
        done += step;
    }
    copy.resize(done);
    return copy;
}

}  // namespace

void Launch::run() {
    {
        const Lock lock(world());
        ++kernel->launches;
        state().without_effect |= kernel->host == nullptr;
    }
    if (kernel->host == nullptr) return;
    running = this;
    kernel->host(grid.x, grid.y, grid.z, block.x, block.y, block.z, params.data());
    running = nullptr;
}

namespace kernels {

Kernel* find(const void* handle) {
    const auto it = state().kernels.find(handle);
    if (it != state().kernels.end()) return it->second.get();
    const auto bound = state().bound.find(handle);
    return bound == state().bound.end() ? nullptr : bound->second;
}

Kernel* define(const char* name, void* module) {
    auto kernel = std::make_unique<Kernel>();
    kernel->name = name;
    kernel->demangled = demangle(kernel->name);
    kernel->plain = plain_name(kernel->demangled);
    kernel->module = module;
    Kernel* handle = kernel.get();
    state().kernels[handle] = std::move(kernel);
    return handle;
}

bool any_without_effect() {
    const Lock lock(world());
    return state().without_effect;
}

void bind(const void* host_function, Kernel* kernel) {
    state().bound[host_function] = kernel;
}

int check_image(const void* image) {
    if (image == nullptr) return invalid_value;
    std::uint32_t magic = 0;
    std::memcpy(&magic, image, sizeof magic);
    constexpr std::uint32_t wrapper = 0x466243b1;
    constexpr std::uint32_t fatbin = 0xba55ed50;
    constexpr std::uint32_t elf = 0x464c457f;
    if (magic == wrapper || magic == fatbin || magic == elf) return ok;
    const auto* text = static_cast<const char*>(image);
    while (*text == ' ' || *text == '\n' || *text == '\t')
        ++text;
    return *text == '.' || std::strncmp(text, "//", 2) == 0 ? ok : invalid_image;
}

bool surely_lacks(const void* image, const char* name) {
    const auto* text = static_cast<const char*>(image);
    const bool ptx = *text == '.' || std::strncmp(text, "//", 2) == 0;
    return ptx && std::strstr(text, name) == nullptr;
}

int offset_of(const Kernel& kernel, std::size_t index, std::size_t* offset, std::size_t* bytes) {
    if (!kernel.count_known) return not_supported;
    if (index >= kernel.sizes.size() || offset == nullptr) return invalid_value;
    std::size_t at = 0;
    for (std::size_t i = 0; i <= index; ++i) {
        const std::size_t size = kernel.sizes[i];
        if (size == 0) return not_supported;
        const std::size_t alignment = size % 8 == 0 ? 8 : size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;
        at = (at + alignment - 1) / alignment * alignment;
        if (i == index) *offset = at;
        at += size;
    }
    if (bytes != nullptr) *bytes = kernel.sizes[index];
    return ok;
}

}  // namespace kernels

namespace {

/// Arguments in one buffer: CU_LAUNCH_PARAM_BUFFER_POINTER, _SIZE.
void unpack(Launch& launch, void** extra) {
    const std::byte* buffer = nullptr;
    std::size_t bytes = 0;
    for (; extra[0] != nullptr; extra += 2) {
        const auto key = reinterpret_cast<Address>(extra[0]);
        if (key == 1) buffer = static_cast<const std::byte*>(extra[1]);
        if (key == 2) bytes = *static_cast<std::size_t*>(extra[1]);
    }
    if (buffer == nullptr) return;
    if (!launch.kernel->count_known || launch.kernel->sizes.size() <= 1) {
        launch.values.emplace_back(buffer, buffer + bytes);
        return;
    }
    for (std::size_t i = 0; i < launch.kernel->sizes.size(); ++i) {
        std::size_t offset = 0;
        std::size_t size = 0;
        if (kernels::offset_of(*launch.kernel, i, &offset, &size) != ok || offset + size > bytes)
            return;
        launch.values.emplace_back(buffer + offset, buffer + offset + size);
    }
}

void resolve(Kernel& kernel) {
    if (kernel.host != nullptr || kernel.count_known) return;
    for (const std::string& name : {kernel.name, kernel.plain}) {
        if (kernel.host == nullptr)
            kernel.host = reinterpret_cast<HostFunction>(lookup(name + "_host"));
    }
    read_sizes(kernel);
}

}  // namespace

std::shared_ptr<Launch> make_launch(Kernel& kernel, const LaunchShape& shape, void** params,
                                    void** extra) {
    resolve(kernel);
    auto launch = std::make_shared<Launch>();
    launch->kernel = &kernel;
    launch->grid = shape.grid;
    launch->block = shape.block;
    launch->shared = shape.shared;
    if (params == nullptr && extra != nullptr) {
        unpack(*launch, extra);
    } else if (params != nullptr && kernel.count_known) {
        for (std::size_t i = 0; i < kernel.sizes.size(); ++i) {
            const auto* value = static_cast<const std::byte*>(params[i]);
            const std::size_t size = kernel.sizes[i];
            if (size != 0) {
                launch->values.emplace_back(value, value + size);
            } else {
                launch->values.push_back(copy_readable(value, most_bytes));
            }
        }
    } else if (params != nullptr && kernel.host != nullptr) {
        const std::vector<std::byte> pointers = copy_readable(params, most_params * sizeof(void*));
        for (std::size_t i = 0; i < pointers.size() / sizeof(void*); ++i) {
            const void* value = nullptr;
            std::memcpy(&value, pointers.data() + i * sizeof(void*), sizeof value);
            launch->values.push_back(copy_readable(value, most_bytes));
        }
    }
    for (auto& value : launch->values)
        launch->params.push_back(value.data());
    return launch;
}

Op kernel_op(const std::shared_ptr<Launch>& launch) {
    Launch* one = launch.get();
    return {NodeKind::kernel, one->kernel->plain, [launch] { launch->run(); }, launch, 0};
}

int launch(Call& call, const void* handle, const LaunchShape& shape, void* stream, void** params,
           void** extra) {
    Lock lock(world());
    Kernel* kernel = kernels::find(handle);
    if (kernel == nullptr) return call.major() != 0 ? invalid_device_function : invalid_handle;
    call.note("kernel", kernel->plain);
    call.note("symbol", kernel->name);
    const auto& [grid, block, shared] = shape;
    const auto threads = static_cast<std::uint64_t>(block.x) * block.y * block.z;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0 || threads > 1024)
        return invalid_value;
    const auto target = find_stream(call, stream);
    if (!target) return invalid_handle;
    // A function of a module ends with the context that the module was loaded in.
    if (kernel->context != 0 && kernel->context != target->context->id) return invalid_handle;
    return append(lock, target, kernel_op(make_launch(*kernel, shape, params, extra)));
}

}  // namespace fake

extern "C" size_t fake_cuda_launches(const char* plain_name) {
    const fake::Lock lock(fake::world());
    std::size_t count = 0;
    for (const auto& [handle, kernel] : fake::state().kernels) {
        if (kernel->plain == plain_name) count += kernel->launches;
    }
    return count;
}

extern "C" const char* fake_cuda_kernel_name(void) {
    return fake::running == nullptr ? "" : fake::running->kernel->demangled.c_str();
}

extern "C" size_t fake_cuda_shared_bytes(void) {
    return fake::running == nullptr ? 0 : fake::running->shared;
}
