// cuGetProcAddress: how the runtime and the libraries find the driver's functions.
#include <cstring>

#include "shim.hpp"

namespace {

constexpr int found = 0;
constexpr int no_symbol = 1;
constexpr int too_old = 2;
constexpr unsigned long long per_thread_stream = 2;

/// The newest function of that name that a program of this version may have.
int find(const char* symbol, int version, bool per_thread, void** function) {
    const ProcEntry* best = nullptr;
    bool any = false;
    for (std::size_t i = 0; i < proc_count; ++i) {
        const ProcEntry& entry = proc_table[i];
        if (std::strcmp(entry.name, symbol) != 0) continue;
        any = true;
        if (entry.since > version || (entry.per_thread && !per_thread)) continue;
        const bool better = best == nullptr || entry.since > best->since ||
                            (entry.since == best->since && entry.per_thread && !best->per_thread);
        if (better) best = &entry;
    }
    *function = best != nullptr ? best->function : nullptr;
    return best != nullptr ? found : any ? too_old : no_symbol;
}

}  // namespace

extern "C" FAKE_EXPORT int cuGetProcAddress_v2(const char* symbol, void** function, int version,
                                               std::uint64_t flags, int* status);
extern "C" FAKE_EXPORT int cuGetProcAddress(const char* symbol, void** function, int version,
                                            std::uint64_t flags);

namespace {

int lookup(fake::Call& call, const char* symbol, void** function, int version, std::uint64_t flags,
           int* status) {
    if (call.journalled()) call.arguments({"symbol", "version", "flags"}, symbol, version, flags);
    if (const int fault = call.refuse()) return call.end(fault);
    if (symbol == nullptr || function == nullptr) return call.end(fake::invalid_value);
    int result = found;
    if (std::strcmp(symbol, "cuGetProcAddress") == 0) {
        constexpr int second_version = 12000;
        *function = version >= second_version ? reinterpret_cast<void*>(&cuGetProcAddress_v2)
                                              : reinterpret_cast<void*>(&cuGetProcAddress);
    } else {
        result = find(symbol, version, (flags & per_thread_stream) != 0, function);
    }
    call.note("found", result == found);
    if (status != nullptr) {
        *status = result;
        return call.end(fake::ok);
    }
    return call.end(result == found ? fake::ok : fake::not_found);
}

}  // namespace

int cuGetProcAddress_v2(const char* symbol, void** function, int version, std::uint64_t flags,
                        int* status) {
    fake::Call call("cuGetProcAddress_v2", FAKE_LIBRARY, {false, false});
    return lookup(call, symbol, function, version, flags, status);
}

int cuGetProcAddress(const char* symbol, void** function, int version, std::uint64_t flags) {
    fake::Call call("cuGetProcAddress", FAKE_LIBRARY, {false, false});
    return lookup(call, symbol, function, version, flags, nullptr);
}
