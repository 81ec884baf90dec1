// A small engine that logs; orch_log_test runs it with one command per case. Exit status 0 means
// that what can only be seen from inside was as it should be.
#ifndef ORCH_LOGGING
#define ORCH_LOGGING
#endif
#include "orch_log.hpp"

#include <sys/wait.h>

#include <cfloat>
#include <limits>
#include <map>
#include <thread>
#include <vector>

void log_from_second_unit(int token);

namespace {

int evaluated = 0;

const float* observed(const float* data) {
    ++evaluated;
    return data;
}

void log_one(const char* checkpoint, int token) {
    const float values[] = {1.5f, -2.25f, 0.1f};
    ORCH_LOG_JSON_TOKEN(checkpoint, values, 3, "f32", "[1,3]", token);
}

int basic() {
    const float values[] = {1.5f, -2.25f, 0.1f};
    ORCH_LOG_JSON("embedding", values, 3, "f32", "[3]");
    ORCH_LOG_JSON_TOKEN("logits", values, 3, "f32", "[1,3]", 4);
    log_from_second_unit(5);
    return 0;
}

/// Reports on stdout how often the arguments were evaluated.
int lazy() {
    const float values[] = {1, 2};
    for (int i = 0; i < 3; ++i)
        ORCH_LOG_JSON("lazy", observed(values), 2, "f32", "[2]");
    ORCH_LOG_FLUSH();
    std::printf("evaluated %d\n", evaluated);
    return 0;
}

int escape() {
    const float value = 1;
    const char* names[] = {"quote\" back\\slash /", "\x01\x1f\b\f\n\r\t\x7f",
                           "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80",
                           "bad \x80 \xC0\xAF \xED\xA0\x80 \xF5 \xE2\x82", ""};
    for (const char* name : names)
        ORCH_LOG_JSON(name, &value, 1, "f32", name);
    return 0;
}

int nonfinite() {
    const float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float values[] = {nan, 1, inf, -inf, -nan, FLT_MAX};
    ORCH_LOG_JSON("f32", values, 6, "f32", "[6]");
    const double wide[] = {1, std::numeric_limits<double>::quiet_NaN(),
                           -std::numeric_limits<double>::infinity()};
    ORCH_LOG_JSON("f64", wide, 3, "f64", "[3]");
    const std::uint16_t half[] = {0x7C00, 0xFC00, 0x7E01, 0x3C00};
    ORCH_LOG_JSON("f16", half, 4, "f16", "[4]");
    const std::uint16_t brain[] = {0x7F80, 0xFF80, 0x7FC1, 0x3F80};
    ORCH_LOG_JSON("bf16", brain, 4, "bf16", "[4]");
    return 0;
}

/// Every kind of number that has a text of its own, and data at an odd address.
int numbers() {
    const std::uint32_t odd_ones[] = {0x15AE43FD, 0x95AE43FD, 0x80000000, 0,
                                      1,          0x7F7FFFFF, 0x42F6E979};
    ORCH_LOG_JSON("f32", odd_ones, 7, "f32", "[7]");
    char shifted[sizeof odd_ones + 1];
    std::memcpy(shifted + 1, odd_ones, sizeof odd_ones);
    ORCH_LOG_JSON("unaligned", shifted + 1, 7, "f32", "[7]");
    const double wide[] = {0.1, -0.0, 1e300, 5e-324, 7.038531e-26};
    ORCH_LOG_JSON("f64", wide, 5, "f64", "[5]");
    const std::uint16_t half[] = {0x3C00, 0xC000, 0x3555, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0x8000};
    ORCH_LOG_JSON("f16", half, 8, "f16", "[8]");
    const std::uint16_t brain[] = {0x3F80, 0xC000, 0x3EAB, 0x0001, 0x7F7F, 0x8000};
    ORCH_LOG_JSON("bf16", brain, 6, "bf16", "[6]");
    return 0;
}

/// All 65536 half precision values, for the caller to check one by one.
int halves() {
    std::vector<std::uint16_t> all(65536);
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i] = static_cast<std::uint16_t>(i);
    ORCH_LOG_JSON("all", all.data(), all.size(), "f16", "[65536]");
    return 0;
}

int counts() {
    std::vector<float> values(1000);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i);
    ORCH_LOG_JSON("long", values.data(), values.size(), "f32", "[1000]");
    ORCH_LOG_JSON("short", values.data(), 2, "f32", "[2]");
    ORCH_LOG_JSON("none", values.data(), 0, "f32", "[0]");
    return 0;
}

