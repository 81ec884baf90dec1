// What the digest kernel takes on a GPU: bandwidth against a copy of the device's own, time per
// digest launched singly and as a node of a graph, what it adds to a replay. A JSON object per
// line. usage: gpu_bench [--quick]     --quick: one pass over little data, for the stand-ins
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "core/proof.hpp"
#include "device/launch_plan.hpp"
#include "tests/gpu/cuda.hpp"

namespace orch::gpu {
namespace {

using device::Job;
using device::Operand;
using device::Type;

constexpr double microseconds_per_millisecond = 1000;

struct Effort {
    int warm_ups;
    int repeats;
    int launches;  ///< in a row, where one is too short to be timed
    std::vector<std::size_t> sizes;
    std::size_t pool;
};

const Effort full{5, 25, 200, {64U << 20, 256U << 20, 1U << 30}, std::size_t{2} << 30};
const Effort quick{0, 1, 4, {1U << 20}, 2U << 20};

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// Microseconds between two events around what is submitted: the median of many times.
template <class Submit>
double device_time(const Effort& effort, const Stream& stream, Submit submit) {
    const Event begin = make_event();
    const Event end = make_event();
    std::vector<double> times;
    for (int i = 0; i < effort.warm_ups + effort.repeats; ++i) {
        check(cuda().event_record(begin.get(), stream.get()), "cuEventRecord");
        submit();
        check(cuda().event_record(end.get(), stream.get()), "cuEventRecord");
        check(cuda().event_synchronize(end.get()), "cuEventSynchronize");
        wait(stream);
        float milliseconds = 0;
        check(cuda().event_elapsed(&milliseconds, begin.get(), end.get()), "cuEventElapsedTime");
        if (i >= effort.warm_ups) times.push_back(milliseconds * microseconds_per_millisecond);
    }
    return median(times);
}

const char* name_of(Type type) {
    return type == Type::f32 ? "f32" : type == Type::f16 ? "f16" : "bf16";
}

/// Values of either sign between 1 and 2, in every place.
std::vector<char> noise(Type type, std::size_t bytes) {
    std::mt19937 random(1);
    std::vector<char> memory(bytes);
    const auto fill = [&](auto keep, auto set) {
        for (std::size_t at = 0; at + sizeof keep <= bytes; at += sizeof keep) {
            const auto bits = static_cast<decltype(keep)>((random() & keep) | set);
            std::memcpy(memory.data() + at, &bits, sizeof bits);
        }
    };
    if (type == Type::f32) fill(std::uint32_t{0x807fffffU}, std::uint32_t{0x3f800000U});
    if (type == Type::f16) fill(std::uint16_t{0x83ff}, std::uint16_t{0x3c00});
    if (type == Type::bf16) fill(std::uint16_t{0x807f}, std::uint16_t{0x3f80});
    return memory;
}

void fill(DeviceMemory& memory, Type type) {
    const std::vector<char> piece = noise(type, std::min<std::size_t>(memory.size(), 16U << 20));
    for (std::size_t at = 0; at < memory.size(); at += piece.size())
        memory.write(piece.data(), std::min(piece.size(), memory.size() - at), at);
}

Operand matrix(Address data, std::int64_t rows, std::int64_t cols, Type type) {
    return {data, rows, cols, cols, 1, type, false};
}

/// Digest and copy of as many bytes, each from a place that no cache holds any more.
void bandwidth(const Effort& effort) {
    constexpr std::int64_t cols = 4096;
    const Stream stream = make_stream();
    DeviceRing ring(1024);
    const DeviceScratch scratch;
    DeviceMemory pool(effort.pool);
    const DeviceMemory target(effort.sizes.back());
    for (const Type type : {Type::f32, Type::f16, Type::bf16}) {
        fill(pool, type);
        for (const std::size_t bytes : effort.sizes) {
            std::size_t turn = 0;
            const auto place = [&] { return pool.address() + turn++ * bytes % effort.pool; };
            const double copy = device_time(effort, stream, [&] {
                const Address to = target.address() + turn * bytes % target.size();
                check(cuda().copy_async(to, place(), bytes, stream.get()), "cuMemcpyDtoDAsync");
            });
            const auto rows = static_cast<std::int64_t>(bytes) / cols / device::size_of(type);
            const double digest = device_time(effort, stream, [&] {
                Job job;
                job.side[0] = matrix(place(), rows, cols, type);
                job.values = 10;
                ring.attach(job);
                scratch.attach(job);
                launch(job, stream);
            });
            const int records = ring.drain();
            const double size = static_cast<double>(bytes);
            std::printf(
                "{\"bench\":\"bandwidth\",\"type\":\"%s\",\"bytes\":%zu,\"copy_us\":%.2f,"
                "\"digest_us\":%.2f,\"copy_gb_s\":%.0f,\"digest_gb_s\":%.0f,"
                "\"records\":%d,\"expected\":%d}\n",
                name_of(type), bytes, copy, digest, 2 * size / copy / 1000, size / digest / 1000,
                records, effort.warm_ups + effort.repeats);
            std::fflush(stdout);
        }
    }
}

struct Small {
    const char* name;
    Job job;
};

/// What one token's products look like; and the memory that they lie in.
struct SmallJobs {
    static constexpr std::int64_t hidden = 4096;
    DeviceMemory data{1U << 20};
    DeviceMemory weight{hidden * hidden * 2};
    DeviceMemory probes{probe_bytes(hidden)};
    std::vector<Small> all;

