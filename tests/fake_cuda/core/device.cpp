#include "core/device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace fake {
namespace {

struct State {
    std::map<void*, std::unique_ptr<Context>> contexts;
    std::map<int, Context*> primary;
    std::map<std::uint64_t, std::vector<Context*>> stacks;  ///< by thread
    /// Destroyed ones stay, because streams that are still being used point at them; and come back,
    /// as a driver's handles do: what is remembered by a handle is of another context then.
    std::vector<std::unique_ptr<Context>> dead;
};

State& state() {
    static State* const one = new State;
    return *one;
}

thread_local int device_of_thread = 0;

void bury(Lock& lock, Context& context) {
    run_all(lock);
    drop_streams(context);
    context.legacy.reset();
    memory::release_context(context.id);
    for (auto& [device, primary] : state().primary) {
        if (primary == &context) primary = nullptr;
    }
    std::erase(context_stack(), &context);
    const auto it = state().contexts.find(&context);
    state().dead.push_back(std::move(it->second));
    state().contexts.erase(it);
}

/// Fields that the layouts of CUDA 12 and 13 have in common.
template <class Properties>
void fill(Properties& p, int device) {
    std::snprintf(p.name, sizeof p.name, "orchtrace stand-in %d", device);
    std::memset(p.uuid, 0x40 + device, sizeof p.uuid);
    p.totalGlobalMem = memory::total();
    p.sharedMemPerBlock = 48U << 10;
    p.regsPerBlock = 65536;
    p.warpSize = 32;
    p.memPitch = 0x7fffffff;
    p.maxThreadsPerBlock = 1024;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 0x7fffffff;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.totalConstMem = 65536;
    p.major = 8;
    p.minor = 0;
    p.textureAlignment = 512;
    p.texturePitchAlignment = 32;
    p.multiProcessorCount = device_attribute(16, device);
    p.canMapHostMemory = 1;
    p.concurrentKernels = 1;
    p.pciBusID = device + 1;
    p.asyncEngineCount = 3;
    p.unifiedAddressing = 1;
    p.memoryBusWidth = 5120;
    p.l2CacheSize = 40 << 20;
    p.maxThreadsPerMultiProcessor = 2048;
    p.streamPrioritiesSupported = 1;
    p.globalL1CacheSupported = p.localL1CacheSupported = 1;
    p.sharedMemPerMultiprocessor = 164U << 10;
    p.regsPerMultiprocessor = 65536;
    p.managedMemory = 1;
    p.concurrentManagedAccess = 1;
    p.computePreemptionSupported = 1;
    p.canUseHostPointerForRegisteredMem = 1;
    p.cooperativeLaunch = 1;
    p.sharedMemPerBlockOptin = 163U << 10;
    p.maxBlocksPerMultiProcessor = 32;
    p.reservedSharedMemPerBlock = 1U << 10;
    p.hostRegisterSupported = 1;
    p.memoryPoolsSupported = 1;
}

// The toolkit's names, so that a layout can be compared with its header line by line.
#define FAKE_PROPERTIES_TEXTURES                                                              \
    int maxTexture2D[2], maxTexture2DMipmap[2], maxTexture2DLinear[3], maxTexture2DGather[2], \
        maxTexture3D[3], maxTexture3DAlt[3], maxTextureCubemap, maxTexture1DLayered[2],       \
        maxTexture2DLayered[3], maxTextureCubemapLayered[2], maxSurface1D, maxSurface2D[2],   \
        maxSurface3D[3], maxSurface1DLayered[2], maxSurface2DLayered[3], maxSurfaceCubemap,   \
        maxSurfaceCubemapLayered[2];                                                          \
    std::size_t surfaceAlignment;                                                             \
    int concurrentKernels, ECCEnabled, pciBusID, pciDeviceID, pciDomainID, tccDriver,         \
        asyncEngineCount, unifiedAddressing;
#define FAKE_PROPERTIES_HEAD                       \
    char name[256];                                \
    char uuid[16];                                 \
    char luid[8];                                  \
    unsigned luidDeviceNodeMask;                   \
    std::size_t totalGlobalMem, sharedMemPerBlock; \
    int regsPerBlock, warpSize;                    \
    std::size_t memPitch;                          \
    int maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3];
