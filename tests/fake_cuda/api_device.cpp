// Devices, contexts, errors.
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "api.hpp"
#include "core/device.hpp"

namespace fake {
namespace {

constexpr int driver_version = 13000;

struct Name {
    const char* name;
    const char* text;
};

Name error_name(int error) {
    static const std::map<int, Name> names = {
        {0, {"SUCCESS", "no error"}},
        {1, {"INVALID_VALUE", "invalid argument"}},
        {2, {"OUT_OF_MEMORY", "out of memory"}},
        {3, {"NOT_INITIALIZED", "initialization error"}},
        {4, {"DEINITIALIZED", "driver shutting down"}},
        {98, {"INVALID_DEVICE_FUNCTION", "invalid device function"}},
        {100, {"NO_DEVICE", "no CUDA-capable device is detected"}},
        {101, {"INVALID_DEVICE", "invalid device ordinal"}},
        {200, {"INVALID_IMAGE", "device kernel image is invalid"}},
        {201, {"INVALID_CONTEXT", "invalid device context"}},
        {400, {"INVALID_HANDLE", "invalid resource handle"}},
        {401, {"ILLEGAL_STATE", "the operation cannot be performed in the present state"}},
        {500, {"NOT_FOUND", "named symbol not found"}},
        {600, {"NOT_READY", "device not ready"}},
        {700, {"ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
        {704, {"PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled"}},
        {712, {"HOST_MEMORY_ALREADY_REGISTERED", "part or all of the memory is already mapped"}},
        {713,
         {"HOST_MEMORY_NOT_REGISTERED",
          "pointer does not correspond to a registered memory region"}},
        {800, {"NOT_PERMITTED", "operation not permitted"}},
        {801, {"NOT_SUPPORTED", "operation not supported"}},
        {900, {"STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}},
        {901,
         {"STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"}},
        {902, {"STREAM_CAPTURE_MERGE", "operation would result in a merge of separate captures"}},
        {903, {"STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"}},
        {904, {"STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"}},
        {905, {"STREAM_CAPTURE_ISOLATION", "dependency on uncaptured work in another stream"}},
        {906,
         {"STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capture"}},
        {907, {"CAPTURED_EVENT", "operation not permitted on an event last recorded in a capture"}},
        {908, {"STREAM_CAPTURE_WRONG_THREAD", "capture was ended by another thread than began it"}},
        {910, {"GRAPH_EXEC_UPDATE_FAILURE", "the graph update was not performed"}},
    };
    const auto it = names.find(error);
    return it == names.end() ? Name{"UNKNOWN", "unknown error"} : it->second;
}

int pci_bus_id(char* text, int length, int device) {
    if (text == nullptr || length < 1) return invalid_value;
    if (!is_device(device)) return invalid_device;
    std::snprintf(text, static_cast<std::size_t>(length), "0000:%02X:00.0", device + 1);
    return ok;
}

int attribute(int* value, int which, int device) {
    if (value == nullptr) return invalid_value;
    if (!is_device(device)) return invalid_device;
    *value = device_attribute(which, device);
    return ok;
}

template <class T>
int give(T* out, T value) {
    if (out == nullptr) return invalid_value;
    *out = value;
    return ok;
}

int priorities(int* least, int* greatest) {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return ok;
}

}  // namespace

namespace api {

int cuInit(Call&, unsigned flags) {
    return flags == 0 ? ok : invalid_value;
}
int cuDriverGetVersion(Call&, int* version) {
    return give(version, driver_version);
}
int cuGetErrorString(Call&, int error, const char** text) {
    return give(text, error_name(error).text);
}
int cuGetErrorName(Call&, int error, const char** text) {
    static std::map<int, std::string> names;
    const Lock lock(world());
    std::string& name = names[error];
    if (name.empty())
        name = std::string("CUDA_") + (error == 0 ? "" : "ERROR_") + error_name(error).name;
    return give(text, name.c_str());
}
int cuDeviceGet(Call&, int* device, int ordinal) {
    return is_device(ordinal) ? give(device, ordinal) : invalid_device;
}
int cuDeviceGetCount(Call&, int* count) {
    return give(count, device_count());
}
int cuDeviceGetName(Call&, char* text, int length, int device) {
    if (text == nullptr || length < 1) return invalid_value;
    if (!is_device(device)) return invalid_device;
    std::snprintf(text, static_cast<std::size_t>(length), "orchtrace stand-in %d", device);
    return ok;
}
int cuDeviceGetUuid(Call&, void* uuid, int device) {
    if (!is_device(device)) return invalid_device;
    std::memset(uuid, 0x40 + device, 16);
    return ok;
}
int cuDeviceGetUuid_v2(Call& call, void* uuid, int device) {
    return cuDeviceGetUuid(call, uuid, device);
}
int cuDeviceTotalMem_v2(Call&, size_t* bytes, int device) {
    return is_device(device) ? give(bytes, memory::total()) : invalid_device;
}
int cuDeviceGetAttribute(Call&, int* value, int which, int device) {
    return attribute(value, which, device);
}
int cuDeviceGetPCIBusId(Call&, char* text, int length, int device) {
    return pci_bus_id(text, length, device);
}
int cuDeviceComputeCapability(Call&, int* major, int* minor, int device) {
    if (!is_device(device)) return invalid_device;
    give(major, 8);
    return give(minor, 0);
}
int cuDeviceCanAccessPeer(Call&, int* can, int device, int peer) {
    return is_device(device) && is_device(peer) ? give(can, device != peer ? 1 : 0)
                                                : invalid_device;
}

int cuDevicePrimaryCtxRetain(Call&, void** context, int device) {
    if (!is_device(device)) return invalid_device;
    const Lock lock(world());
    Context& primary = primary_context(device);
    ++primary.retained;
    return give(context, static_cast<void*>(&primary));
}
int cuDevicePrimaryCtxRelease_v2(Call&, int device) {
    if (!is_device(device)) return invalid_device;
    Lock lock(world());
    Context* primary = existing_primary_context(device);
    if (primary == nullptr || primary->retained == 0) return invalid_context;
    return --primary->retained == 0 ? reset_device(lock, device) : static_cast<int>(ok);
}
int cuDevicePrimaryCtxReset_v2(Call&, int device) {
    if (!is_device(device)) return invalid_device;
    Lock lock(world());
    return reset_device(lock, device);
}
int cuDevicePrimaryCtxSetFlags_v2(Call&, int device, unsigned flags) {
    if (!is_device(device)) return invalid_device;
    const Lock lock(world());
    primary_context(device).flags = flags;
    return ok;
}
int cuDevicePrimaryCtxGetState(Call&, int device, unsigned* flags, int* active) {
    if (!is_device(device)) return invalid_device;
    const Lock lock(world());
    const Context* primary = existing_primary_context(device);
    give(flags, primary != nullptr ? primary->flags : 0);
    return give(active, primary != nullptr ? 1 : 0);
}

int cuCtxCreate_v2(Call&, void** context, unsigned flags, int device) {
    if (!is_device(device)) return invalid_device;
    const Lock lock(world());
    Context& made = make_context(device, flags);
    context_stack().push_back(&made);
    return give(context, static_cast<void*>(&made));
}
int cuCtxCreate_v4(Call& call, void** context, void*, unsigned flags, int device) {
    return cuCtxCreate_v2(call, context, flags, device);
}
int cuCtxDestroy_v2(Call&, void* handle) {
    Lock lock(world());
    Context* context = find_context(handle);
    if (context == nullptr || context->primary) return invalid_context;
    return destroy_context(lock, *context);
}
int cuCtxPushCurrent_v2(Call&, void* handle) {
    const Lock lock(world());
    Context* context = find_context(handle);
    if (context == nullptr) return invalid_context;
    context_stack().push_back(context);
    return ok;
}
int cuCtxPopCurrent_v2(Call&, void** handle) {
    const Lock lock(world());
    if (context_stack().empty()) return invalid_context;
    if (handle != nullptr) *handle = context_stack().back();
    context_stack().pop_back();
    return ok;
}
int cuCtxSetCurrent(Call&, void* handle) {
    const Lock lock(world());
    auto& stack = context_stack();
    if (!stack.empty()) stack.pop_back();
    if (handle == nullptr) return ok;
    Context* context = find_context(handle);
    if (context == nullptr) return invalid_context;
    stack.push_back(context);
    return ok;
}
int cuCtxGetCurrent(Call&, void** handle) {
    const Lock lock(world());
    return give(handle, static_cast<void*>(current_context(false)));
}
int cuCtxGetDevice(Call&, int* device) {
    const Lock lock(world());
    const Context* context = current_context(false);
    return context == nullptr ? invalid_context : give(device, context->device);
}
int cuCtxGetFlags(Call&, unsigned* flags) {
    const Lock lock(world());
    const Context* context = current_context(false);
    return context == nullptr ? invalid_context : give(flags, context->flags);
}
int cuCtxGetId(Call&, void* handle, unsigned long long* id) {
    const Lock lock(world());
    const Context* context = handle == nullptr ? current_context(false) : find_context(handle);
    return context == nullptr ? invalid_context
                              : give(id, static_cast<unsigned long long>(context->id));
}
int cuCtxGetApiVersion(Call&, void*, unsigned* version) {
    return give(version, 3020U);
}
int cuCtxGetStreamPriorityRange(Call&, int* least, int* greatest) {
    return priorities(least, greatest);
}
int cuCtxSynchronize(Call& call) {
    return synchronize_device(call);
}
/// There are no private tables here.
int cuGetExportTable(Call&, const void**, const void*) {
    return not_found;
}

int cudaDriverGetVersion(Call&, int* version) {
    return give(version, driver_version);
}
int cudaRuntimeGetVersion(Call& call, int* version) {
    return give(version, call.major() * 1000);
}
int cudaGetLastError(Call&) {
    const int error = last_error();
    last_error() = ok;
    return error;
}
int cudaPeekAtLastError(Call&) {
    return last_error();
}
const char* cudaGetErrorString(Call&, int error) {
    return error_name(error).text;
}
const char* cudaGetErrorName(Call&, int error) {
    return error_name(error).name;
}
int cudaGetDeviceCount(Call&, int* count) {
    return give(count, device_count());
}
int cudaGetDevice(Call&, int* device) {
    return give(device, current_device());
}
int cudaSetDevice(Call&, int device) {
    const Lock lock(world());
    return set_device(device);
}
int cudaInitDevice(Call&, int device, unsigned, unsigned) {
    return is_device(device) ? ok : invalid_device;
}
int cudaSetDeviceFlags(Call&, unsigned flags) {
    const Lock lock(world());
    primary_context(current_device()).flags = flags;
    return ok;
}
int cudaGetDeviceFlags(Call&, unsigned* flags) {
    const Lock lock(world());
    return give(flags, primary_context(current_device()).flags);
}
int cudaGetDeviceProperties(Call& call, void* properties, int device) {
    if (properties == nullptr) return invalid_value;
    if (!is_device(device)) return invalid_device;
    fill_properties(properties, device, call.major(), false);
    return ok;
}
int cudaGetDeviceProperties_v2(Call& call, void* properties, int device) {
    if (properties == nullptr) return invalid_value;
    if (!is_device(device)) return invalid_device;
    fill_properties(properties, device, call.major(), true);
    return ok;
}
int cudaDeviceGetAttribute(Call&, int* value, int which, int device) {
    return attribute(value, which, device);
}
int cudaDeviceGetPCIBusId(Call&, char* text, int length, int device) {
    return pci_bus_id(text, length, device);
}
int cudaDeviceCanAccessPeer(Call& call, int* can, int device, int peer) {
    return cuDeviceCanAccessPeer(call, can, device, peer);
}
int cudaDeviceEnablePeerAccess(Call&, int peer, unsigned flags) {
    static std::map<std::pair<int, int>, bool> enabled;
    const Lock lock(world());
    if (flags != 0 || !is_device(peer) || peer == current_device()) return invalid_device;
    return std::exchange(enabled[{current_device(), peer}], true) ? peer_access_already_enabled
                                                                  : ok;
}
int cudaDeviceDisablePeerAccess(Call&, int peer) {
    return is_device(peer) ? ok : invalid_device;
}
int cudaDeviceGetStreamPriorityRange(Call&, int* least, int* greatest) {
    return priorities(least, greatest);
}
int cudaDeviceSynchronize(Call& call) {
    return synchronize_device(call);
}
int cudaDeviceReset(Call&) {
    Lock lock(world());
    return reset_device(lock, current_device());
}
int cudaProfilerStart(Call&) {
    return ok;
}
int cudaProfilerStop(Call&) {
    return ok;
}

}  // namespace api
}  // namespace fake