    SmallJobs(const Stream& stream, const DeviceRing& ring, const DeviceScratch& scratch) {
        fill(data, Type::f32);
        fill(weight, Type::bf16);
        add("8 KB of f32", matrix(data.address(), 1, 2048, Type::f32));
        add("16 KB of f32", matrix(data.address(), 1, 4096, Type::f32));
        add("64 KB of f32", matrix(data.address(), 1, 16384, Type::f32));
        add("64 KB of bf16, 8 rows", matrix(data.address(), 8, 4096, Type::bf16));
        Job product;
        product.side[0] = matrix(data.address(), 1, hidden, Type::f32);
        product.side[1] = matrix(data.address() + (512U << 10), 1, hidden, Type::f32);
        add("a product: 16 KB in and out", product);
        const Operand w = matrix(weight.address(), hidden, hidden, Type::bf16);
        Job once;
        once.side[0] = w;
        once.sign_rows = false;
        once.probes_out = probes.address();
        once.selected_rows = 1;
        scratch.attach(once);
        launch(once, stream);
        wait(stream);
        product.weight = w;
        product.probes = probes.address();
        add("the same, with weight and proof", product);
        for (Small& small : all) {
            ring.attach(small.job);
            scratch.attach(small.job);
            small.job.values = 10;
            small.job.selected_rows = 1;
        }
    }

  private:
    void add(const char* name, const Operand& y) {
        Job job;
        job.side[0] = y;
        add(name, job);
    }
    void add(const char* name, const Job& job) { all.push_back({name, job}); }
};

double host_time(const Effort& effort, const std::function<void()>& call,
                 const std::function<void()>& after) {
    std::vector<double> times;
    for (int i = 0; i < effort.warm_ups + effort.repeats; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        call();
        const std::chrono::duration<double, std::micro> taken =
            std::chrono::steady_clock::now() - begin;
        after();
        if (i >= effort.warm_ups) times.push_back(taken.count());
    }
    return median(times);
}

void latency(const Effort& effort) {
    const Stream stream = make_stream();
    DeviceRing ring(1024);
    const DeviceScratch scratch;
    SmallJobs jobs(stream, ring, scratch);
    const double in_row = effort.launches;
    for (Small& small : jobs.all) {
        const device::Launch plan =
            device::plan_launch(small.job, Machine::get().multiprocessors());
        int records = 0;
        const auto many = [&] {
            for (int i = 0; i < effort.launches; ++i)
                check(try_launch(small.job, plan.grid, stream.get()), "cuLaunchKernel");
        };
        const auto settle = [&] {
            wait(stream);
            records += ring.drain();
        };
        const double host = host_time(effort, many, settle) / in_row;
        // The ring is emptied before each row of launches, as the drain thread would.
        const double singly = device_time(effort, stream,
                                          [&] {
                                              records += ring.drain();
                                              many();
                                          }) /
                              in_row;
        const double alone = device_time(effort, stream, [&] {
            records += ring.drain();
            check(try_launch(small.job, plan.grid, stream.get()), "cuLaunchKernel");
        });
        const double nothing = device_time(effort, stream, [] {});
        const GraphExec exec = captured(stream, many);
        const double node =
            device_time(effort, stream,
                        [&] {
                            records += ring.drain();
                            check(cuda().graph_launch(exec.get(), stream.get()), "cuGraphLaunch");
                        }) /
            in_row;
        settle();
        const int expected = (effort.warm_ups + effort.repeats) * (3 * effort.launches + 1);
        std::printf(
            "{\"bench\":\"latency\",\"what\":\"%s\",\"grid\":%u,\"alone_us\":%.2f,"
            "\"singly_us\":%.2f,\"node_us\":%.2f,\"host_us\":%.2f,\"records\":%d,"
            "\"expected\":%d}\n",
            small.name, plan.grid, std::max(alone - nothing, 0.0), singly, node, host, records,
            expected);
        std::fflush(stdout);
    }
}

/// A graph of small copies, and the same with a digest behind each.
void replay(const Effort& effort) {
    const Stream stream = make_stream();
    DeviceRing ring(1024);
    const DeviceScratch scratch;
    SmallJobs jobs(stream, ring, scratch);
    Job job = jobs.all.back().job;
    const device::Launch plan = device::plan_launch(job, Machine::get().multiprocessors());
    const auto graph = [&](bool digested) {
        return captured(stream, [&] {
            for (int i = 0; i < effort.launches; ++i) {
                check(cuda().copy_async(jobs.data.address() + (768U << 10), jobs.data.address(),
                                        16U << 10, stream.get()),
                      "cuMemcpyDtoDAsync");
                if (digested) check(try_launch(job, plan.grid, stream.get()), "cuLaunchKernel");
            }
        });
    };
    double times[2] = {};
    for (const bool digested : {false, true}) {
        const GraphExec exec = graph(digested);
        times[digested ? 1 : 0] = device_time(effort, stream, [&] {
            ring.drain();
            check(cuda().graph_launch(exec.get(), stream.get()), "cuGraphLaunch");
        });
        wait(stream);
    }
    std::printf(
        "{\"bench\":\"replay\",\"operations\":%d,\"without_us\":%.1f,\"with_us\":%.1f,"
        "\"added_us\":%.2f}\n",
        effort.launches, times[0], times[1], (times[1] - times[0]) / effort.launches);
}

}  // namespace
}  // namespace orch::gpu

int main(int argc, char** argv) {
    using namespace orch::gpu;
    const bool hurry = argc > 1 && std::string(argv[1]) == "--quick";
    const Effort& effort = hurry ? quick : full;
    try {
        latency(effort);
        replay(effort);
        bandwidth(effort);
    } catch (const std::exception& why) {
        std::fprintf(stderr, "gpu_bench: %s\n", why.what());
        return 1;
    }
}