#define FAKE_PROPERTIES_TAIL                                                             \
    int maxBlocksPerMultiProcessor, accessPolicyMaxWindowSize;                           \
    std::size_t reservedSharedMemPerBlock;                                               \
    int hostRegisterSupported, sparseCudaArraySupported, hostRegisterReadOnlySupported,  \
        timelineSemaphoreInteropSupported, memoryPoolsSupported, gpuDirectRDMASupported; \
    unsigned gpuDirectRDMAFlushWritesOptions;                                            \
    int gpuDirectRDMAWritesOrdering;                                                     \
    unsigned memoryPoolSupportedHandleTypes;                                             \
    int deferredMappingCudaArraySupported, ipcEventSupported, clusterLaunch,             \
        unifiedFunctionPointers;

struct Properties12 {
    FAKE_PROPERTIES_HEAD
    int clockRate;
    std::size_t totalConstMem;
    int major, minor;
    std::size_t textureAlignment, texturePitchAlignment;
    int deviceOverlap, multiProcessorCount, kernelExecTimeoutEnabled, integrated, canMapHostMemory,
        computeMode, maxTexture1D, maxTexture1DMipmap, maxTexture1DLinear;
    FAKE_PROPERTIES_TEXTURES
    int memoryClockRate, memoryBusWidth, l2CacheSize, persistingL2CacheMaxSize,
        maxThreadsPerMultiProcessor, streamPrioritiesSupported, globalL1CacheSupported,
        localL1CacheSupported;
    std::size_t sharedMemPerMultiprocessor;
    int regsPerMultiprocessor, managedMemory, isMultiGpuBoard, multiGpuBoardGroupID,
        hostNativeAtomicSupported, singleToDoublePrecisionPerfRatio, pageableMemoryAccess,
        concurrentManagedAccess, computePreemptionSupported, canUseHostPointerForRegisteredMem,
        cooperativeLaunch, cooperativeMultiDeviceLaunch;
    std::size_t sharedMemPerBlockOptin;
    int pageableMemoryAccessUsesHostPageTables, directManagedMemAccessFromHost;
    FAKE_PROPERTIES_TAIL
    int reserved[63];
};

struct Properties13 {
    FAKE_PROPERTIES_HEAD
    std::size_t totalConstMem;
    int major, minor;
    std::size_t textureAlignment, texturePitchAlignment;
    int multiProcessorCount, integrated, canMapHostMemory, maxTexture1D, maxTexture1DMipmap;
    FAKE_PROPERTIES_TEXTURES
    int memoryBusWidth, l2CacheSize, persistingL2CacheMaxSize, maxThreadsPerMultiProcessor,
        streamPrioritiesSupported, globalL1CacheSupported, localL1CacheSupported;
    std::size_t sharedMemPerMultiprocessor;
    int regsPerMultiprocessor, managedMemory, isMultiGpuBoard, multiGpuBoardGroupID,
        hostNativeAtomicSupported, pageableMemoryAccess, concurrentManagedAccess,
        computePreemptionSupported, canUseHostPointerForRegisteredMem, cooperativeLaunch;
    std::size_t sharedMemPerBlockOptin;
    int pageableMemoryAccessUsesHostPageTables, directManagedMemAccessFromHost;
    FAKE_PROPERTIES_TAIL
    int reserved[62];
};

constexpr std::size_t old_properties_bytes = 728;

}  // namespace

int device_count() {
    static const int count = [] {
        const char* text = std::getenv("FAKE_CUDA_DEVICES");
        return text == nullptr ? 1 : std::atoi(text);
    }();
    return count;
}

