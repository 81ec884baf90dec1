// What documentation leaves open about a driver, asked of the one that is here. Each question has a
// process of its own: some end their context on purpose. A JSON object per line.
// usage: gpu_questions [NAME...] [--needed NAME...]     NAMEs: functions of the driver that are
// hooked,
//                                                      and that the injected library calls itself
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device/fatbin.hpp"
#include "device/launch_plan.hpp"
#include "tests/gpu/cuda.hpp"

namespace orch::gpu {
namespace {

using device::Job;
using device::Operand;
using device::Type;

std::string text(int number) {
    return std::to_string(number);
}

template <class Function>
Function* symbol(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(Machine::get().library(), name));
}

// ---- cuGetProcAddress. --------------------------------------------------------------------------

using GetProcAddress = int(const char*, void**, int, std::uint64_t, void*);

/// The name that cuGetProcAddress knows it by, which finds the version itself.
std::string base_of_name(std::string name) {
    for (const char* suffix : {"_ptds", "_ptsz", "_v2", "_v3", "_v4"}) {
        const std::size_t at = name.rfind(suffix);
        if (at != std::string::npos && at + std::string(suffix).size() == name.size())
            name.erase(at);
    }
    return name;
}

std::string addresses(const std::vector<std::string>& names) {
    auto* ask = symbol<GetProcAddress>("cuGetProcAddress_v2");
    if (ask == nullptr) return "the driver has no cuGetProcAddress_v2";
    constexpr std::uint64_t legacy = 1;
    constexpr std::uint64_t per_thread = 2;
    int equal = 0;
    std::string others;
    std::string absent;
    for (const std::string& name : names) {
        void* exported = ::dlsym(Machine::get().library(), name.c_str());
        if (exported == nullptr) {
            absent += " " + name;
            continue;
        }
        bool found = false;
        for (const int version :
             {11000, 11030, 12000, 12050, 13000, Machine::get().driver_version()}) {
            for (const std::uint64_t flags : {std::uint64_t{0}, legacy, per_thread}) {
                void* address = nullptr;
                int status = 0;
                if (ask(base_of_name(name).c_str(), &address, version, flags, &status) == 0)
                    found = found || address == exported;
            }
        }
        if (found)
            ++equal;
        else
            others += " " + name;
    }
    std::string answer = text(equal) + " of " + text(static_cast<int>(names.size())) +
                         " exported addresses are returned by it";
    if (!others.empty()) answer += "; never returned:" + others;
    if (!absent.empty()) answer += "; not exported:" + absent;
    return answer;
}

std::string exports(const std::vector<std::string>& needed) {
    std::string absent;
    for (const std::string& name : needed) {
        if (::dlsym(Machine::get().library(), name.c_str()) == nullptr) absent += " " + name;
    }
    return absent.empty() ? "all " + text(static_cast<int>(needed.size())) : "it lacks" + absent;
}

// ---- Captures. ----------------------------------------------------------------------------------

void* legacy_stream() {
    return reinterpret_cast<void*>(std::uintptr_t{1});
}

std::string legacy_while_capturing() {
    if (cuda().capture_info == nullptr) return "the driver does not export cuStreamGetCaptureInfo";
    std::string answer;
    for (const auto& [mode, name] :
         {std::pair{capture_global, "global"}, std::pair{capture_thread_local, "thread-local"},
          std::pair{capture_relaxed, "relaxed"}}) {
        const Stream stream = make_stream();
        const Stream other = make_stream();
        check(cuda().begin_capture(stream.get(), mode), "cuStreamBeginCapture");
        int status = -1;
        std::uint64_t id = 0;
        const int on_legacy = cuda().capture_info(legacy_stream(), &status, &id);
        const int on_other = cuda().capture_info(other.get(), &status, &id);
        void* graph = nullptr;
        const int ended = cuda().end_capture(stream.get(), &graph);
        const Graph owner(graph);
        answer += std::string(answer.empty() ? "" : "; ") + name + ": legacy stream " +
                  text(on_legacy) + ", another stream " + text(on_other) + ", end of the capture " +
                  text(ended);
    }
    return answer + " (0 = success)";
}

// ---- The kernel and its ring. -------------------------------------------------------------------

std::string milliseconds(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f ms", value);
    return buffer;
}

struct Launched {
    Stream stream = make_stream();
    DeviceRing ring{64};
    DeviceScratch scratch;
    DeviceMemory data{4096};
    Job job;

