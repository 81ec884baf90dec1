// The CUDA driver for tests and benchmarks: found at run time, so that these programs build without
// a toolkit, and run on the stand-ins of tests/fake_cuda as on hardware.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "device/protocol.hpp"
#include "device/ring_reader.hpp"

namespace orch::gpu {

struct NoDriver : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct CudaError : std::runtime_error {
    CudaError(const char* call, int number)
        : std::runtime_error(std::string(call) + " failed: " + std::to_string(number)),
          code(number) {}
    int code;
};

using Address = std::uint64_t;

/// Only what is called here.
struct Driver {
    int (*init)(unsigned flags);
    int (*driver_version)(int* version);
    int (*device_get)(int* device, int ordinal);
    int (*device_name)(char* name, int size, int device);
    int (*device_attribute)(int* value, int attribute, int device);
    int (*primary_retain)(void** context, int device);
    int (*primary_reset)(int device);
    int (*set_current)(void* context);
    int (*synchronize)();
    int (*module_load)(void** module, const void* image);
    int (*module_unload)(void* module);
    int (*module_function)(void** function, void* module, const char* name);
    int (*mem_alloc)(Address* address, std::size_t size);
    int (*mem_free)(Address address);
    int (*host_register)(void* memory, std::size_t size, unsigned flags);
    int (*host_unregister)(void* memory);
    int (*host_address)(Address* device, void* host, unsigned flags);
    int (*copy_to_device)(Address to, const void* from, std::size_t size);
    int (*copy_to_host)(void* to, Address from, std::size_t size);
    int (*copy_async)(Address to, Address from, std::size_t size, void* stream);
    int (*set_bytes)(Address at, unsigned char value, std::size_t size);
    int (*stream_create)(void** stream, unsigned flags);
    int (*stream_destroy)(void* stream);
    int (*stream_synchronize)(void* stream);
    int (*capture_info)(void* stream, int* status, std::uint64_t* id);  ///< null: not exported
    int (*begin_capture)(void* stream, int mode);
    int (*end_capture)(void* stream, void** graph);
    int (*instantiate)(void** exec, void* graph, unsigned long long flags);
    int (*graph_launch)(void* exec, void* stream);
    int (*exec_destroy)(void* exec);
    int (*graph_destroy)(void* graph);
    int (*event_create)(void** event, unsigned flags);
    int (*event_destroy)(void* event);
    int (*event_record)(void* event, void* stream);
    int (*event_synchronize)(void* event);
    int (*event_elapsed)(float* milliseconds, void* begin, void* end);
    int (*launch)(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                  unsigned bz, unsigned shared, void* stream, void** parameters, void** extra);
};

inline constexpr int capture_global = 0;
inline constexpr int capture_thread_local = 1;
inline constexpr int capture_relaxed = 2;

/// The driver, a device's primary context, and the digest kernel on it.
class Machine {
  public:
    /// Made on the first call; throws NoDriver where there is none.
    static Machine& get();

    const Driver& driver() const { return driver_; }
    void* library() const { return library_; }
    int device() const { return device_; }
    int multiprocessors() const { return multiprocessors_; }
    const std::string& name() const { return name_; }
    int driver_version() const { return version_; }
    bool is_stand_in() const { return stand_in_; }
    void* digest_function() const { return function_; }
    void* function(const char* name) const;  ///< another kernel of the fatbin
    /// What the first use of the kernel waits for: its module, and its function.
    double load_milliseconds() const { return load_milliseconds_; }

  private:
    Machine();

    void* library_ = nullptr;
    Driver driver_{};
    int device_ = 0;
    int multiprocessors_ = 0;
    int version_ = 0;
    std::string name_;
    bool stand_in_ = false;
    void* module_ = nullptr;
    void* function_ = nullptr;
    double load_milliseconds_ = 0;
};

inline void check(int error, const char* call) {
    if (error != 0) throw CudaError(call, error);
}

inline const Driver& cuda() {
    return Machine::get().driver();
}

/// What has a handle and a function that ends it; moves, and does not copy.
template <auto Driver::*End>
class Handle {
  public:
    Handle() = default;
    explicit Handle(void* handle) : handle_(handle) {}
    Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Handle() {
        if (handle_ != nullptr) (cuda().*End)(handle_);
    }
    void* get() const { return handle_; }

  private:
    void* handle_ = nullptr;
};

using Stream = Handle<&Driver::stream_destroy>;
using Event = Handle<&Driver::event_destroy>;
using Graph = Handle<&Driver::graph_destroy>;
using GraphExec = Handle<&Driver::exec_destroy>;

Stream make_stream();  ///< one that does not wait for the legacy stream
Event make_event();

/// What `submit` sends to the stream, as a graph that can be launched.
template <class Submit>
GraphExec captured(const Stream& stream, Submit submit) {
    check(cuda().begin_capture(stream.get(), capture_thread_local), "cuStreamBeginCapture");
    submit();
    void* graph = nullptr;
    check(cuda().end_capture(stream.get(), &graph), "cuStreamEndCapture");
    const Graph owner(graph);
    void* exec = nullptr;
    check(cuda().instantiate(&exec, graph, 0), "cuGraphInstantiateWithFlags");
    return GraphExec(exec);
}

class DeviceMemory {
  public:
    DeviceMemory() = default;
    explicit DeviceMemory(std::size_t size, unsigned char fill = 0);
    DeviceMemory(DeviceMemory&& other) noexcept
        : address_(std::exchange(other.address_, 0)), size_(std::exchange(other.size_, 0)) {}
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        std::swap(address_, other.address_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~DeviceMemory();

    Address address() const { return address_; }
    std::size_t size() const { return size_; }
    void write(const void* from, std::size_t size, std::size_t at = 0);
    void read(void* to, std::size_t size, std::size_t at = 0) const;

  private:
    Address address_ = 0;
    std::size_t size_ = 0;
};

/// As the injected library makes it: memory of the process, pinned and mapped.
class PinnedMemory {
  public:
    explicit PinnedMemory(std::size_t size);
    ~PinnedMemory();
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;

    void* data() const { return memory_; }
    Address address() const { return address_; }  ///< as the device sees it

  private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
    Address address_ = 0;
};

/// A ring of digests, and what the device keeps of it.
class DeviceRing {
  public:
    explicit DeviceRing(std::uint32_t slots, std::int32_t values = 16);

    void attach(device::Job& job) const;
    device::RingHeader* header() const { return static_cast<device::RingHeader*>(memory_.data()); }
    device::RingReader& reader() { return *reader_; }
    /// Gives every record that is there to `each`, and the slots back; how many there were.
    template <class Each>
    int drain(Each each) {
        int count = 0;
        for (const device::Slot* slot = nullptr; reader_->next(slot); ++count) {
            each(*slot);
            reader_->release();
        }
        return count;
    }
    int drain() {
        return drain([](const device::Slot&) {});
    }

  private:
    PinnedMemory memory_;
    DeviceMemory state_;
    std::optional<device::RingReader> reader_;
};

/// What launches of one stream leave for their last block.
class DeviceScratch {
  public:
    DeviceScratch();
    void attach(device::Job& job) const { job.scratch = memory_.address(); }
    bool is_clean() const;  ///< as the next launch needs it

  private:
    DeviceMemory memory_;
};

/// Plans `job` and launches it.
void launch(device::Job& job, const Stream& stream);
/// Of a job that was planned.
int try_launch(const device::Job& job, unsigned grid, void* stream);
void wait(const Stream& stream);

}  // namespace orch::gpu
