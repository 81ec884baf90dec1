// A program with NVIDIA's own CUDA runtime inside, and another copy of it as a library if one is
// named: how they find the driver. Prints what they say, and how much of what they keep leads to
// the injected library.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace {

struct Range {
    std::uintptr_t begin = UINTPTR_MAX;
    std::uintptr_t end = 0;
};

struct Modules {
    Range ours;                  ///< of the injected library
    std::vector<Range> program;  ///< what the program can write to
};

int look(dl_phdr_info* info, std::size_t, void* data) {
    auto& modules = *static_cast<Modules*>(data);
    const std::string_view name = info->dlpi_name;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD) continue;
        const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr;
        const std::uintptr_t end = begin + header.p_memsz;
        if (name.find("liborchtrace") != name.npos) {
            modules.ours.begin = std::min(modules.ours.begin, begin);
            modules.ours.end = std::max(modules.ours.end, end);
        } else if (name.empty() && (header.p_flags & PF_W) != 0) {
            modules.program.push_back({(begin + 7) / 8 * 8, end / 8 * 8});
        }
    }
    return 0;
}

long pointers_into_us() {
    Modules modules;
    ::dl_iterate_phdr(look, &modules);
    long count = 0;
    for (const Range& range : modules.program) {
        for (std::uintptr_t at = range.begin; at < range.end; at += 8) {
            std::uintptr_t word = 0;
            std::memcpy(&word, reinterpret_cast<const void*>(at), sizeof word);
            count += word >= modules.ours.begin && word < modules.ours.end ? 1 : 0;
        }
    }
    return count;
}

}  // namespace

int main(int argc, char** argv) {
    int count = -1;
    const int error = cudaGetDeviceCount(&count);
    std::printf("static %d %d\n", error, count);
    if (argc == 2) {
        void* library = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        auto* ask = reinterpret_cast<int (*)(int*)>(
            library == nullptr ? nullptr : ::dlsym(library, "cudaGetDeviceCount"));
        if (ask == nullptr) return 1;
        count = -1;
        const int other = ask(&count);
        std::printf("shared %d %d\n", other, count);
    }
    std::printf("leads to us %ld\n", pointers_into_us());
    return 0;
}