bool is_device(int device) {
    return device >= 0 && device < device_count();
}

int device_attribute(int attribute, int device) {
    static const std::map<int, int> values = {
        {1, 1024},       {2, 1024},      {3, 1024},       {4, 64},    {5, 0x7fffffff},  {6, 65535},
        {7, 65535},      {8, 48 << 10},  {9, 65536},      {10, 32},   {11, 0x7fffffff}, {12, 65536},
        {13, 1410000},   {14, 512},      {15, 1},         {16, 108},  {19, 1},          {31, 1},
        {36, 1215000},   {37, 5120},     {38, 40 << 20},  {39, 2048}, {40, 3},          {41, 1},
        {51, 32},        {75, 8},        {76, 0},         {78, 1},    {79, 1},          {80, 1},
        {81, 164 << 10}, {82, 65536},    {83, 1},         {87, 2},    {89, 1},          {90, 1},
        {91, 1},         {95, 1},        {97, 163 << 10}, {99, 1},    {102, 1},         {103, 1},
        {106, 32},       {111, 1 << 10}, {115, 1},        {122, 1}};
    if (attribute == 33) return device + 1;  // PCI bus
    const auto it = values.find(attribute);
    return it == values.end() ? 0 : it->second;
}

void fill_properties(void* out, int device, int major, bool second_version) {
    if (major == 13) {
        Properties13 properties{};
        fill(properties, device);
        std::memcpy(out, &properties, sizeof properties);
        return;
    }
    Properties12 properties{};
    fill(properties, device);
    properties.clockRate = 1410000;
    properties.memoryClockRate = 1215000;
    // Programs of CUDA 11 hold a shorter structure, which begins the same way.
    std::memcpy(out, &properties, second_version ? sizeof properties : old_properties_bytes);
}

int current_device() {
    return device_of_thread;
}

std::vector<Context*>& context_stack() {
    return state().stacks[this_thread()];
}

Context* find_context(void* handle) {
    const auto it = state().contexts.find(handle);
    return it == state().contexts.end() ? nullptr : it->second.get();
}

Context& make_context(int device, unsigned flags, bool primary) {
    auto& dead = state().dead;
    const auto used = std::find_if(dead.rbegin(), dead.rend(), [&](const auto& context) {
        return context->device == device && context->primary == primary;
    });
    auto context = std::make_unique<Context>();
    if (used != dead.rend()) {
        context = std::move(*used);
        dead.erase(std::next(used).base());
        *context = {};
    }
    context->id = next_id();
    context->device = device;
    context->flags = flags;
    context->primary = primary;
    Context* handle = context.get();
    state().contexts[handle] = std::move(context);
    return *handle;
}

Context& primary_context(int device) {
    Context*& context = state().primary[device];
    if (context == nullptr) context = &make_context(device, 0, true);
    return *context;
}

Context* existing_primary_context(int device) {
    const auto it = state().primary.find(device);
    return it == state().primary.end() ? nullptr : it->second;
}

Context* current_context(bool make) {
    auto& stack = context_stack();
    std::erase_if(stack, [](Context* context) { return find_context(context) == nullptr; });
    if (stack.empty()) {
        if (!make) return nullptr;
        stack.push_back(&primary_context(device_of_thread));
    }
    return stack.back();
}

int set_device(int device) {
    if (!is_device(device)) return invalid_device;
    device_of_thread = device;
    auto& stack = context_stack();
    if (stack.empty()) stack.push_back(nullptr);
    stack.back() = &primary_context(device);
    return ok;
}

int destroy_context(Lock& lock, Context& context) {
    bury(lock, context);
    return ok;
}

int reset_device(Lock& lock, int device) {
    if (Context* primary = existing_primary_context(device); primary != nullptr)
        bury(lock, *primary);
    return ok;
}

}  // namespace fake
