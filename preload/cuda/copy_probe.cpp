// The runtime's copies: how logits leave a GPU, and activations go from one to another. What is
// copied is digested where it lies, on the copy's own stream, behind the copy: the host's end may
// be filled long after the call returns.
//
// What comes from the host goes to the real function before anything else is looked at. What that
// calls itself in the driver is, of the functions that are hooked, one that finds no record either.
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

/// Where in an array or in memory a copy begins: cudaPos.
struct Position {
    std::size_t x, y, z;
};

/// cudaPitchedPtr.
struct Pitched {
    const void* data;
    std::size_t pitch, width, height;
};

/// cudaExtent.
struct Extent {
    std::size_t width, height, depth;
};

/// cudaMemcpy3DParms.
struct Box {
    const void* source_array;
    Position source_at;
    Pitched source;
    const void* target_array;
    Position target_at;
    Pitched target;
    Extent extent;
    int kind;
};

/// cudaMemcpy3DPeerParms.
struct PeerBox {
    const void* source_array;
    Position source_at;
    Pitched source;
    int source_device;
    const void* target_array;
    Position target_at;
    Pitched target;
    int target_device;
    Extent extent;
};

static_assert(sizeof(Box) == 160 && sizeof(PeerBox) == 168);

CopyEnd corner(const void* array, const Position& at, const Pitched& memory) noexcept {
    const std::size_t slice = memory.pitch * memory.height;
    CopyEnd end = end_at(memory.data, memory.pitch);
    end.slice_pitch = slice;
    end.address += at.z * slice + at.y * memory.pitch + at.x;
    end.is_array = array != nullptr;
    return end;
}

template <class B>
Copy box(const B& b, CopyKind kind) noexcept {
    return {kind,
            corner(b.source_array, b.source_at, b.source),
            corner(b.target_array, b.target_at, b.target),
            b.extent.width,
            b.extent.height,
            b.extent.depth};
}

template <class Real, class... Rest>
int copy_1d(const Hook& hook, std::string_view op, cuda::Stream stream, Real real, void* dst,
            const void* src, std::size_t count, int kind, Rest... rest) noexcept {
    if (cuda::is_from_host(kind) || cuda::stays_on_device(kind))
        return real(dst, src, count, kind, rest...);
    const auto describe = [=] {
        return Copy{static_cast<CopyKind>(kind), end_at(src), end_at(dst), count};
    };
    return observe_copy(hook, op, stream, describe, real, dst, src, count, kind, rest...);
}

template <class Real, class... Rest>
int copy_2d(const Hook& hook, std::string_view op, cuda::Stream stream, Real real, void* dst,
            std::size_t dpitch, const void* src, std::size_t spitch, std::size_t width,
            std::size_t height, int kind, Rest... rest) noexcept {
    if (cuda::is_from_host(kind) || cuda::stays_on_device(kind))
        return real(dst, dpitch, src, spitch, width, height, kind, rest...);
    const auto describe = [=] {
        return Copy{static_cast<CopyKind>(kind), end_at(src, spitch), end_at(dst, dpitch), width,
                    height};
    };
    return observe_copy(hook, op, stream, describe, real, dst, dpitch, src, spitch, width, height,
                        kind, rest...);
}

template <class Real, class... Rest>
int copy_3d(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
            const void* parameters, Rest... rest) noexcept {
    const auto describe = [=] {
        const auto& b = *static_cast<const Box*>(parameters);
        return box(b, static_cast<CopyKind>(b.kind));
    };
    return observe_copy(hook, op, stream, describe, real, parameters, rest...);
}

template <class Real, class... Rest>
int copy_3d_peer(const Hook& hook, std::string_view op, cuda::Stream stream, Real real,
                 const void* parameters, Rest... rest) noexcept {
    const auto describe = [=] {
        return box(*static_cast<const PeerBox*>(parameters), CopyKind::peer);
    };
    return observe_copy(hook, op, stream, describe, real, parameters, rest...);
}

}  // namespace

