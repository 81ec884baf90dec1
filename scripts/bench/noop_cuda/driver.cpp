// A CUDA driver that does nothing, at once: what is left of a call that is traced is our own share.
#include "noop_cuda.hpp"

extern "C" {

// Every stream is in this state. Set by the runtime's cudaStreamBeginCapture.
int noop_captures = 0;
long noop_launches = 0;

int cuCtxGetCurrent(void** context) {
    static int the_one;
    *context = &the_one;
    return 0;
}

int cuStreamGetCtx(void*, void** context) {
    return cuCtxGetCurrent(context);
}

int cuStreamGetCaptureInfo(void*, int* status, std::uint64_t* id) {
    *status = noop_captures;
    *id = 7;
    return 0;
}

int cuPointerGetAttribute(void* data, int attribute, std::uint64_t address) {
    if (!noop::is_device_memory(address)) return 1;
    switch (attribute) {
        case 2:  // CU_POINTER_ATTRIBUTE_MEMORY_TYPE: CU_MEMORYTYPE_DEVICE
            *static_cast<unsigned*>(data) = 2;
            return 0;
        case 9:  // CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
            *static_cast<int*>(data) = 0;
            return 0;
        case 11:  // CU_POINTER_ATTRIBUTE_RANGE_START_ADDR
            *static_cast<std::uint64_t*>(data) = noop::device_memory;
            return 0;
        case 12:  // CU_POINTER_ATTRIBUTE_RANGE_SIZE
            *static_cast<std::uint64_t*>(data) = noop::device_memory_end - noop::device_memory;
            return 0;
        default:
            return 1;
    }
}

int cuDeviceGetCount(int* count) {
    *count = 1;
    return 0;
}

int cuMemAlloc_v2(std::uint64_t* address, std::size_t size) {
    static std::uint64_t next = noop::device_memory;
    *address = next;
    next += size;
    return 0;
}

int cuDeviceGetAttribute(int* value, int, int) {
    *value = 132;  // multiprocessors
    return 0;
}

int cuMemHostGetDevicePointer_v2(std::uint64_t* device, void* host, unsigned) {
    *device = reinterpret_cast<std::uintptr_t>(host);
    return 0;
}

int cuCtxGetDevice(int* device) {
    *device = 0;
    return 0;
}

int cuStreamCreate(void** stream, unsigned) {
    *stream = stream;
    return 0;
}

int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                   void*, void**, void**) {
    ++noop_launches;
    return 0;
}

int cuCtxPushCurrent_v2(void*) {
    return 0;
}
int cuCtxPopCurrent_v2(void**) {
    return 0;
}
int cuDevicePrimaryCtxGetState(int, unsigned*, int*) {
    return 0;
}
int cuModuleLoadData(void**, const void*) {
    return 0;
}
int cuModuleGetFunction(void**, void*, const char*) {
    return 0;
}
int cuMemHostRegister_v2(void*, std::size_t, unsigned) {
    return 0;
}
int cuMemsetD8Async(std::uint64_t, unsigned char, std::size_t, void*) {
    return 0;
}
int cuStreamSynchronize(void*) {
    return 0;
}
int cuThreadExchangeStreamCaptureMode(int*) {
    return 0;
}
}
