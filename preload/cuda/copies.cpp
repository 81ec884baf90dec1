#include "preload/cuda/copies.hpp"

#include "preload/cuda/capture.hpp"
#include "preload/cuda/pointers.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

enum class Direction { not_recorded, to_host, between_devices };

struct Route {
    Direction direction = Direction::not_recorded;
    int from = unknown_device;
    int to = unknown_device;
};

/// A copy within a device is no record: engines make them by the thousand, and what is copied was
/// recorded where it was computed.
Route between(const Driver& driver, const Copy& copy) noexcept {
    if (!several_devices(driver)) return {};
    const int from = device_of_memory(driver, copy.source.address);
    const int to = device_of_memory(driver, copy.target.address);
    if (from == to && from != unknown_device) return {};
    return {Direction::between_devices, from, to};
}

Route to_host(const Driver& driver, const Copy& copy) noexcept {
    if (copy.source.is_array) return {Direction::to_host};
    // The kind may say more than is true: then the source is the host's.
    if (!is_device_memory(driver, copy.source.address)) return {};
    const int from =
        several_devices(driver) ? device_of_memory(driver, copy.source.address) : the_only_device;
    return {Direction::to_host, from};
}

Route route_of(const Driver& driver, const Copy& copy) noexcept {
    const bool arrays = copy.source.is_array || copy.target.is_array;
    switch (copy.kind) {
        case CopyKind::device_to_host:
            return to_host(driver, copy);
        case CopyKind::device_to_device:
            return arrays ? Route{} : between(driver, copy);
        case CopyKind::peer:
            return arrays ? Route{Direction::between_devices} : between(driver, copy);
        case CopyKind::by_address:
            if (copy.target.is_array) return {};
            if (!is_device_memory(driver, copy.target.address)) return to_host(driver, copy);
            if (arrays || !several_devices(driver)) return {};
            return is_device_memory(driver, copy.source.address) ? between(driver, copy) : Route{};
        case CopyKind::host_to_host:
        case CopyKind::host_to_device:
            break;
    }
    return {};
}

constexpr std::size_t float_size = sizeof(float);

bool holds_floats(const Copy& copy, const CopyEnd& end) noexcept {
    return copy.width % float_size == 0 && end.address % float_size == 0 &&
           (copy.height == 1 || end.row_pitch % float_size == 0) &&
           (copy.depth == 1 || end.slice_pitch % float_size == 0);
}

/// Null where rows do not follow each other at one distance.
device::Operand rows_of(const Copy& copy, const CopyEnd& end) noexcept {
    std::size_t rows = copy.height * copy.depth;
    std::size_t pitch = end.row_pitch;
    if (rows == 1) {
        pitch = copy.width;
    } else if (copy.height == 1) {
        pitch = end.slice_pitch;
    } else if (copy.depth != 1 && end.slice_pitch != end.row_pitch * copy.height) {
        return {};
    }
    return {end.address,
            static_cast<std::int64_t>(rows),
            static_cast<std::int64_t>(copy.width / float_size),
            static_cast<std::int64_t>(pitch / float_size),
            1,
            device::Type::f32,
            false};
}

}  // namespace

bool stays_on_device(int kind) noexcept {
    if (kind != static_cast<int>(CopyKind::device_to_device)) return false;
    const Driver* known = driver();
    return known != nullptr && !several_devices(*known);
}

void record(const Hook& hook, std::string_view op, Stream stream, const Copy& copy) noexcept {
    const Driver* known = driver();
    if (copy.bytes() == 0 || known == nullptr) return;
    // Before the driver is asked anything: what nobody wants must cost little.
    if (copy.kind == CopyKind::device_to_host && is_unselected_copy(op)) return;
    const Route route = route_of(*known, copy);
    if (route.direction == Direction::not_recorded) return;
    // Token ids and flags: nothing that a sketch says more of than the call does.
    constexpr std::size_t smallest = 64;
    SeenCopy seen;
    seen.between_devices = route.direction == Direction::between_devices;
    seen.bytes = copy.bytes();
    seen.from = route.from;
    seen.to = route.to;
    // With an array at one end the width is in elements, whose size the call does not say.
    if (copy.source.is_array || copy.target.is_array) {
        seen.wanted = true;
    } else {
        seen.wanted = copy.bytes() >= smallest && holds_floats(copy, copy.source) &&
                      (!seen.between_devices || holds_floats(copy, copy.target));
        seen.source = rows_of(copy, copy.source);
        if (seen.between_devices) seen.target = rows_of(copy, copy.target);
    }
    record_copy(hook, op, stream, seen);
}

void count_batch(std::string_view op, const std::uint64_t* targets, const std::uint64_t* sources,
                 const std::size_t* sizes, std::size_t count) noexcept {
    const Driver* known = driver();
    if (known == nullptr) return;
    for (std::size_t i = 0; i < count; ++i) {
        Copy copy;
        copy.source = end_at(sources[i]);
        copy.target = end_at(targets[i]);
        copy.width = sizes[i];
        if (copy.bytes() == 0 || route_of(*known, copy).direction == Direction::not_recorded) {
            continue;
        }
        count_undigested(RecordClass::copy);
        session::blind_spot(op, "copies of a batch are counted, and not digested");
    }
}

void count_unknown(std::string_view op) noexcept {
    session::blind_spot(op, "copies of a batch of boxes are not looked into, nor counted");
}

}  // namespace orch::cuda
