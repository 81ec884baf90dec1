// Copies and fills, in all their spellings.
#include <cstring>
#include <utility>

#include "api.hpp"
#include "core/stream.hpp"

namespace fake {
namespace {

enum class Side { host, device };
enum class Wait : bool { no, yes };

/// Rows of bytes, planes of rows; a plain copy is one row.
struct Region {
    std::size_t width = 0;
    std::size_t height = 1;
    std::size_t depth = 1;
    bool empty() const { return width == 0 || height == 0 || depth == 0; }
};

struct Place {
    char* data = nullptr;
    std::size_t pitch = 0;
    std::size_t plane = 0;
    char* row(std::size_t y, std::size_t z) const { return data + z * plane + y * pitch; }
    std::size_t extent(const Region& r) const {
        return (r.depth - 1) * plane + (r.height - 1) * pitch + r.width;
    }
};

Place place(const void* data, std::size_t pitch = 0, std::size_t rows = 0) {
    return {const_cast<char*>(static_cast<const char*>(data)), pitch, pitch * rows};
}

constexpr int by_address = 4;

/// The side that the kind says, which must be where the memory lies.
bool side(int kind, bool source, const void* pointer, Side* out) {
    const bool device = memory::is_device(pointer);
    bool says_device = device;
    if (kind == 1) says_device = !source;
    if (kind == 2) says_device = source;
    if (kind == 3) says_device = true;
    if (kind == 0) says_device = false;
    *out = says_device ? Side::device : Side::host;
    // Pinned memory has the same address on the device.
    return says_device ? device || memory::is_pinned(pointer) : true;
}

const char* direction(Side from, Side to) {
    if (from == Side::host) return to == Side::host ? "H2H" : "H2D";
    return to == Side::host ? "D2H" : "D2D";
}

void move(const Place& to, const Place& from, const Region& region) {
    for (std::size_t z = 0; z < region.depth; ++z) {
        for (std::size_t y = 0; y < region.height; ++y)
            std::memmove(to.row(y, z), from.row(y, z), region.width);
    }
}

int copy(Call& call, Place to, Place from, const Region& region, int kind, void* stream,
         Wait wait) {
    call.note("bytes", static_cast<std::uint64_t>(region.width * region.height * region.depth));
    if (kind < 0 || kind > by_address) return invalid_copy_direction;
    if ((region.height > 1 || region.depth > 1) &&
        (to.pitch < region.width || from.pitch < region.width)) {
        return invalid_value;
    }
    bool staged = false;
    {
        Lock lock(world());
        Side from_side{};
        Side to_side{};
        const bool placed =
            side(kind, true, from.data, &from_side) && side(kind, false, to.data, &to_side);
        call.note("direction", direction(from_side, to_side));
        if (region.empty()) return ok;
        if (to.data == nullptr || from.data == nullptr || !placed) return invalid_value;
        if (!memory::fits(to.data, to.extent(region)) ||
            !memory::fits(from.data, from.extent(region))) {
            return invalid_value;
        }
        const auto target = find_stream(call, stream);
        if (!target) return invalid_handle;
        const bool pageable_source = !memory::find(from.data);
        const bool pageable_target = !memory::find(to.data);
        if (target->capture && wait == Wait::yes) {
            target->capture->invalidated = true;
            return capture_unsupported;
        }
        if (!target->capture) {
            if (wait == Wait::yes) {
                if (const int error = refuse_in_capture(lock)) return error;
            }
            staged = pageable_source && to_side == Side::device;
            // Documented: a copy to pageable memory returns when it is done.
            if (pageable_target) wait = Wait::yes;
        }
    }
    std::function<void()> run = [to, from, region] { move(to, from, region); };
    if (staged) {
        // Pageable memory is read before the call returns: the program may write over it at once.
        auto stage =
            std::make_shared<std::vector<char>>(region.width * region.height * region.depth);
        const Place middle{stage->data(), region.width, region.width * region.height};
        move(middle, from, region);
        run = [to, middle, stage, region] { move(to, middle, region); };
    }
    const int error = submit(call, stream, {NodeKind::copy, {}, std::move(run), nullptr, 0});
    if (error != ok || wait == Wait::no) return error;
    return synchronize(call, stream);
}

template <class Word>
int fill(Call& call, Place to, Word value, const Region& region, void* stream, Wait wait) {
    call.note("bytes", static_cast<std::uint64_t>(region.width * region.height * region.depth *
                                                  sizeof(Word)));
    if (region.empty()) return ok;
    Region bytes = region;
    bytes.width *= sizeof(Word);
    {
        Lock lock(world());
        if (!memory::is_device(to.data) && !memory::is_pinned(to.data)) return invalid_value;
        if (!memory::fits(to.data, to.extent(bytes))) return invalid_value;
        if (wait == Wait::yes) {
            if (const int error = refuse_in_capture(lock)) return error;
        }
    }
    const auto run = [to, value, region] {
        for (std::size_t z = 0; z < region.depth; ++z) {
            for (std::size_t y = 0; y < region.height; ++y) {
                char* row = to.row(y, z);
                for (std::size_t x = 0; x < region.width; ++x)
                    std::memcpy(row + x * sizeof value, &value, sizeof value);
            }
        }
    };
    // Even the call without Async only waits when it fills pinned memory.
    return submit(call, stream, {NodeKind::set, {}, run, nullptr, 0});
}

const void* pointer(uint64_t address) {
    return reinterpret_cast<const void*>(address);
}

std::pair<const void*, int> end_of(int type, const void* host, std::uint64_t device) {
    constexpr int host_memory = 1;
    constexpr int unified = 4;
    if (type == host_memory) return {host, 0};
    return {pointer(device), type == unified ? by_address : 1};
}

int kind_of(int from_device, int to_device) {
    if (from_device == by_address || to_device == by_address) return by_address;
    return from_device == 0 ? (to_device == 0 ? 0 : 1) : (to_device == 0 ? 2 : 3);
}

/// A CUDA array: rows of its own pitch, which no program may know.
struct Array {
    void* data;
    std::size_t pitch;
};

constexpr int array_memory = 3;

int copy_2d(Call& call, const DriverCopy2d* c, void* stream, Wait wait) {
    if (c == nullptr) return invalid_value;
    auto [src, from_device] = end_of(c->src_type, c->src_host, c->src_device);
    auto [dst, to_device] = end_of(c->dst_type, c->dst_host, c->dst_device);
    Place from = place(src, c->src_pitch);
    Place to = place(dst, c->dst_pitch);
    if (c->src_type == array_memory) {
        const auto& array = *static_cast<const Array*>(c->src_array);
        from = place(array.data, array.pitch);
    }
    if (c->dst_type == array_memory) {
        const auto& array = *static_cast<const Array*>(c->dst_array);
        to = place(array.data, array.pitch);
    }
    from.data += c->src_y * from.pitch + c->src_x;
    to.data += c->dst_y * to.pitch + c->dst_x;
    return copy(call, to, from, {c->width, c->height, 1}, kind_of(from_device, to_device), stream,
                wait);
}

int copy_3d(Call& call, const DriverCopy3d* c, void* stream, Wait wait) {
    if (c == nullptr || c->src_array != nullptr || c->dst_array != nullptr) return not_supported;
    const auto [src, from_device] = end_of(c->src_type, c->src_host, c->src_device);
    const auto [dst, to_device] = end_of(c->dst_type, c->dst_host, c->dst_device);
    Place from = place(src, c->src_pitch, c->src_height);
    Place to = place(dst, c->dst_pitch, c->dst_height);
    from.data += c->src_z * from.plane + c->src_y * from.pitch + c->src_x;
    to.data += c->dst_z * to.plane + c->dst_y * to.pitch + c->dst_x;
    const Region region{c->width, c->height, c->depth};
    return copy(call, to, from, region, kind_of(from_device, to_device), stream, wait);
}

int copy_3d(Call& call, const RuntimeCopy3d* c, void* stream, Wait wait) {
    if (c == nullptr || c->src_array != nullptr || c->dst_array != nullptr) return not_supported;
    Place from = place(c->src.data, c->src.pitch, c->src.height);
    Place to = place(c->dst.data, c->dst.pitch, c->dst.height);
    from.data += c->src_at.z * from.plane + c->src_at.y * from.pitch + c->src_at.x;
    to.data += c->dst_at.z * to.plane + c->dst_at.y * to.pitch + c->dst_at.x;
    const Region region{c->extent.width, c->extent.height, c->extent.depth};
    return copy(call, to, from, region, c->kind, stream, wait);
}

int copy_3d_peer(Call& call, const RuntimePeerCopy3d* c, void* stream) {
    if (c == nullptr) return invalid_value;
    constexpr int device_to_device = 3;
    const RuntimeCopy3d same{c->src_array, c->src_at, c->src,    c->dst_array,
                             c->dst_at,    c->dst,    c->extent, device_to_device};
    return copy_3d(call, &same, stream, Wait::no);
}

template <class Pointers, class Sources>
int copy_batch(Call& call, Pointers dsts, Sources srcs, const size_t* sizes, size_t count,
               void* stream) {
    const auto at = [](auto address) { return (const void*)address; };
    if (dsts == nullptr || srcs == nullptr || sizes == nullptr || stream == nullptr)
        return invalid_value;
    for (size_t i = 0; i < count; ++i) {
        const int error = copy(call, place(at(dsts[i])), place(at(srcs[i])), {sizes[i]}, by_address,
                               stream, Wait::no);
        if (error != ok) return error;
    }
    return ok;
}

int fill_3d(Call& call, const RuntimePitched& dst, int value, const RuntimeExtent& e, void* stream,
            Wait wait) {
    const auto byte = static_cast<unsigned char>(value);
    return fill(call, place(dst.data, dst.pitch, dst.height), byte, {e.width, e.height, e.depth},
                stream, wait);
}

}  // namespace

namespace api {

int cuMemcpy(Call& c, uint64_t dst, uint64_t src, size_t bytes) {
    return copy(c, place(pointer(dst)), place(pointer(src)), {bytes}, by_address, nullptr,
                Wait::yes);
}
int cuMemcpyAsync(Call& c, uint64_t dst, uint64_t src, size_t bytes, void* stream) {
    return copy(c, place(pointer(dst)), place(pointer(src)), {bytes}, by_address, stream, Wait::no);
}
int cuMemcpyHtoD_v2(Call& c, uint64_t dst, const void* src, size_t bytes) {
    return copy(c, place(pointer(dst)), place(src), {bytes}, 1, nullptr, Wait::yes);
}
int cuMemcpyDtoH_v2(Call& c, void* dst, uint64_t src, size_t bytes) {
    return copy(c, place(dst), place(pointer(src)), {bytes}, 2, nullptr, Wait::yes);
}
int cuMemcpyDtoD_v2(Call& c, uint64_t dst, uint64_t src, size_t bytes) {
    return copy(c, place(pointer(dst)), place(pointer(src)), {bytes}, 3, nullptr, Wait::no);
}
int cuMemcpyHtoDAsync_v2(Call& c, uint64_t dst, const void* src, size_t bytes, void* stream) {
    return copy(c, place(pointer(dst)), place(src), {bytes}, 1, stream, Wait::no);
}
int cuMemcpyDtoHAsync_v2(Call& c, void* dst, uint64_t src, size_t bytes, void* stream) {
    return copy(c, place(dst), place(pointer(src)), {bytes}, 2, stream, Wait::no);
}
int cuMemcpyDtoDAsync_v2(Call& c, uint64_t dst, uint64_t src, size_t bytes, void* stream) {
    return copy(c, place(pointer(dst)), place(pointer(src)), {bytes}, 3, stream, Wait::no);
}
int cuMemcpyPeer(Call& c, uint64_t dst, void*, uint64_t src, void*, size_t bytes) {
    return copy(c, place(pointer(dst)), place(pointer(src)), {bytes}, 3, nullptr, Wait::no);
}
int cuMemcpyPeerAsync(Call& c, uint64_t dst, void*, uint64_t src, void*, size_t bytes,
                      void* stream) {
    return copy(c, place(pointer(dst)), place(pointer(src)), {bytes}, 3, stream, Wait::no);
}
int cuMemcpy2D_v2(Call& c, const DriverCopy2d* what) {
    return copy_2d(c, what, nullptr, Wait::yes);
}
int cuMemcpy2DUnaligned_v2(Call& c, const DriverCopy2d* what) {
    return copy_2d(c, what, nullptr, Wait::yes);
}
int cuMemcpy2DAsync_v2(Call& c, const DriverCopy2d* what, void* stream) {
    return copy_2d(c, what, stream, Wait::no);
}
int cuMemcpy3D_v2(Call& c, const DriverCopy3d* what) {
    return copy_3d(c, what, nullptr, Wait::yes);
}
int cuMemcpy3DAsync_v2(Call& c, const DriverCopy3d* what, void* stream) {
    return copy_3d(c, what, stream, Wait::no);
}

int cuMemcpy3DPeer(Call& c, const DriverCopy3d* what) {
    return copy_3d(c, what, nullptr, Wait::no);
}
int cuMemcpy3DPeerAsync(Call& c, const DriverCopy3d* what, void* stream) {
    return copy_3d(c, what, stream, Wait::no);
}
int cuMemcpyBatchAsync(Call& c, uint64_t* dsts, uint64_t* srcs, size_t* sizes, size_t count, void*,
                       size_t*, size_t, size_t*, void* stream) {
    return copy_batch(c, dsts, srcs, sizes, count, stream);
}
int cuMemcpyBatchAsync_v2(Call& c, uint64_t* dsts, uint64_t* srcs, size_t* sizes, size_t count,
                          void*, size_t*, size_t, void* stream) {
    return copy_batch(c, dsts, srcs, sizes, count, stream);
}
int cuArrayCreate_v2(Call&, void** array, const DriverArray* desc) {
    if (array == nullptr || desc == nullptr) return invalid_value;
    const Lock lock(world());
    const Context* context = current_context(true);
    // 8, 16 and 32 bits: the low digit of a CUarray_format says which, floats are apart.
    constexpr int f32 = 0x20;
    const size_t element = desc->format == f32 ? 4 : size_t{1} << ((desc->format & 3) - 1);
    auto made = std::make_unique<Array>();
    made->pitch = (desc->width * element * desc->channels + 511) / 512 * 512;
    const int error = memory::allocate(made->pitch * desc->height, Memory::device, context->device,
                                       context->id, 0, &made->data);
    if (error == ok) *array = made.release();
    return error;
}
int cuArrayDestroy(Call&, void* array) {
    const std::unique_ptr<Array> mine(static_cast<Array*>(array));
    Lock lock(world());
    run_all(lock);
    return mine == nullptr ? static_cast<int>(invalid_value)
                           : memory::release(mine->data, Memory::device);
}

int cuMemsetD8_v2(Call& c, uint64_t dst, unsigned char value, size_t count) {
    return fill(c, place(pointer(dst)), value, {count}, nullptr, Wait::yes);
}
int cuMemsetD16_v2(Call& c, uint64_t dst, unsigned short value, size_t count) {
    return fill(c, place(pointer(dst)), value, {count}, nullptr, Wait::yes);
}
int cuMemsetD32_v2(Call& c, uint64_t dst, unsigned value, size_t count) {
    return fill(c, place(pointer(dst)), value, {count}, nullptr, Wait::yes);
}
int cuMemsetD8Async(Call& c, uint64_t dst, unsigned char value, size_t count, void* stream) {
    return fill(c, place(pointer(dst)), value, {count}, stream, Wait::no);
}
int cuMemsetD16Async(Call& c, uint64_t dst, unsigned short value, size_t count, void* stream) {
    return fill(c, place(pointer(dst)), value, {count}, stream, Wait::no);
}
int cuMemsetD32Async(Call& c, uint64_t dst, unsigned value, size_t count, void* stream) {
    return fill(c, place(pointer(dst)), value, {count}, stream, Wait::no);
}
int cuMemsetD2D8_v2(Call& c, uint64_t dst, size_t pitch, unsigned char value, size_t width,
                    size_t height) {
    return fill(c, place(pointer(dst), pitch), value, {width, height}, nullptr, Wait::yes);
}
int cuMemsetD2D8Async(Call& c, uint64_t dst, size_t pitch, unsigned char value, size_t width,
                      size_t height, void* stream) {
    return fill(c, place(pointer(dst), pitch), value, {width, height}, stream, Wait::no);
}
int cuMemsetD2D32_v2(Call& c, uint64_t dst, size_t pitch, unsigned value, size_t width,
                     size_t height) {
    return fill(c, place(pointer(dst), pitch), value, {width, height}, nullptr, Wait::yes);
}
int cuMemsetD2D32Async(Call& c, uint64_t dst, size_t pitch, unsigned value, size_t width,
                       size_t height, void* stream) {
    return fill(c, place(pointer(dst), pitch), value, {width, height}, stream, Wait::no);
}

int cudaMemcpy(Call& c, void* dst, const void* src, size_t bytes, int kind) {
    return copy(c, place(dst), place(src), {bytes}, kind, nullptr, Wait::yes);
}
int cudaMemcpyAsync(Call& c, void* dst, const void* src, size_t bytes, int kind, void* stream) {
    return copy(c, place(dst), place(src), {bytes}, kind, stream, Wait::no);
}
int cudaMemcpy2D(Call& c, void* dst, size_t dst_pitch, const void* src, size_t src_pitch,
                 size_t width, size_t height, int kind) {
    return copy(c, place(dst, dst_pitch), place(src, src_pitch), {width, height}, kind, nullptr,
                Wait::yes);
}
int cudaMemcpy2DAsync(Call& c, void* dst, size_t dst_pitch, const void* src, size_t src_pitch,
                      size_t width, size_t height, int kind, void* stream) {
    return copy(c, place(dst, dst_pitch), place(src, src_pitch), {width, height}, kind, stream,
                Wait::no);
}
int cudaMemcpy3D(Call& c, const RuntimeCopy3d* what) {
    return copy_3d(c, what, nullptr, Wait::yes);
}
int cudaMemcpy3DAsync(Call& c, const RuntimeCopy3d* what, void* stream) {
    return copy_3d(c, what, stream, Wait::no);
}
int cudaMemcpy3DPeer(Call& c, const RuntimePeerCopy3d* what) {
    return copy_3d_peer(c, what, nullptr);
}
int cudaMemcpy3DPeerAsync(Call& c, const RuntimePeerCopy3d* what, void* stream) {
    return copy_3d_peer(c, what, stream);
}
int cudaMemcpyBatchAsync(Call& c, void* const* dsts, const void* const* srcs, const size_t* sizes,
                         size_t count, void*, size_t*, size_t, void* stream) {
    return copy_batch(c, dsts, srcs, sizes, count, stream);
}
int cudaMemcpyPeer(Call& c, void* dst, int, const void* src, int, size_t bytes) {
    return copy(c, place(dst), place(src), {bytes}, 3, nullptr, Wait::no);
}
int cudaMemcpyPeerAsync(Call& c, void* dst, int, const void* src, int, size_t bytes, void* stream) {
    return copy(c, place(dst), place(src), {bytes}, 3, stream, Wait::no);
}
int cudaMemset(Call& c, void* dst, int value, size_t bytes) {
    return fill(c, place(dst), static_cast<unsigned char>(value), {bytes}, nullptr, Wait::yes);
}
int cudaMemsetAsync(Call& c, void* dst, int value, size_t bytes, void* stream) {
    return fill(c, place(dst), static_cast<unsigned char>(value), {bytes}, stream, Wait::no);
}
int cudaMemset2D(Call& c, void* dst, size_t pitch, int value, size_t width, size_t height) {
    return fill(c, place(dst, pitch), static_cast<unsigned char>(value), {width, height}, nullptr,
                Wait::yes);
}
int cudaMemset2DAsync(Call& c, void* dst, size_t pitch, int value, size_t width, size_t height,
                      void* stream) {
    return fill(c, place(dst, pitch), static_cast<unsigned char>(value), {width, height}, stream,
                Wait::no);
}
int cudaMemset3D(Call& c, RuntimePitched dst, int value, RuntimeExtent extent) {
    return fill_3d(c, dst, value, extent, nullptr, Wait::yes);
}
int cudaMemset3DAsync(Call& c, RuntimePitched dst, int value, RuntimeExtent extent, void* stream) {
    return fill_3d(c, dst, value, extent, stream, Wait::no);
}

}  // namespace api
}  // namespace fake