namespace probe {

int cudaMemcpy(const Hook& hook, cudaMemcpy_fn real, void* dst, const void* src, std::size_t count,
               int kind) {
    return copy_1d(hook, "cudaMemcpy", nullptr, real, dst, src, count, kind);
}

int cudaMemcpy_ptds(const Hook& hook, cudaMemcpy_ptds_fn real, void* dst, const void* src,
                    std::size_t count, int kind) {
    return copy_1d(hook, "cudaMemcpy_ptds", per_thread_stream(), real, dst, src, count, kind);
}

int cudaMemcpyAsync(const Hook& hook, cudaMemcpyAsync_fn real, void* dst, const void* src,
                    std::size_t count, int kind, void* stream) {
    return copy_1d(hook, "cudaMemcpyAsync", stream, real, dst, src, count, kind, stream);
}

int cudaMemcpyAsync_ptsz(const Hook& hook, cudaMemcpyAsync_ptsz_fn real, void* dst, const void* src,
                         std::size_t count, int kind, void* stream) {
    return copy_1d(hook, "cudaMemcpyAsync_ptsz", per_thread(stream), real, dst, src, count, kind,
                   stream);
}

int cudaMemcpy2D(const Hook& hook, cudaMemcpy2D_fn real, void* dst, std::size_t dpitch,
                 const void* src, std::size_t spitch, std::size_t width, std::size_t height,
                 int kind) {
    return copy_2d(hook, "cudaMemcpy2D", nullptr, real, dst, dpitch, src, spitch, width, height,
                   kind);
}

int cudaMemcpy2D_ptds(const Hook& hook, cudaMemcpy2D_ptds_fn real, void* dst, std::size_t dpitch,
                      const void* src, std::size_t spitch, std::size_t width, std::size_t height,
                      int kind) {
    return copy_2d(hook, "cudaMemcpy2D_ptds", per_thread_stream(), real, dst, dpitch, src, spitch,
                   width, height, kind);
}

int cudaMemcpy2DAsync(const Hook& hook, cudaMemcpy2DAsync_fn real, void* dst, std::size_t dpitch,
                      const void* src, std::size_t spitch, std::size_t width, std::size_t height,
                      int kind, void* stream) {
    return copy_2d(hook, "cudaMemcpy2DAsync", stream, real, dst, dpitch, src, spitch, width, height,
                   kind, stream);
}

int cudaMemcpy2DAsync_ptsz(const Hook& hook, cudaMemcpy2DAsync_ptsz_fn real, void* dst,
                           std::size_t dpitch, const void* src, std::size_t spitch,
                           std::size_t width, std::size_t height, int kind, void* stream) {
    return copy_2d(hook, "cudaMemcpy2DAsync_ptsz", per_thread(stream), real, dst, dpitch, src,
                   spitch, width, height, kind, stream);
}

int cudaMemcpy3D(const Hook& hook, cudaMemcpy3D_fn real, const void* parameters) {
    return copy_3d(hook, "cudaMemcpy3D", nullptr, real, parameters);
}

int cudaMemcpy3D_ptds(const Hook& hook, cudaMemcpy3D_ptds_fn real, const void* parameters) {
    return copy_3d(hook, "cudaMemcpy3D_ptds", per_thread_stream(), real, parameters);
}

int cudaMemcpy3DAsync(const Hook& hook, cudaMemcpy3DAsync_fn real, const void* parameters,
                      void* stream) {
    return copy_3d(hook, "cudaMemcpy3DAsync", stream, real, parameters, stream);
}

int cudaMemcpy3DAsync_ptsz(const Hook& hook, cudaMemcpy3DAsync_ptsz_fn real, const void* parameters,
                           void* stream) {
    return copy_3d(hook, "cudaMemcpy3DAsync_ptsz", per_thread(stream), real, parameters, stream);
}

int cudaMemcpyPeer(const Hook& hook, cudaMemcpyPeer_fn real, void* dst, int dst_device,
                   const void* src, int src_device, std::size_t count) {
    return observe_peer_copy(hook, "cudaMemcpyPeer", nullptr, real, dst, dst_device, src,
                             src_device, count);
}

int cudaMemcpyPeerAsync(const Hook& hook, cudaMemcpyPeerAsync_fn real, void* dst, int dst_device,
                        const void* src, int src_device, std::size_t count, void* stream) {
    return observe_peer_copy(hook, "cudaMemcpyPeerAsync", stream, real, dst, dst_device, src,
                             src_device, count, stream);
}

int cudaMemcpy3DPeer(const Hook& hook, cudaMemcpy3DPeer_fn real, const void* parameters) {
    return copy_3d_peer(hook, "cudaMemcpy3DPeer", nullptr, real, parameters);
}

int cudaMemcpy3DPeer_ptds(const Hook& hook, cudaMemcpy3DPeer_ptds_fn real, const void* parameters) {
    return copy_3d_peer(hook, "cudaMemcpy3DPeer_ptds", per_thread_stream(), real, parameters);
}

int cudaMemcpy3DPeerAsync(const Hook& hook, cudaMemcpy3DPeerAsync_fn real, const void* parameters,
                          void* stream) {
    return copy_3d_peer(hook, "cudaMemcpy3DPeerAsync", stream, real, parameters, stream);
}

int cudaMemcpy3DPeerAsync_ptsz(const Hook& hook, cudaMemcpy3DPeerAsync_ptsz_fn real,
                               const void* parameters, void* stream) {
    return copy_3d_peer(hook, "cudaMemcpy3DPeerAsync_ptsz", per_thread(stream), real, parameters,
                        stream);
}

int cudaMemcpyBatchAsync(const Hook&, cudaMemcpyBatchAsync_fn real, const std::uint64_t* dsts,
                         const std::uint64_t* srcs, const std::size_t* sizes, std::size_t count,
                         void* attributes, void* indices, std::size_t attribute_count, void* eighth,
                         void* ninth) {
    return observe_batch("cudaMemcpyBatchAsync", real, dsts, srcs, sizes, count, attributes,
                         indices, attribute_count, eighth, ninth);
}

int cudaMemcpyBatchAsync_ptsz(const Hook&, cudaMemcpyBatchAsync_ptsz_fn real,
                              const std::uint64_t* dsts, const std::uint64_t* srcs,
                              const std::size_t* sizes, std::size_t count, void* attributes,
                              void* indices, std::size_t attribute_count, void* eighth,
                              void* ninth) {
    return observe_batch("cudaMemcpyBatchAsync_ptsz", real, dsts, srcs, sizes, count, attributes,
                         indices, attribute_count, eighth, ninth);
}

int cudaMemcpy3DBatchAsync(const Hook&, cudaMemcpy3DBatchAsync_fn real, std::size_t count,
                           void* boxes, std::uint64_t third, std::uint64_t fourth, void* fifth) {
    return observe_unknown("cudaMemcpy3DBatchAsync", real, count, boxes, third, fourth, fifth);
}

int cudaMemcpy3DBatchAsync_ptsz(const Hook&, cudaMemcpy3DBatchAsync_ptsz_fn real, std::size_t count,
                                void* boxes, std::uint64_t third, std::uint64_t fourth,
                                void* fifth) {
    return observe_unknown("cudaMemcpy3DBatchAsync_ptsz", real, count, boxes, third, fourth, fifth);
}

}  // namespace probe
}  // namespace orch
