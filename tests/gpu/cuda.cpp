#include "tests/gpu/cuda.hpp"

#include <dlfcn.h>
#include <sys/mman.h>

#include <chrono>

#include "device/fatbin.hpp"
#include "device/launch_plan.hpp"

namespace orch::gpu {
namespace {

template <class Function>
void find_if_there(void* library, const char* name, Function& out) {
    out = reinterpret_cast<Function>(::dlsym(library, name));
}

template <class Function>
void find(void* library, const char* name, Function& out) {
    find_if_there(library, name, out);
    if (out == nullptr) throw NoDriver(std::string("the driver has no ") + name);
}

void find_all(void* library, Driver& d) {
    find(library, "cuInit", d.init);
    find(library, "cuDriverGetVersion", d.driver_version);
    find(library, "cuDeviceGet", d.device_get);
    find(library, "cuDeviceGetName", d.device_name);
    find(library, "cuDeviceGetAttribute", d.device_attribute);
    find(library, "cuDevicePrimaryCtxRetain", d.primary_retain);
    find(library, "cuDevicePrimaryCtxReset_v2", d.primary_reset);
    find(library, "cuCtxSetCurrent", d.set_current);
    find(library, "cuCtxSynchronize", d.synchronize);
    find(library, "cuModuleLoadData", d.module_load);
    find(library, "cuModuleUnload", d.module_unload);
    find(library, "cuModuleGetFunction", d.module_function);
    find(library, "cuMemAlloc_v2", d.mem_alloc);
    find(library, "cuMemFree_v2", d.mem_free);
    find(library, "cuMemHostRegister_v2", d.host_register);
    find(library, "cuMemHostUnregister", d.host_unregister);
    find(library, "cuMemHostGetDevicePointer_v2", d.host_address);
    find(library, "cuMemcpyHtoD_v2", d.copy_to_device);
    find(library, "cuMemcpyDtoH_v2", d.copy_to_host);
    find(library, "cuMemcpyDtoDAsync_v2", d.copy_async);
    find(library, "cuMemsetD8_v2", d.set_bytes);
    find(library, "cuStreamCreate", d.stream_create);
    find(library, "cuStreamDestroy_v2", d.stream_destroy);
    find(library, "cuStreamSynchronize", d.stream_synchronize);
    find_if_there(library, "cuStreamGetCaptureInfo", d.capture_info);
    find(library, "cuStreamBeginCapture_v2", d.begin_capture);
    find(library, "cuStreamEndCapture", d.end_capture);
    find(library, "cuGraphInstantiateWithFlags", d.instantiate);
    find(library, "cuGraphLaunch", d.graph_launch);
    find(library, "cuGraphExecDestroy", d.exec_destroy);
    find(library, "cuGraphDestroy", d.graph_destroy);
    find(library, "cuEventCreate", d.event_create);
    find(library, "cuEventDestroy_v2", d.event_destroy);
    find(library, "cuEventRecord", d.event_record);
    find(library, "cuEventSynchronize", d.event_synchronize);
    find(library, "cuEventElapsedTime", d.event_elapsed);
    find(library, "cuLaunchKernel", d.launch);
}

}  // namespace

Machine& Machine::get() {
    static Machine machine;
    return machine;
}

Machine::Machine() : library_(::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) {
    if (library_ == nullptr) throw NoDriver(::dlerror());
    find_all(library_, driver_);
    stand_in_ = ::dlsym(library_, "fake_cuda_pump") != nullptr ||
                ::dlsym(RTLD_DEFAULT, "fake_cuda_pump") != nullptr;
    if (const int error = driver_.init(0); error != 0)
        throw NoDriver("cuInit failed: " + std::to_string(error));
    check(driver_.driver_version(&version_), "cuDriverGetVersion");
    check(driver_.device_get(&device_, 0), "cuDeviceGet");
    char name[256] = {};
    check(driver_.device_name(name, sizeof name - 1, device_), "cuDeviceGetName");
    name_ = name;
    constexpr int multiprocessor_count = 16;  // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
    check(driver_.device_attribute(&multiprocessors_, multiprocessor_count, device_),
          "cuDeviceGetAttribute");
    void* context = nullptr;
    check(driver_.primary_retain(&context, device_), "cuDevicePrimaryCtxRetain");
    check(driver_.set_current(context), "cuCtxSetCurrent");
    const auto begin = std::chrono::steady_clock::now();
    check(driver_.module_load(&module_, device::fatbin().data()), "cuModuleLoadData");
    function_ = function(device::Launch{}.entry);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - begin;
    load_milliseconds_ = taken.count();
}

void* Machine::function(const char* name) const {
    void* found = nullptr;
    check(driver_.module_function(&found, module_, name), "cuModuleGetFunction");
    return found;
}

Stream make_stream() {
    constexpr unsigned non_blocking = 1;
    void* stream = nullptr;
    check(cuda().stream_create(&stream, non_blocking), "cuStreamCreate");
    return Stream(stream);
}

Event make_event() {
    void* event = nullptr;
    check(cuda().event_create(&event, 0), "cuEventCreate");
    return Event(event);
}

DeviceMemory::DeviceMemory(std::size_t size, unsigned char fill) : size_(size) {
    check(cuda().mem_alloc(&address_, size), "cuMemAlloc");
    check(cuda().set_bytes(address_, fill, size), "cuMemsetD8");
    check(cuda().synchronize(), "cuCtxSynchronize");
}

DeviceMemory::~DeviceMemory() {
    if (address_ != 0) cuda().mem_free(address_);
}

void DeviceMemory::write(const void* from, std::size_t size, std::size_t at) {
    check(cuda().copy_to_device(address_ + at, from, size), "cuMemcpyHtoD");
    // From pageable memory the call may return before the device has the bytes, and the streams
    // here do not wait for the one it used.
    check(cuda().synchronize(), "cuCtxSynchronize");
}

void DeviceMemory::read(void* to, std::size_t size, std::size_t at) const {
    check(cuda().copy_to_host(to, address_ + at, size), "cuMemcpyDtoH");
}

PinnedMemory::PinnedMemory(std::size_t size) : size_(size) {
    memory_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::runtime_error("no memory for a ring");
    constexpr unsigned portable_and_mapped = 1U | 2U;
    check(cuda().host_register(memory_, size_, portable_and_mapped), "cuMemHostRegister");
    check(cuda().host_address(&address_, memory_, 0), "cuMemHostGetDevicePointer");
}

PinnedMemory::~PinnedMemory() {
    cuda().host_unregister(memory_);
    ::munmap(memory_, size_);
}

DeviceRing::DeviceRing(std::uint32_t slots, std::int32_t values)
    : memory_(device::ring_bytes(slots, device::slot_bytes_for(values))),
      state_(sizeof(device::RingState)) {
    header()->slots = slots;
    header()->slot_bytes = device::slot_bytes_for(values);
    reader_.emplace(header());
}

void DeviceRing::attach(device::Job& job) const {
    job.ring = memory_.address();
    job.state = state_.address();
}

DeviceScratch::DeviceScratch() : memory_(device::scratch_bytes(Machine::get().multiprocessors())) {}

bool DeviceScratch::is_clean() const {
    device::LaunchScratch first{};
    memory_.read(&first, sizeof first);
    return first.finished == 0;
}

void launch(device::Job& job, const Stream& stream) {
    const device::Launch plan = device::plan_launch(job, Machine::get().multiprocessors());
    check(try_launch(job, plan.grid, stream.get()), "cuLaunchKernel");
}

int try_launch(const device::Job& job, unsigned grid, void* stream) {
    device::Job copy = job;
    void* parameters[] = {&copy};
    return cuda().launch(Machine::get().digest_function(), grid, 1, 1, device::block_threads, 1, 1,
                         0, stream, parameters, nullptr);
}

void wait(const Stream& stream) {
    check(cuda().stream_synchronize(stream.get()), "cuStreamSynchronize");
}

}  // namespace orch::gpu
