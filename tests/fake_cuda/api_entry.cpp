// The runtime gives out the driver's functions, which it finds as the real one does.
#include <dlfcn.h>

#include "api.hpp"

namespace fake {
namespace {

using ProcAddress = int (*)(const char*, void**, int, std::uint64_t, int*);

int entry_point(const char* symbol, void** function, int version, unsigned long long flags,
                int* status) {
    if (symbol == nullptr || function == nullptr) return invalid_value;
    static const auto lookup = [] {
        void* driver = ::dlopen("libcuda.so.1", RTLD_NOW);
        return driver == nullptr
                   ? nullptr
                   : reinterpret_cast<ProcAddress>(::dlsym(driver, "cuGetProcAddress_v2"));
    }();
    int result = 1;
    *function = nullptr;
    const int error = lookup == nullptr ? static_cast<int>(ok)
                                        : lookup(symbol, function, version, flags, &result);
    if (status != nullptr) *status = result;
    return error;
}

}  // namespace

namespace api {

int cudaGetDriverEntryPoint(Call& call, const char* symbol, void** function,
                            unsigned long long flags, int* status) {
    return entry_point(symbol, function, call.major() * 1000, flags, status);
}
int cudaGetDriverEntryPointByVersion(Call&, const char* symbol, void** function, unsigned version,
                                     unsigned long long flags, int* status) {
    return entry_point(symbol, function, static_cast<int>(version), flags, status);
}

}  // namespace api
}  // namespace fake
