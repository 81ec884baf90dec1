// The driver's copies, as preload/cuda/copy_probe.cpp has the runtime's.
#include "generated/hook_table.hpp"
#include "preload/cuda/copies.hpp"

namespace orch {
namespace {

using cuda::Copy;
using cuda::CopyEnd;
using cuda::CopyKind;
using cuda::end_at;
using cuda::observe_batch;
using cuda::observe_copy;
using cuda::observe_peer_copy;
using cuda::observe_unknown;
using cuda::per_thread;
using cuda::per_thread_stream;

/// CUmemorytype.
enum class Place : int { host = 1, device = 2, array = 3, unified = 4 };

/// CUDA_MEMCPY2D_v2.
struct Rectangle {
    std::size_t source_x, source_y;
    Place source_place;
    const void* source_host;
    std::uint64_t source_device;
    const void* source_array;
    std::size_t source_pitch;
    std::size_t target_x, target_y;
    Place target_place;
    const void* target_host;
    std::uint64_t target_device;
    const void* target_array;
    std::size_t target_pitch;
    std::size_t width, height;
};

/// CUDA_MEMCPY3D_v2, and CUDA_MEMCPY3D_PEER, which has a context where the other has room.
struct Box {
    std::size_t source_x, source_y, source_z, source_lod;
    Place source_place;
    const void* source_host;
    std::uint64_t source_device;
    const void* source_array;
    const void* source_context;
    std::size_t source_pitch, source_height;
    std::size_t target_x, target_y, target_z, target_lod;
    Place target_place;
    const void* target_host;
    std::uint64_t target_device;
    const void* target_array;
    const void* target_context;
    std::size_t target_pitch, target_height;
    std::size_t width, height, depth;
};

static_assert(sizeof(Rectangle) == 128 && sizeof(Box) == 200);

CopyEnd start(Place place, const void* host, std::uint64_t device, std::size_t pitch) noexcept {
    CopyEnd end = place == Place::host ? end_at(host, pitch) : end_at(device, pitch);
    end.is_array = place == Place::array;
    return end;
}

CopyKind kind_of(Place source, Place target) noexcept {
    if (source == Place::unified || target == Place::unified) return CopyKind::by_address;
    if (source == Place::host)
        return target == Place::host ? CopyKind::host_to_host : CopyKind::host_to_device;
    return target == Place::host ? CopyKind::device_to_host : CopyKind::device_to_device;
}

Copy rectangle(const Rectangle& r) noexcept {
    Copy copy{kind_of(r.source_place, r.target_place),
              start(r.source_place, r.source_host, r.source_device, r.source_pitch),
              start(r.target_place, r.target_host, r.target_device, r.target_pitch), r.width,
              r.height};
    copy.source.address += r.source_y * r.source_pitch + r.source_x;
    copy.target.address += r.target_y * r.target_pitch + r.target_x;
    return copy;
}

Copy box(const Box& b) noexcept {
    Copy copy{kind_of(b.source_place, b.target_place),
              start(b.source_place, b.source_host, b.source_device, b.source_pitch),
              start(b.target_place, b.target_host, b.target_device, b.target_pitch),
              b.width,
              b.height,
              b.depth};
    copy.source.slice_pitch = b.source_pitch * b.source_height;
    copy.target.slice_pitch = b.target_pitch * b.target_height;
    copy.source.address +=
        b.source_z * copy.source.slice_pitch + b.source_y * b.source_pitch + b.source_x;
    copy.target.address +=
        b.target_z * copy.target.slice_pitch + b.target_y * b.target_pitch + b.target_x;
    return copy;
}

template <class Real, class... Rest>
int copy_by_address(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
                    std::uint64_t dst, std::uint64_t src, std::size_t count,
                    Rest... rest) noexcept {
    const auto describe = [=] {
        return Copy{CopyKind::by_address, end_at(src), end_at(dst), count};
    };
    return observe_copy(hook, op, stream, describe, real, dst, src, count, rest...);
}

template <class Real, class... Rest>
int copy_to_host(const Hook& hook, std::string_view op, cuda::Stream stream, Real real, void* dst,
                 std::uint64_t src, std::size_t count, Rest... rest) noexcept {
    const auto describe = [=] {
        return Copy{CopyKind::device_to_host, end_at(src), end_at(dst), count};
    };
    return observe_copy(hook, op, stream, describe, real, dst, src, count, rest...);
}

template <class Real, class... Rest>
int copy_on_device(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
                   std::uint64_t dst, std::uint64_t src, std::size_t count, Rest... rest) noexcept {
    if (cuda::stays_on_device(static_cast<int>(CopyKind::device_to_device)))
        return real(dst, src, count, rest...);
    const auto describe = [=] {
        return Copy{CopyKind::device_to_device, end_at(src), end_at(dst), count};
    };
    return observe_copy(hook, op, stream, describe, real, dst, src, count, rest...);
}

template <class Real, class... Rest>
int copy_2d(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
            const void* parameters, Rest... rest) noexcept {
    const auto describe = [=] { return rectangle(*static_cast<const Rectangle*>(parameters)); };
    return observe_copy(hook, op, stream, describe, real, parameters, rest...);
}

template <class Real, class... Rest>
int copy_3d(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
            const void* parameters, Rest... rest) noexcept {
    const auto describe = [=] { return box(*static_cast<const Box*>(parameters)); };
    return observe_copy(hook, op, stream, describe, real, parameters, rest...);
}

template <class Real, class... Rest>
int copy_3d_peer(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
                 const void* parameters, Rest... rest) noexcept {
    const auto describe = [=] {
        Copy copy = box(*static_cast<const Box*>(parameters));
        if (copy.kind == CopyKind::device_to_device) copy.kind = CopyKind::peer;
        return copy;
    };
    return observe_copy(hook, op, stream, describe, real, parameters, rest...);
}

}  // namespace

namespace probe {

int cuMemcpy(const Hook& hook, cuMemcpy_fn real, std::uint64_t dst, std::uint64_t src,
             std::size_t count) {
    return copy_by_address(hook, "cuMemcpy", nullptr, real, dst, src, count);
}

int cuMemcpy_ptds(const Hook& hook, cuMemcpy_ptds_fn real, std::uint64_t dst, std::uint64_t src,
                  std::size_t count) {
    return copy_by_address(hook, "cuMemcpy_ptds", per_thread_stream(), real, dst, src, count);
}

int cuMemcpyAsync(const Hook& hook, cuMemcpyAsync_fn real, std::uint64_t dst, std::uint64_t src,
                  std::size_t count, void* stream) {
    return copy_by_address(hook, "cuMemcpyAsync", stream, real, dst, src, count, stream);
}

int cuMemcpyAsync_ptsz(const Hook& hook, cuMemcpyAsync_ptsz_fn real, std::uint64_t dst,
                       std::uint64_t src, std::size_t count, void* stream) {
    return copy_by_address(hook, "cuMemcpyAsync_ptsz", per_thread(stream), real, dst, src, count,
                           stream);
}

int cuMemcpyDtoH_v2(const Hook& hook, cuMemcpyDtoH_v2_fn real, void* dst, std::uint64_t src,
                    std::size_t count) {
    return copy_to_host(hook, "cuMemcpyDtoH_v2", nullptr, real, dst, src, count);
}

int cuMemcpyDtoH_v2_ptds(const Hook& hook, cuMemcpyDtoH_v2_ptds_fn real, void* dst,
                         std::uint64_t src, std::size_t count) {
    return copy_to_host(hook, "cuMemcpyDtoH_v2_ptds", per_thread_stream(), real, dst, src, count);
}

int cuMemcpyDtoHAsync_v2(const Hook& hook, cuMemcpyDtoHAsync_v2_fn real, void* dst,
                         std::uint64_t src, std::size_t count, void* stream) {
    return copy_to_host(hook, "cuMemcpyDtoHAsync_v2", stream, real, dst, src, count, stream);
}

int cuMemcpyDtoHAsync_v2_ptsz(const Hook& hook, cuMemcpyDtoHAsync_v2_ptsz_fn real, void* dst,
                              std::uint64_t src, std::size_t count, void* stream) {
    return copy_to_host(hook, "cuMemcpyDtoHAsync_v2_ptsz", per_thread(stream), real, dst, src,
                        count, stream);
}

int cuMemcpyDtoD_v2(const Hook& hook, cuMemcpyDtoD_v2_fn real, std::uint64_t dst, std::uint64_t src,
                    std::size_t count) {
    return copy_on_device(hook, "cuMemcpyDtoD_v2", nullptr, real, dst, src, count);
}

int cuMemcpyDtoD_v2_ptds(const Hook& hook, cuMemcpyDtoD_v2_ptds_fn real, std::uint64_t dst,
                         std::uint64_t src, std::size_t count) {
    return copy_on_device(hook, "cuMemcpyDtoD_v2_ptds", per_thread_stream(), real, dst, src, count);
}

int cuMemcpyDtoDAsync_v2(const Hook& hook, cuMemcpyDtoDAsync_v2_fn real, std::uint64_t dst,
                         std::uint64_t src, std::size_t count, void* stream) {
    return copy_on_device(hook, "cuMemcpyDtoDAsync_v2", stream, real, dst, src, count, stream);
}

int cuMemcpyDtoDAsync_v2_ptsz(const Hook& hook, cuMemcpyDtoDAsync_v2_ptsz_fn real,
                              std::uint64_t dst, std::uint64_t src, std::size_t count,
                              void* stream) {
    return copy_on_device(hook, "cuMemcpyDtoDAsync_v2_ptsz", per_thread(stream), real, dst, src,
                          count, stream);
}

int cuMemcpyPeer(const Hook& hook, cuMemcpyPeer_fn real, std::uint64_t dst, void* dst_context,
                 std::uint64_t src, void* src_context, std::size_t count) {
    return observe_peer_copy(hook, "cuMemcpyPeer", nullptr, real, dst, dst_context, src,
                             src_context, count);
}

int cuMemcpyPeer_ptds(const Hook& hook, cuMemcpyPeer_ptds_fn real, std::uint64_t dst,
                      void* dst_context, std::uint64_t src, void* src_context, std::size_t count) {
    return observe_peer_copy(hook, "cuMemcpyPeer_ptds", per_thread_stream(), real, dst, dst_context,
                             src, src_context, count);
}

int cuMemcpyPeerAsync(const Hook& hook, cuMemcpyPeerAsync_fn real, std::uint64_t dst,
                      void* dst_context, std::uint64_t src, void* src_context, std::size_t count,
                      void* stream) {
    return observe_peer_copy(hook, "cuMemcpyPeerAsync", stream, real, dst, dst_context, src,
                             src_context, count, stream);
}

int cuMemcpyPeerAsync_ptsz(const Hook& hook, cuMemcpyPeerAsync_ptsz_fn real, std::uint64_t dst,
                           void* dst_context, std::uint64_t src, void* src_context,
                           std::size_t count, void* stream) {
    return observe_peer_copy(hook, "cuMemcpyPeerAsync_ptsz", per_thread(stream), real, dst,
                             dst_context, src, src_context, count, stream);
}

int cuMemcpy2D_v2(const Hook& hook, cuMemcpy2D_v2_fn real, const void* parameters) {
    return copy_2d(hook, "cuMemcpy2D_v2", nullptr, real, parameters);
}

int cuMemcpy2D_v2_ptds(const Hook& hook, cuMemcpy2D_v2_ptds_fn real, const void* parameters) {
    return copy_2d(hook, "cuMemcpy2D_v2_ptds", per_thread_stream(), real, parameters);
}

int cuMemcpy2DAsync_v2(const Hook& hook, cuMemcpy2DAsync_v2_fn real, const void* parameters,
                       void* stream) {
    return copy_2d(hook, "cuMemcpy2DAsync_v2", stream, real, parameters, stream);
}

int cuMemcpy2DAsync_v2_ptsz(const Hook& hook, cuMemcpy2DAsync_v2_ptsz_fn real,
                            const void* parameters, void* stream) {
    return copy_2d(hook, "cuMemcpy2DAsync_v2_ptsz", per_thread(stream), real, parameters, stream);
}

int cuMemcpy2DUnaligned_v2(const Hook& hook, cuMemcpy2DUnaligned_v2_fn real,
                           const void* parameters) {
    return copy_2d(hook, "cuMemcpy2DUnaligned_v2", nullptr, real, parameters);
}

int cuMemcpy2DUnaligned_v2_ptds(const Hook& hook, cuMemcpy2DUnaligned_v2_ptds_fn real,
                                const void* parameters) {
    return copy_2d(hook, "cuMemcpy2DUnaligned_v2_ptds", per_thread_stream(), real, parameters);
}

int cuMemcpy3D_v2(const Hook& hook, cuMemcpy3D_v2_fn real, const void* parameters) {
    return copy_3d(hook, "cuMemcpy3D_v2", nullptr, real, parameters);
}

int cuMemcpy3D_v2_ptds(const Hook& hook, cuMemcpy3D_v2_ptds_fn real, const void* parameters) {
    return copy_3d(hook, "cuMemcpy3D_v2_ptds", per_thread_stream(), real, parameters);
}

int cuMemcpy3DAsync_v2(const Hook& hook, cuMemcpy3DAsync_v2_fn real, const void* parameters,
                       void* stream) {
    return copy_3d(hook, "cuMemcpy3DAsync_v2", stream, real, parameters, stream);
}

int cuMemcpy3DAsync_v2_ptsz(const Hook& hook, cuMemcpy3DAsync_v2_ptsz_fn real,
                            const void* parameters, void* stream) {
    return copy_3d(hook, "cuMemcpy3DAsync_v2_ptsz", per_thread(stream), real, parameters, stream);
}

int cuMemcpy3DPeer(const Hook& hook, cuMemcpy3DPeer_fn real, const void* parameters) {
    return copy_3d_peer(hook, "cuMemcpy3DPeer", nullptr, real, parameters);
}

int cuMemcpy3DPeer_ptds(const Hook& hook, cuMemcpy3DPeer_ptds_fn real, const void* parameters) {
    return copy_3d_peer(hook, "cuMemcpy3DPeer_ptds", per_thread_stream(), real, parameters);
}

int cuMemcpy3DPeerAsync(const Hook& hook, cuMemcpy3DPeerAsync_fn real, const void* parameters,
                        void* stream) {
    return copy_3d_peer(hook, "cuMemcpy3DPeerAsync", stream, real, parameters, stream);
}

int cuMemcpy3DPeerAsync_ptsz(const Hook& hook, cuMemcpy3DPeerAsync_ptsz_fn real,
                             const void* parameters, void* stream) {
    return copy_3d_peer(hook, "cuMemcpy3DPeerAsync_ptsz", per_thread(stream), real, parameters,
                        stream);
}

int cuMemcpyBatchAsync(const Hook&, cuMemcpyBatchAsync_fn real, const std::uint64_t* dsts,
                       const std::uint64_t* srcs, const std::size_t* sizes, std::size_t count,
                       void* attributes, void* indices, std::size_t attribute_count,
                       std::size_t* failed, void* stream) {
    return observe_batch("cuMemcpyBatchAsync", real, dsts, srcs, sizes, count, attributes, indices,
                         attribute_count, failed, stream);
}

int cuMemcpyBatchAsync_ptsz(const Hook&, cuMemcpyBatchAsync_ptsz_fn real, const std::uint64_t* dsts,
                            const std::uint64_t* srcs, const std::size_t* sizes, std::size_t count,
                            void* attributes, void* indices, std::size_t attribute_count,
                            std::size_t* failed, void* stream) {
    return observe_batch("cuMemcpyBatchAsync_ptsz", real, dsts, srcs, sizes, count, attributes,
                         indices, attribute_count, failed, stream);
}

int cuMemcpyBatchAsync_v2(const Hook&, cuMemcpyBatchAsync_v2_fn real, const std::uint64_t* dsts,
                          const std::uint64_t* srcs, const std::size_t* sizes, std::size_t count,
                          void* attributes, void* indices, std::size_t attribute_count,
                          void* stream) {
    return observe_batch("cuMemcpyBatchAsync_v2", real, dsts, srcs, sizes, count, attributes,
                         indices, attribute_count, stream);
}

int cuMemcpyBatchAsync_v2_ptsz(const Hook&, cuMemcpyBatchAsync_v2_ptsz_fn real,
                               const std::uint64_t* dsts, const std::uint64_t* srcs,
                               const std::size_t* sizes, std::size_t count, void* attributes,
                               void* indices, std::size_t attribute_count, void* stream) {
    return observe_batch("cuMemcpyBatchAsync_v2_ptsz", real, dsts, srcs, sizes, count, attributes,
                         indices, attribute_count, stream);
}

int cuMemcpy3DBatchAsync(const Hook&, cuMemcpy3DBatchAsync_fn real, std::size_t count, void* boxes,
                         std::size_t* failed, unsigned long long flags, void* stream) {
    return observe_unknown("cuMemcpy3DBatchAsync", real, count, boxes, failed, flags, stream);
}

int cuMemcpy3DBatchAsync_ptsz(const Hook&, cuMemcpy3DBatchAsync_ptsz_fn real, std::size_t count,
                              void* boxes, std::size_t* failed, unsigned long long flags,
                              void* stream) {
    return observe_unknown("cuMemcpy3DBatchAsync_ptsz", real, count, boxes, failed, flags, stream);
}

int cuMemcpy3DBatchAsync_v2(const Hook&, cuMemcpy3DBatchAsync_v2_fn real, std::size_t count,
                            void* boxes, unsigned long long flags, void* stream) {
    return observe_unknown("cuMemcpy3DBatchAsync_v2", real, count, boxes, flags, stream);
}

int cuMemcpy3DBatchAsync_v2_ptsz(const Hook&, cuMemcpy3DBatchAsync_v2_ptsz_fn real,
                                 std::size_t count, void* boxes, unsigned long long flags,
                                 void* stream) {
    return observe_unknown("cuMemcpy3DBatchAsync_v2_ptsz", real, count, boxes, flags, stream);
}

}  // namespace probe
}  // namespace orch
