// A copy as data: what moves from where to where, whichever of CUDA's functions was called. What
// leaves a GPU is recorded; what comes to it, or stays on it, is not.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "preload/cuda/cublas_probe.hpp"
#include "preload/cuda/driver.hpp"

namespace orch::cuda {

/// cudaMemcpyKind, and one more.
enum class CopyKind : int {
    host_to_host,
    host_to_device,
    device_to_host,
    device_to_device,
    by_address,  ///< the addresses say what kind of copy it is
    peer,        ///< no kind of CUDA's: the function's name says it
};

inline bool is_from_host(int kind) noexcept {
    return kind == static_cast<int>(CopyKind::host_to_host) ||
           kind == static_cast<int>(CopyKind::host_to_device);
}

/// Rows of bytes, slices of rows. The address is that of the first byte that is copied.
struct CopyEnd {
    std::uint64_t address = 0;
    std::size_t row_pitch = 0;
    std::size_t slice_pitch = 0;
    bool is_array = false;  ///< a CUDA array: it has no address, and a layout of its own
};

struct Copy {
    CopyKind kind = CopyKind::by_address;
    CopyEnd source;
    CopyEnd target;
    std::size_t width = 0;  ///< bytes
    std::size_t height = 1;
    std::size_t depth = 1;

    std::size_t bytes() const { return width * height * depth; }
};

inline CopyEnd end_at(std::uint64_t address, std::size_t row_pitch = 0) noexcept {
    return {address, row_pitch, 0, false};
}
inline CopyEnd end_at(const void* address, std::size_t row_pitch = 0) noexcept {
    return end_at(reinterpret_cast<std::uintptr_t>(address), row_pitch);
}

/// After a copy that was accepted: digests what it moved, on its stream.
void record(const Hook& hook, std::string_view op, Stream stream, const Copy& copy) noexcept;

/// Of copies of a batch, each with a place of its own on the device: those that leave a GPU are
/// counted.
void count_batch(std::string_view op, const std::uint64_t* targets, const std::uint64_t* sources,
                 const std::size_t* sizes, std::size_t count) noexcept;

/// A function is called that may copy anything, and is not looked into.
void count_unknown(std::string_view op) noexcept;

/// True if a copy on the device need not be looked at: there is no other device.
bool stays_on_device(int kind) noexcept;

/// `describe` makes a Copy of the arguments. It is asked when the driver has accepted them.
template <class Describe, class Real, class... Arguments>
int observe_copy(const Hook& hook, std::string_view op, Stream stream, Describe describe, Real real,
                 Arguments... arguments) noexcept {
    const int error = cublas::call_real(real, arguments...);
    if (error == success) record(hook, op, stream, describe());
    return error;
}

/// Addresses are of the type that the function has them in; a place is a device, or a context.
template <class Real, class Target, class Source, class Place, class... Rest>
int observe_peer_copy(const Hook& hook, std::string_view op, Stream stream, Real real, Target dst,
                      Place dst_place, Source src, Place src_place, std::size_t count,
                      Rest... rest) noexcept {
    const auto describe = [=] { return Copy{CopyKind::peer, end_at(src), end_at(dst), count}; };
    return observe_copy(hook, op, stream, describe, real, dst, dst_place, src, src_place, count,
                        rest...);
}

/// CUDA 12 has one argument more than CUDA 13, before the stream, under the same name. Both are
/// passed on, so what is the stream is not known here.
template <class Real, class... Rest>
int observe_batch(std::string_view op, Real real, const std::uint64_t* dsts,
                  const std::uint64_t* srcs, const std::size_t* sizes, std::size_t count,
                  Rest... rest) noexcept {
    const int error = cublas::call_real(real, dsts, srcs, sizes, count, rest...);
    if (error == success) count_batch(op, dsts, srcs, sizes, count);
    return error;
}

template <class Real, class... Arguments>
int observe_unknown(std::string_view op, Real real, Arguments... arguments) noexcept {
    const int error = cublas::call_real(real, arguments...);
    if (error == success) count_unknown(op);
    return error;
}

}  // namespace orch::cuda
