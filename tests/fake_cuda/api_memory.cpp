// Allocations, what a pointer points at, and virtual memory.
#include <algorithm>

#include "api.hpp"
#include "core/device.hpp"

namespace fake {
namespace {

int allocate(Call& call, size_t bytes, Memory kind, unsigned flags, void** pointer) {
    Lock lock(world());
    if (const int error = refuse_in_capture(lock)) return error;
    const Context* context = current_context(true);
    const int error = memory::allocate(bytes, kind, context->device, context->id, flags, pointer);
    if (error == ok) call.note("gave", *pointer);
    return error;
}

int allocate(Call& call, size_t bytes, Memory kind, unsigned flags, uint64_t* pointer) {
    if (pointer == nullptr) return invalid_value;
    void* made = nullptr;
    const int error = allocate(call, bytes, kind, flags, &made);
    *pointer = reinterpret_cast<Address>(made);
    return error;
}

/// Memory is freed when everything that could use it is done.
int release(const void* pointer, Memory kind) {
    Lock lock(world());
    if (const int error = refuse_in_capture(lock)) return error;
    if (pointer != nullptr && !memory::find(pointer)) return invalid_value;
    run_all(lock);
    return memory::release(pointer, kind);
}

int allocate_pitch(Call& call, void** pointer, size_t* pitch, size_t width, size_t height) {
    if (pitch == nullptr) return invalid_value;
    *pitch = (width + 511) / 512 * 512;
    return allocate(call, *pitch * height, Memory::device, 0, pointer);
}

int allocate_ordered(Call& call, void** pointer, size_t bytes, void* stream) {
    if (pointer == nullptr) return invalid_value;
    {
        const Lock lock(world());
        const auto target = find_stream(call, stream);
        if (!target) return invalid_handle;
        if (target->capture) return not_supported;  // memory nodes
        const Context* context = current_context(true);
        if (const int error =
                memory::allocate(bytes, Memory::device, context->device, context->id, 0, pointer)) {
            return error;
        }
        call.note("gave", *pointer);
    }
    return submit(call, stream, {NodeKind::allocation, {}, {}, nullptr, 0});
}

int release_ordered(Call& call, void* pointer, void* stream) {
    {
        const Lock lock(world());
        const auto target = find_stream(call, stream);
        if (!target || !memory::find(pointer)) return invalid_value;
        if (target->capture) return not_supported;
    }
    return submit(call, stream,
                  {NodeKind::release,
                   {},
                   [pointer] {
                       const Lock lock(world());
                       memory::release(pointer, Memory::device);
                   },
                   nullptr,
                   0});
}

int host_device_pointer(void** out, void* pointer) {
    const Lock lock(world());
    if (out == nullptr || !memory::is_pinned(pointer)) return invalid_value;
    *out = pointer;
    return ok;
}

int host_flags(unsigned* flags, void* pointer) {
    const Lock lock(world());
    const auto block = memory::find(pointer);
    if (flags == nullptr || !block || block->kind != Memory::host) return invalid_value;
    *flags = block->flags;
    return ok;
}

int enlist(void* pointer, size_t bytes, unsigned flags) {
    const Lock lock(world());
    return memory::enlist(pointer, bytes, flags, current_context(true)->id);
}

int unlist(const void* pointer) {
    Lock lock(world());
    run_all(lock);
    return memory::unlist(pointer);
}

int info(size_t* free, size_t* total) {
    const Lock lock(world());
    const int device = current_context(true)->device;
    if (free != nullptr) *free = memory::total() - std::min(memory::total(), memory::used(device));
    if (total != nullptr) *total = memory::total();
    return ok;
}

/// One CUpointer_attribute; only found ones are written.
int pointer_attribute(void* value, int attribute, uint64_t address) {
    const auto block = memory::find(reinterpret_cast<const void*>(address));
    if (value == nullptr || !block) return invalid_value;
    const auto word = [&](auto v) {
        return *static_cast<decltype(v)*>(value) = v, static_cast<int>(ok);
    };
    switch (attribute) {
        case 1:
            for (int d = 0; d < device_count(); ++d) {
                if (primary_context(d).id == block->context)
                    return word(static_cast<void*>(&primary_context(d)));
            }
            return word(static_cast<void*>(nullptr));
        case 2:
            return word(block->kind == Memory::host ? 1U : 2U);
        case 3:
            return word(address);
        case 4:
            return block->kind == Memory::device ? static_cast<int>(invalid_value) : word(address);
        case 7:
        case 20:
            return word(static_cast<unsigned long long>(block->id));
        case 8:
            return word(block->kind == Memory::managed);
        case 9:
            return word(block->device);
        case 11:
        case 19:
            return word(static_cast<std::uint64_t>(block->start));
        case 12:
        case 18:
            return word(block->bytes);
        case 13:
            return word(true);
        case 17:
            return word(static_cast<void*>(nullptr));
        default:
            return not_supported;
    }
}

}  // namespace

namespace api {

int cuMemGetInfo_v2(Call&, size_t* free, size_t* total) {
    return info(free, total);
}
int cuMemAlloc_v2(Call& call, uint64_t* pointer, size_t bytes) {
    return bytes == 0 ? invalid_value : allocate(call, bytes, Memory::device, 0, pointer);
}
int cuMemAllocPitch_v2(Call& call, uint64_t* pointer, size_t* pitch, size_t width, size_t height,
                       unsigned) {
    void* made = nullptr;
    const int error = allocate_pitch(call, &made, pitch, width, height);
    if (pointer != nullptr) *pointer = reinterpret_cast<Address>(made);
    return error;
}
int cuMemFree_v2(Call&, uint64_t pointer) {
    return release(reinterpret_cast<void*>(pointer), Memory::device);
}
int cuMemAllocAsync(Call& call, uint64_t* pointer, size_t bytes, void* stream) {
    return allocate_ordered(call, reinterpret_cast<void**>(pointer), bytes, stream);
}
int cuMemFreeAsync(Call& call, uint64_t pointer, void* stream) {
    return release_ordered(call, reinterpret_cast<void*>(pointer), stream);
}
int cuMemGetAddressRange_v2(Call&, uint64_t* base, size_t* bytes, uint64_t pointer) {
    const Lock lock(world());
    const auto block = memory::find(reinterpret_cast<void*>(pointer));
    if (!block || block->registered) return not_found;
    if (base != nullptr) *base = block->start;
    if (bytes != nullptr) *bytes = block->bytes;
    return ok;
}
int cuMemAllocHost_v2(Call& call, void** pointer, size_t bytes) {
    return allocate(call, bytes, Memory::host, 0, pointer);
}
int cuMemHostAlloc(Call& call, void** pointer, size_t bytes, unsigned flags) {
    return allocate(call, bytes, Memory::host, flags, pointer);
}
int cuMemFreeHost(Call&, void* pointer) {
    return release(pointer, Memory::host);
}
int cuMemHostGetDevicePointer_v2(Call&, uint64_t* out, void* pointer, unsigned) {
    return host_device_pointer(reinterpret_cast<void**>(out), pointer);
}
int cuMemHostGetFlags(Call&, unsigned* flags, void* pointer) {
    return host_flags(flags, pointer);
}
int cuMemHostRegister_v2(Call&, void* pointer, size_t bytes, unsigned flags) {
    return enlist(pointer, bytes, flags);
}
int cuMemHostUnregister(Call&, void* pointer) {
    return unlist(pointer);
}
int cuMemAllocManaged(Call& call, uint64_t* pointer, size_t bytes, unsigned flags) {
    return allocate(call, bytes, Memory::managed, flags, pointer);
}
int cuPointerGetAttribute(Call&, void* value, int attribute, uint64_t pointer) {
    const Lock lock(world());
    return pointer_attribute(value, attribute, pointer);
}
int cuPointerGetAttributes(Call&, unsigned count, const int* attributes, void** values,
                           uint64_t pointer) {
    if (attributes == nullptr || values == nullptr) return invalid_value;
    const Lock lock(world());
    const bool known = memory::find(reinterpret_cast<void*>(pointer)).has_value();
    for (unsigned i = 0; i < count; ++i) {
        // Of memory that CUDA does not know every attribute is 0 and that is no error.
        const bool wide = attributes[i] == 1 || attributes[i] == 3 || attributes[i] == 4 ||
                          attributes[i] == 7 || attributes[i] == 11 || attributes[i] == 12 ||
                          attributes[i] >= 17;
        if (known && pointer_attribute(values[i], attributes[i], pointer) == ok) continue;
        if (wide) {
            *static_cast<std::uint64_t*>(values[i]) = 0;
        } else if (attributes[i] == 8 || attributes[i] == 13) {
            *static_cast<bool*>(values[i]) = false;
        } else {
            *static_cast<int*>(values[i]) = attributes[i] == 9 ? -2 : 0;
        }
    }
    return ok;
}

int cuMemAddressReserve(Call&, uint64_t* pointer, size_t bytes, size_t alignment, uint64_t,
                        unsigned long long) {
    const Lock lock(world());
    return memory::reserve(bytes, alignment, pointer);
}
int cuMemAddressFree(Call&, uint64_t pointer, size_t bytes) {
    const Lock lock(world());
    return memory::unreserve(pointer, bytes);
}
int cuMemCreate(Call&, unsigned long long* handle, size_t bytes, const AllocationProp* prop,
                unsigned long long) {
    const Lock lock(world());
    return prop == nullptr ? invalid_value : memory::create(bytes, prop->location_id, handle);
}
int cuMemRelease(Call&, unsigned long long handle) {
    const Lock lock(world());
    return memory::drop(handle);
}
int cuMemMap(Call&, uint64_t pointer, size_t bytes, size_t offset, unsigned long long handle,
             unsigned long long) {
    const Lock lock(world());
    return memory::map(pointer, bytes, offset, handle);
}
int cuMemUnmap(Call&, uint64_t pointer, size_t bytes) {
    Lock lock(world());
    run_all(lock);
    return memory::unmap(pointer, bytes);
}
int cuMemSetAccess(Call&, uint64_t pointer, size_t bytes, const void*, size_t) {
    const Lock lock(world());
    return memory::grant(pointer, bytes);
}
int cuMemGetAllocationGranularity(Call&, size_t* bytes, const AllocationProp*, int) {
    if (bytes == nullptr) return invalid_value;
    *bytes = memory::granularity;
    return ok;
}

int cudaMalloc(Call& call, void** pointer, size_t bytes) {
    return allocate(call, bytes, Memory::device, 0, pointer);
}
int cudaMallocPitch(Call& call, void** pointer, size_t* pitch, size_t width, size_t height) {
    return allocate_pitch(call, pointer, pitch, width, height);
}
int cudaFree(Call&, void* pointer) {
    return release(pointer, Memory::device);
}
int cudaMallocAsync(Call& call, void** pointer, size_t bytes, void* stream) {
    return allocate_ordered(call, pointer, bytes, stream);
}
int cudaFreeAsync(Call& call, void* pointer, void* stream) {
    return release_ordered(call, pointer, stream);
}
int cudaMallocHost(Call& call, void** pointer, size_t bytes) {
    return allocate(call, bytes, Memory::host, 0, pointer);
}
int cudaHostAlloc(Call& call, void** pointer, size_t bytes, unsigned flags) {
    return allocate(call, bytes, Memory::host, flags, pointer);
}
int cudaFreeHost(Call&, void* pointer) {
    return release(pointer, Memory::host);
}
int cudaHostGetDevicePointer(Call&, void** out, void* pointer, unsigned) {
    return host_device_pointer(out, pointer);
}
int cudaHostGetFlags(Call&, unsigned* flags, void* pointer) {
    return host_flags(flags, pointer);
}
int cudaHostRegister(Call&, void* pointer, size_t bytes, unsigned flags) {
    return enlist(pointer, bytes, flags);
}
int cudaHostUnregister(Call&, void* pointer) {
    return unlist(pointer);
}
int cudaMallocManaged(Call& call, void** pointer, size_t bytes, unsigned flags) {
    return allocate(call, bytes, Memory::managed, flags, pointer);
}
int cudaMemGetInfo(Call&, size_t* free, size_t* total) {
    return info(free, total);
}
int cudaPointerGetAttributes(Call& call, PointerAttributes* attributes, const void* pointer) {
    if (attributes == nullptr) return invalid_value;
    const Lock lock(world());
    const auto block = memory::find(pointer);
    auto* address = const_cast<void*>(pointer);
    attributes->type = block ? static_cast<int>(block->kind) : 0;
    attributes->device = block ? block->device : (call.major() == 13 ? -2 : -1);
    attributes->device_pointer = block ? address : nullptr;
    attributes->host_pointer = block && block->kind == Memory::device ? nullptr : address;
    return ok;
}

}  // namespace api
}  // namespace fake