    Launched() {
        job.side[0] = Operand{data.address(), 1, 1024, 1024, 1, Type::f32, false};
        ring.attach(job);
        scratch.attach(job);
    }
};

std::string load_time() {
    const double first = Machine::get().load_milliseconds();
    Launched here;
    const auto begin = std::chrono::steady_clock::now();
    launch(here.job, here.stream);
    wait(here.stream);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - begin;
    return milliseconds(first) + " for module and function, " + milliseconds(taken.count()) +
           " for the first launch and its end";
}

/// The product's library names the default streams by these handles.
std::string default_streams() {
    std::string answer;
    for (const std::uintptr_t handle : {std::uintptr_t{1}, std::uintptr_t{2}}) {
        Launched here;
        void* stream = reinterpret_cast<void*>(handle);
        const device::Launch plan = device::plan_launch(here.job, Machine::get().multiprocessors());
        const int launched = try_launch(here.job, plan.grid, stream);
        const int waited = cuda().stream_synchronize(stream);
        answer += std::string(answer.empty() ? "" : "; ") +
                  (handle == 1 ? "legacy" : "per-thread") + ": launch " + text(launched) +
                  ", wait " + text(waited) + ", records " + text(here.ring.drain());
    }
    return answer;
}

std::string records_before_a_fault() {
    Launched here;
    constexpr int good = 20;
    for (int i = 0; i < good; ++i)
        launch(here.job, here.stream);
    Job bad = here.job;
    constexpr Address nowhere = 0x10000;
    bad.side[0].data = nowhere;
    launch(bad, here.stream);
    const int error = cuda().stream_synchronize(here.stream.get());
    const int records = here.ring.drain();
    return text(records) + " of " + text(good) + " records are in the ring after error " +
           text(error);
}

std::string ring_outlives_the_context() {
    auto* here = new Launched;  // never freed: its context is gone by then
    launch(here->job, here->stream);
    wait(here->stream);
    const int error = cuda().primary_reset(Machine::get().device());
    return "reset of the device: " + text(error) +
           ", records read after it: " + text(here->ring.drain());
}

std::string parameters() {
    using FunctionInfo = int(void*, std::size_t, std::size_t*, std::size_t*);
    using LoadData = int(void**, const void*, void*, void*, unsigned, void*, void*, unsigned);
    using GetKernel = int(void**, void*, const char*);
    auto* of_function = symbol<FunctionInfo>("cuFuncGetParamInfo");
    auto* of_kernel = symbol<FunctionInfo>("cuKernelGetParamInfo");
    auto* load = symbol<LoadData>("cuLibraryLoadData");
    auto* get_kernel = symbol<GetKernel>("cuLibraryGetKernel");
    if (of_function == nullptr || of_kernel == nullptr || load == nullptr || get_kernel == nullptr)
        return "the driver lacks one of the functions";
    const auto ask = [](FunctionInfo* info, void* handle) {
        std::size_t offset = 0;
        std::size_t size = 0;
        const int error = info(handle, 0, &offset, &size);
        return error != 0
                   ? "error " + text(error)
                   : text(static_cast<int>(size)) + " bytes at " + text(static_cast<int>(offset));
    };
    void* library = nullptr;
    void* kernel = nullptr;
    check(load(&library, device::fatbin().data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
          "cuLibraryLoadData");
    check(get_kernel(&kernel, library, device::Launch{}.entry), "cuLibraryGetKernel");
    return "Job is " + text(static_cast<int>(sizeof(Job))) + " bytes; cuFuncGetParamInfo of a " +
           "CUfunction: " + ask(of_function, Machine::get().digest_function()) +
           ", of a CUkernel: " + ask(of_function, kernel) +
           "; cuKernelGetParamInfo: " + ask(of_kernel, kernel);
}

std::string device_text() {
    const Machine& machine = Machine::get();
    const auto attribute = [&](int number) {
        int value = 0;
        return cuda().device_attribute(&value, number, machine.device()) == 0 ? value : -1;
    };
    // CU_DEVICE_ATTRIBUTE_...
    constexpr int major = 75;
    constexpr int minor = 76;
    constexpr int l2_bytes = 38;
    constexpr int can_use_host_pointer = 91;
    return machine.name() + ", driver API " + text(machine.driver_version()) + ", sm_" +
           text(attribute(major)) + text(attribute(minor)) + ", " +
           text(machine.multiprocessors()) + " multiprocessors, L2 of " +
           text(attribute(l2_bytes) >> 20) + " MiB, host pointers of registered memory usable: " +
           text(attribute(can_use_host_pointer)) + (machine.is_stand_in() ? " (stand-in)" : "");
}

// ---- Asking. ------------------------------------------------------------------------------------

std::string quoted(const std::string& answer) {
    std::string out = "\"";
    for (const char c : answer) {
        if (c == '"' || c == '\\') out += '\\';
        out += c >= ' ' ? c : ' ';
    }
    return out + "\"";
}

/// CUDA does not survive a fork, so the parent never starts it.
template <class Ask>
void in_a_child(const char* question, Ask ask) {
    const auto print = [&](const char* key, const std::string& value) {
        std::printf("{\"question\":%s,\"%s\":%s}\n", quoted(question).c_str(), key,
                    quoted(value).c_str());
        std::fflush(stdout);
    };
    const pid_t child = ::fork();
    if (child == 0) {
        constexpr unsigned patience = 60;
        ::alarm(patience);
        try {
            print("answer", ask());
        } catch (const std::exception& why) {
            print("failed", why.what());
        }
        std::_Exit(0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return print("failed", "no process");
    if (WIFSIGNALED(status))
        print("failed", "the process died of signal " + text(WTERMSIG(status)));
}

}  // namespace
}  // namespace orch::gpu

int main(int argc, char** argv) {
    using namespace orch::gpu;
    char** const end = argv + argc;
    char** const needed = std::find_if(
        argv + 1, end, [](const char* word) { return std::string_view(word) == "--needed"; });
    const std::vector<std::string> names(argv + 1, needed);
    const std::vector<std::string> called(needed == end ? end : needed + 1, end);
    in_a_child("which device is it", device_text);
    in_a_child("does the driver export what the injected library calls",
               [&] { return exports(called); });
    in_a_child("do the addresses of cuGetProcAddress equal the exports",
               [&] { return addresses(names); });
    in_a_child("is cuStreamGetCaptureInfo legal while another stream captures",
               legacy_while_capturing);
    in_a_child("how long does the kernel take to load", load_time);
    in_a_child("do launches on the default streams' handles work", default_streams);
    in_a_child("does our memory stay readable when the device is reset", ring_outlives_the_context);
    in_a_child("what is told of a kernel's parameters", parameters);
    in_a_child("are records visible before a context dies of an illegal address",
               records_before_a_fault);
}
