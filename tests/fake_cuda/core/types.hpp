// What the stand-ins need of CUDA's ABI, declared here so that no toolkit is needed to build them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fake {

using Address = std::uintptr_t;

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};

/// Codes that the driver and the runtime share.
enum Error : int {
    ok = 0,
    invalid_value = 1,
    out_of_memory = 2,
    invalid_copy_direction = 21,
    invalid_device_function = 98,
    invalid_device = 101,
    invalid_image = 200,
    invalid_context = 201,
    invalid_handle = 400,
    not_found = 500,
    not_ready = 600,
    illegal_address = 700,
    peer_access_already_enabled = 704,
    not_supported = 801,
    capture_unsupported = 900,
    capture_invalidated = 901,
    capture_merge = 902,
    capture_unmatched = 903,
    capture_unjoined = 904,
    capture_isolation = 905,
    capture_implicit = 906,
    captured_event = 907,
    capture_wrong_thread = 908,
    graph_update_failure = 910,
    unknown_error = 999,
};

enum BlasStatus : int {
    blas_ok = 0,
    blas_not_initialized = 1,
    blas_alloc_failed = 3,
    blas_invalid_value = 7,
    blas_execution_failed = 13,
    blas_not_supported = 15,
};

/// What cuBLAS makes of an error of the stream that it works on.
constexpr int blas_status(int error) {
    return error == ok               ? blas_ok
           : error == invalid_handle ? blas_invalid_value
                                     : blas_execution_failed;
}

enum DataType : int {
    r32f = 0,
    r64f = 1,
    r16f = 2,
    r8i = 3,
    c32f = 4,
    c64f = 5,
    r32i = 10,
    r16bf = 14,
    e4m3 = 28,
    e5m2 = 29,
};

enum class NodeKind : int {
    kernel = 0,
    copy = 1,
    set = 2,
    host = 3,
    graph = 4,
    empty = 5,
    event_wait = 6,
    event_record = 7,
    allocation = 10,
    release = 11
};

constexpr const char* name_of(NodeKind kind) {
    switch (kind) {
        case NodeKind::kernel:
            return "kernel";
        case NodeKind::copy:
            return "memcpy";
        case NodeKind::set:
            return "memset";
        case NodeKind::host:
            return "host";
        case NodeKind::graph:
            return "graph";
        case NodeKind::empty:
            return "empty";
        case NodeKind::event_wait:
            return "event_wait";
        case NodeKind::event_record:
            return "event_record";
        case NodeKind::allocation:
            return "alloc";
        case NodeKind::release:
            return "free";
    }
    return "?";
}

/// CUDA_MEMCPY2D_v2
struct DriverCopy2d {
    std::size_t src_x, src_y;
    int src_type;
    const void* src_host;
    std::uint64_t src_device;
    void* src_array;
    std::size_t src_pitch;
    std::size_t dst_x, dst_y;
    int dst_type;
    void* dst_host;
    std::uint64_t dst_device;
    void* dst_array;
    std::size_t dst_pitch;
    std::size_t width, height;
};

/// CUDA_ARRAY_DESCRIPTOR_v2
struct DriverArray {
    std::size_t width, height;
    int format;
    unsigned channels;
};

/// CUDA_MEMCPY3D_v2; CUDA_MEMCPY3D_PEER has contexts where this has room.
struct DriverCopy3d {
    std::size_t src_x, src_y, src_z, src_lod;
    int src_type;
    const void* src_host;
    std::uint64_t src_device;
    void* src_array;
    void* reserved0;
    std::size_t src_pitch, src_height;
    std::size_t dst_x, dst_y, dst_z, dst_lod;
    int dst_type;
    void* dst_host;
    std::uint64_t dst_device;
    void* dst_array;
    void* reserved1;
    std::size_t dst_pitch, dst_height;
    std::size_t width, height, depth;
};

/// cudaMemcpy3DParms
struct RuntimePos {
    std::size_t x, y, z;
};
struct RuntimePitched {
    void* data;
    std::size_t pitch, width, height;
};
struct RuntimeExtent {
    std::size_t width, height, depth;
};
struct RuntimeCopy3d {
    void* src_array;
    RuntimePos src_at;
    RuntimePitched src;
    void* dst_array;
    RuntimePos dst_at;
    RuntimePitched dst;
    RuntimeExtent extent;
    int kind;
};

/// cudaMemcpy3DPeerParms
struct RuntimePeerCopy3d {
    void* src_array;
    RuntimePos src_at;
    RuntimePitched src;
    int src_device;
    void* dst_array;
    RuntimePos dst_at;
    RuntimePitched dst;
    int dst_device;
    RuntimeExtent extent;
};

/// cudaPointerAttributes; CUDA 12 ends before `reserved`.
struct PointerAttributes {
    int type;
    int device;
    void* device_pointer;
    void* host_pointer;
    long reserved[8];
};

/// The first fields of cudaFuncAttributes.
struct FunctionAttributes {
    std::size_t shared, constant, local;
    int max_threads, registers, ptx_version, binary_version, cache_mode_ca, max_dynamic_shared,
        carveout;
};

/// cudaLaunchConfig_t and CUlaunchConfig.
struct RuntimeLaunch {
    Dim3 grid, block;
    std::size_t shared;
    void* stream;
    void* attributes;
    unsigned attribute_count;
};
struct DriverLaunch {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared;
    void* stream;
    void* attributes;
    unsigned attribute_count;
};

/// cudaKernelNodeParams and CUDA_KERNEL_NODE_PARAMS_v2.
struct RuntimeKernelNode {
    void* function;
    Dim3 grid, block;
    unsigned shared;
    void** params;
    void** extra;
};
struct DriverKernelNode {
    void* function;
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared;
    void** params;
    void** extra;
    void* kernel;
    void* context;
};

struct UpdateResult {
    int result;
    void* error_node;
    void* error_from_node;
};

/// CUmemAllocationProp, CUmemAccessDesc: only ever read for the device.
struct AllocationProp {
    int type;
    int handle_types;
    int location_type;
    int location_id;
};

/// Arrays of int or, in the _64 twins, of 64-bit integers.
struct Ints {
    const void* data;
    bool wide;
    std::int64_t operator[](std::int64_t i) const {
        return wide ? static_cast<const std::int64_t*>(data)[i] : static_cast<const int*>(data)[i];
    }
};

}  // namespace fake