int odd_arguments() {
    const float value = 1;
    const int negative = -1;
    ORCH_LOG_JSON_TOKEN("null data", nullptr, 3, "f32", "[3]", -7);
    ORCH_LOG_JSON_TOKEN(nullptr, &value, 1, nullptr, nullptr, INT64_MAX);
    ORCH_LOG_JSON("unknown", &value, 1, "q4_0", "[1]");
    ORCH_LOG_JSON("negative", &value, static_cast<std::size_t>(negative), "f32", "[1]");
    return 0;
}

int threads(int count, int records) {
    std::vector<std::thread> pool;
    for (int t = 0; t < count; ++t) {
        pool.emplace_back([=] {
            for (int i = 0; i < records; ++i)
                log_one(("thread_" + std::to_string(t)).c_str(), i);
        });
    }
    for (std::thread& thread : pool)
        thread.join();
    return 0;
}

/// A fork while other threads hold the logger, children that log and leave through exit().
int fork_family(int children, int records) {
    log_one("before", 0);
    std::atomic<bool> stop{false};
    std::thread noise([&] {
        for (int i = 0; !stop && i < 200000; ++i)
            log_one("noise", i);
    });
    int bad = 0;
    for (int c = 0; c < children; ++c) {
        const pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < records; ++i)
                log_one(("child_" + std::to_string(c)).c_str(), i);
            std::exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) ++bad;
    }
    stop = true;
    noise.join();
    log_one("after", 0);
    return bad;
}

struct LogsWhenDestroyed {
    ~LogsWhenDestroyed() { log_one("static_destructor", 0); }
} logs_when_destroyed;

/// Dies without running any exit handler.
int crash() {
    log_one("flushed", 0);
    ORCH_LOG_FLUSH();
    log_one("lost", 0);
    _exit(0);
}

int keeps_errno() {
    errno = 4242;
    log_one("first", 0);
    for (int i = 0; i < 2000; ++i)
        log_one("more", i);  // enough for the buffer to be written
    ORCH_LOG_FLUSH();
    return errno == 4242 ? 0 : 1;
}

/// What daemons do: close everything, open something of their own. It must not receive the trace.
int close_all() {
    log_one("before", 0);
    for (int fd = 3; fd < 64; ++fd)
        close(fd);
    FILE* const own = std::tmpfile();
    for (int fd = 4; own && fd < 16; ++fd)
        dup2(fileno(own), fd);
    log_one("after", 1);
    ORCH_LOG_FLUSH();
    struct stat s {};
    return own && fstat(fileno(own), &s) == 0 && s.st_size == 0 ? 0 : 1;
}

/// A thread that is cancelled while it logs must end, and must not take the process with it.
int cancel() {
    for (int round = 0; round < 20; ++round) {
        std::atomic<bool> started{false};
        std::thread thread([&] {
            for (int i = 0;; ++i) {
                log_one("cancelled", i);
                ORCH_LOG_FLUSH();
                started = true;
                pthread_testcancel();
            }
        });
        while (!started)
            std::this_thread::yield();
        pthread_cancel(thread.native_handle());
        thread.join();
    }
    log_one("after", 0);
    return 0;
}

int c_interface() {
    const float values[] = {3, 4};
    errno = 4242;
    orch_log("c", values, 2, "f32", "[2]", 9);
    std::printf("enabled %d\n", orch_log_enabled());
    orch_log_flush();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    const int first = argc > 2 ? std::atoi(argv[2]) : 0;
    const int second = argc > 3 ? std::atoi(argv[3]) : 0;
    if (command == "threads") return threads(first, second);
    if (command == "fork") return fork_family(first, second);
    const std::map<std::string, int (*)()> commands = {
        {"basic", basic},
        {"lazy", lazy},
        {"escape", escape},
        {"nonfinite", nonfinite},
        {"numbers", numbers},
        {"halves", halves},
        {"counts", counts},
        {"odd_arguments", odd_arguments},
        {"crash", crash},
        {"keeps_errno", keeps_errno},
        {"close_all", close_all},
        {"cancel", cancel},
        {"c_interface", c_interface},
    };
    const auto found = commands.find(command);
    return found == commands.end() ? 2 : found->second();
}
