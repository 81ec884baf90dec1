// How fast a trace is read: its index, and all its values.
// usage: analyzer_bench TRACE [ROUNDS]     prints a JSON object
//
// Each round does everything once, so that what disturbs the machine disturbs all alike. Rates are
// of the best round, in bytes of the trace per second of CPU time. "twice" is the median of the
// ratio of wall times with one and with two threads, and "machine_twice" the same of a loop that
// only calculates: what this machine gives just now. "work" is the CPU time of two threads over
// that of one: what they do more for being two, and for sharing caches.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "analyzer/read/records.hpp"
#include "analyzer/read/trace.hpp"
#include "analyzer/util/parallel.hpp"

namespace {

struct Time {
    double cpu = 0;
    double wall = 0;
};

Time now() {
    timespec cpu{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const auto wall = std::chrono::steady_clock::now().time_since_epoch();
    return {static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) * 1e-9,
            std::chrono::duration<double>(wall).count()};
}

Time time_of(const std::function<void()>& work) {
    const Time before = now();
    work();
    const Time after = now();
    return {after.cpu - before.cpu, after.wall - before.wall};
}

/// The least that a reader can do: find the ends of the lines.
std::size_t count_lines(const char* path) {
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (fd < 0 || ::fstat(fd, &status) != 0) return 0;
    const auto size = static_cast<std::size_t>(status.st_size);
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    ::close(fd);
    if (mapped == MAP_FAILED) return 0;
    const auto* at = static_cast<const char*>(mapped);
    const char* const end = at + size;
    std::size_t lines = 0;
    while (at < end && (at = static_cast<const char*>(
                            std::memchr(at, '\n', static_cast<std::size_t>(end - at))))) {
        ++at;
        ++lines;
    }
    ::munmap(mapped, size);
    return lines;
}

double sum_of_values(const orch::Trace& trace, unsigned threads) {
    const auto entries = trace.entries();
    constexpr std::size_t chunk = 256;
    std::vector<double> sums((entries.size() + chunk - 1) / chunk);
    orch::for_each_chunk(entries.size(), chunk, threads,
                         [&](std::size_t number, std::size_t begin, std::size_t end) {
                             thread_local const orch::Trace* of = nullptr;
                             thread_local std::unique_ptr<orch::RecordParser> parser;
                             if (of != &trace) parser = std::make_unique<orch::RecordParser>(trace);
                             of = &trace;
                             for (std::size_t i = begin; i < end; ++i) {
                                 for (const double value : parser->values_view(entries[i]))
                                     sums[number] += value;
                             }
                         });
    double sum = 0;
    for (const double each : sums)
        sum += each;
    return sum;
}

/// Some 20 ms without a byte of memory, on each of the threads.
void calculate(unsigned threads) {
    const auto work = [] {
        std::uint64_t a = 1;
        for (int i = 0; i < 5'000'000; ++i)
            a = (a ^ (a >> 7)) * 0x9e3779b97f4a7c15ULL;
        volatile std::uint64_t sink = a;
        (void)sink;
    };
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i)
        others.emplace_back(work);
    work();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: analyzer_bench TRACE [ROUNDS]\n");
        return 2;
    }
    const char* path = argv[1];
    const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 9;
    const auto open = [&](unsigned threads) {
        return orch::Trace{path, {.threads = threads, .sidecar_index = false}};
    };
    std::map<std::string, double> best;  // seconds of CPU
    std::map<std::string, std::vector<double>> twice;
    std::map<std::string, std::vector<double>> extra_work;
    const auto keep = [&](const std::string& what, const Time& one, const Time& two) {
        const auto [at, is_new] = best.try_emplace(what, one.cpu);
        at->second = is_new ? one.cpu : std::min(at->second, one.cpu);
        twice[what].push_back(one.wall / two.wall);
        extra_work[what].push_back(two.cpu / one.cpu);
    };
    const auto time_of_index = [&](unsigned threads) {
        std::optional<orch::Trace> made;  // freeing it is not part of the pass
        return time_of([&] { made = open(threads); });
    };
    volatile double sink = 0;
    const orch::Trace trace = open(0);
    for (int round = 0; round < rounds; ++round) {
        const Time lines = time_of([&] { sink = sink + static_cast<double>(count_lines(path)); });
        keep("lines", lines, lines);
        const Time index = time_of_index(1);
        keep("index", index, time_of_index(2));
        const Time values = time_of([&] { sink = sink + sum_of_values(trace, 1); });
        keep("values", values, time_of([&] { sink = sink + sum_of_values(trace, 2); }));
        const Time one = time_of([] { calculate(1); });
        Time two = time_of([] { calculate(2); });
        two.wall /= 2;  // twice the work
        keep("machine", one, two);
    }
    const auto rate = [&](const char* what) {
        return static_cast<double>(trace.counts().bytes) / best[what] / 1e9;
    };
    fmt::print(R"({{"bytes":{},"records":{},"index_bytes":{},"lines_gb_s":{:.3f},)"
               R"("index_gb_s":{:.3f},"index_twice":{:.2f},"index_work":{:.2f},)"
               R"("values_gb_s":{:.3f},"values_twice":{:.2f},"values_work":{:.2f},)"
               R"("machine_twice":{:.2f}}})"
               "\n",
               trace.counts().bytes, trace.counts().records, trace.entries().size_bytes(),
               rate("lines"), rate("index"), median(twice["index"]), median(extra_work["index"]),
               rate("values"), median(twice["values"]), median(extra_work["values"]),
               median(twice["machine"]));
    return 0;
}
