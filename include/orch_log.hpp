// orch_log.hpp - header-only checkpoint logger for C++17 engines.
//
//     #define ORCH_LOGGING            // or -DORCH_LOGGING; without it the macros are nothing at
//     all #include "orch_log.hpp" ORCH_LOG_JSON_TOKEN("logits", logits, n_vocab, "f32",
//     "[1,32000]", position);
//
// `ptr` is HOST memory, `n` the number of values behind it, `dtype` "f32", "f16", "bf16" or "f64".
// With liborchtrace.so injected the record goes into its trace. Alone, it is appended to
// ORCH_LOG_FILE (unset: off; %p pid, %h host, %e executable, %r rank) as one line of JSON, with the
// team name ORCH_LOG_TEAM (the executable's name) and the first ORCH_LOG_VALUES (10) values.
// The environment is read at the first record; arguments are evaluated only if there will be one.
// Thread-safe, safe over fork(), silent, never throws, keeps errno. Lines are buffered and written
// at exit; ORCH_LOG_FLUSH() is for the line before one that may crash or call _exit. Not for signal
// handlers. Needs orchtrace.h beside it and std::to_chars for floating point (GCC 11, LLVM 14).
#pragma once
#ifndef ORCH_LOGGING
#define ORCH_LOG_JSON_TOKEN(checkpoint, ptr, n, dtype, shape, token_idx) ((void)0)
#define ORCH_LOG_FLUSH() ((void)0)
#else
#define ORCH_LOG_JSON_TOKEN(checkpoint, ptr, n, dtype, shape, token_idx)                        \
    (orchlog::live() ? orchlog::record((checkpoint), (ptr), (n), (dtype), (shape), (token_idx)) \
                     : (void)0)
#define ORCH_LOG_FLUSH() orchlog::flush()
#endif
#define ORCH_LOG_JSON(checkpoint, ptr, n, dtype, shape) \
    ORCH_LOG_JSON_TOKEN(checkpoint, ptr, n, dtype, shape, 0)

#ifdef ORCH_LOGGING
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "orchtrace.h"

namespace orchlog {

enum Mode : int { kUnknown, kOff, kFile, kLibrary };
inline std::atomic<int> g_mode{kUnknown};

// The engine must not notice a record: its errno stays, and a pthread_cancel() that arrives during
// write(2) has to wait, because its unwinding may not pass through noexcept functions.
struct Quiet {
    int error = errno, cancel = 0;
    Quiet() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); }
    ~Quiet() { pthread_setcancelstate(cancel, nullptr), errno = error; }
};

// Length of the UTF-8 sequence at p, 0 if it is none. A final NUL is no continuation byte, so
// nothing behind it is read.
inline int utf8_length(const unsigned char* p) {
    const unsigned c = p[0];
    const int n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; ++i) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    const bool overlong = (c == 0xE0 && p[1] < 0xA0) || (c == 0xF0 && p[1] < 0x90);
    const bool not_a_character = (c == 0xED && p[1] > 0x9F) || (c == 0xF4 && p[1] > 0x8F);
    return overlong || not_a_character ? 0 : n;
}

inline void append_string(std::string& out, const char* text) {
    out += '"';
    for (auto p = reinterpret_cast<const unsigned char*>(text ? text : ""); *p;) {
        const int length = utf8_length(p);
        if (*p < 0x20) {
            char code[16];
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(*p));
            out += code;
        } else if (length == 0) {
            out += "\xEF\xBF\xBD";
        } else {
            if (*p == '"' || *p == '\\') out += '\\';
            out.append(reinterpret_cast<const char*>(p), static_cast<std::size_t>(length));
        }
        p += length ? length : 1;
    }
    out += '"';
}

// gmtime_r() takes libc's time zone lock, which a forked child can find held for ever; so the
// calendar is done here, in years that begin in March.
inline void append_time(std::string& out) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const long day = now.tv_sec / 86400 + 719468, second = now.tv_sec % 86400;
    const long era = day / 146097, doe = day % 146097;
    const long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const long doy = doe - (365 * yoe + yoe / 4 - yoe / 100), march = (5 * doy + 2) / 153;
    const long month = march < 10 ? march + 3 : march - 9;
    char text[192];
    std::snprintf(text, sizeof text, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld.%03ldZ",
                  yoe + era * 400 + (month <= 2), month, doy - (153 * march + 2) / 5 + 1,
                  second / 3600, second / 60 % 60, second % 60, now.tv_nsec / 1000000);
    out += text;
}

template <class T>
T read_as(const void* data, std::size_t i) {  // data may have any alignment
    T value;
    std::memcpy(&value, static_cast<const char*>(data) + i * sizeof(T), sizeof(T));
    return value;
}

// A type is the first letter of its name, but 'd' for f64 and 'h' for f16; 0 is an unknown one.
inline char parse_dtype(const char* name) {
    const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
    return is("f32") ? 'f' : is("f16") ? 'h' : is("bf16") ? 'b' : is("f64") ? 'd' : '\0';
}

inline std::uint32_t half_to_float(std::uint32_t half) {  // bits to bits
    const std::uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31;
    const float denormal = static_cast<float>(half & 1023) * 0x1p-24f;  // a normal float, or zero
    if (exponent == 0) return sign | read_as<std::uint32_t>(&denormal, 0);
    return sign | (exponent == 31 ? 255 : exponent + 112) << 23 | (half & 1023) << 13;
}

// A value as bits, of a double or of a float, because -ffast-math compiles isfinite() to true.
struct Number {
    bool wide;
    std::uint64_t bits = 0;

    Number(char type, const void* data, std::size_t i) : wide(type == 'd') {
        if (type == 'd') bits = read_as<std::uint64_t>(data, i);
        if (type == 'f') bits = read_as<std::uint32_t>(data, i);
        if (type == 'b') bits = std::uint64_t{read_as<std::uint16_t>(data, i)} << 16;
        if (type == 'h') bits = half_to_float(read_as<std::uint16_t>(data, i));
    }

    bool negative() const { return bits >> (wide ? 63 : 31); }
    std::uint64_t magnitude() const { return bits & (wide ? ~0ull >> 1 : 0x7FFFFFFF); }
    const char* nonfinite() const {
        const std::uint64_t infinity = wide ? 0x7FFull << 52 : 0x7F800000;
        if (magnitude() < infinity) return nullptr;
        return magnitude() > infinity ? "nan" : negative() ? "-inf" : "inf";
    }
    void append_to(std::string& out) const {
        char text[40], *const end = text + sizeof text;
        if (nonfinite()) {
            out += "null";
        } else if (magnitude() == 0) {
            out += negative() ? "-0.0" : "0";  // many readers take -0 for an integer
        } else if (!wide && magnitude() == 0x15AE43FD) {
            // The one float that its shortest text, parsed to double and cast, misses.
            out += negative() ? "-7.0385307e-26" : "7.0385307e-26";
        } else if (wide) {
            out.append(text, std::to_chars(text, end, read_as<double>(&bits, 0)).ptr);
        } else {
            const auto narrow = static_cast<std::uint32_t>(bits);
            out.append(text, std::to_chars(text, end, read_as<float>(&narrow, 0)).ptr);
        }
    }
};

inline const char* environment(const char* name) {
    const char* value = std::getenv(name);
    return value && *value ? value : nullptr;
}

inline std::string executable_name() {
    char path[4096];
    const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string name(path, n > 0 ? static_cast<std::size_t>(n) : 0);
    return name.substr(name.rfind('/') + 1);
}

inline std::string replacement(char key) {  // of %key in a file name
    char host[256] = "";
    if (key == 'p') return std::to_string(::getpid());
    if (key == 'e') return executable_name();
    if (key == 'h') return ::gethostname(host, sizeof host - 1) == 0 ? host : "";
    if (key != 'r') return {'%', key};
    for (const char* name : {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}) {
        if (environment(name)) return environment(name);
    }
    return "0";
}

inline std::string expand(const std::string& name) {
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const bool key = name[i] == '%' && i + 1 < name.size();
        out += key ? replacement(name[++i]) : std::string(1, name[i]);
    }
    return out;
}

class Logger {
  public:
    // Never destroyed: static destructors and threads that outlive main() may still log.
    static Logger& instance() {
        static Logger* const logger = new Logger;
        return *logger;
    }

    void record(const char* checkpoint, const void* data, std::size_t count, const char* dtype,
                const char* shape, std::int64_t token_idx) {
        const std::lock_guard<std::mutex> lock(mutex_);
        notice_fork();
        const std::size_t begin = buffer_.size();
        try {
            append_record(checkpoint, data, count, dtype ? dtype : "f32", shape, token_idx);
        } catch (...) {
            buffer_.resize(begin);  // out of memory: lose this line, keep the others whole
        }
        if (buffer_.size() >= kBufferSize || exiting_) write_out();
    }

    void flush(bool exiting = false) {
        const std::lock_guard<std::mutex> lock(mutex_);
        notice_fork();
        exiting_ = exiting_ || exiting;  // nobody flushes after this: write each line at once
        write_out();
    }

    bool good() const { return fd_ >= 0; }

  private:
    static constexpr std::size_t kBufferSize = 64 * 1024;

    Logger() {
        if (!environment("ORCH_LOG_FILE")) return;
        name_ = environment("ORCH_LOG_FILE");
        const char* team = environment("ORCH_LOG_TEAM");
        append_string(team_, team ? team : executable_name().c_str());
        if (const char* text = environment("ORCH_LOG_VALUES")) {
            const char* const end = text + std::strlen(text);
            std::size_t n = 0;
            const auto [stop, error] = std::from_chars(text, end, n);
            if (error == std::errc() && stop == end && n > 0) values_ = n;
        }
        buffer_.reserve(kBufferSize + 4096);
        if (!open_file()) return;
        // A child must not find the mutex held by a thread that it does not have.
        const auto unlock = [] { instance().mutex_.unlock(); };
        pthread_atfork([] { instance().mutex_.lock(); }, unlock, unlock);
        std::atexit([] { instance().flush(true); });
    }

    void append_record(const char* checkpoint, const void* data, std::size_t count,
                       const char* dtype, const char* shape, std::int64_t token_idx) {
        std::string& out = buffer_;
        out += "{\"ts\":\"";
        append_time(out);
        out.append("\",\"team\":").append(team_).append(",\"checkpoint\":");
        append_string(out, checkpoint);
        out.append(",\"token_idx\":").append(std::to_string(token_idx)).append(",\"dtype\":");
        append_string(out, dtype);
        out += ",\"shape\":";
        append_string(out, shape);

        const char type = parse_dtype(dtype);
        // A count beyond half the address space was a negative number.
        const bool readable = data && type && count <= SIZE_MAX / 2;
        const std::size_t n = readable ? (count < values_ ? count : values_) : 0;
        bool any = false;
        for (std::size_t i = 0; i < n; ++i) {
            const char* const name = Number(type, data, i).nonfinite();
            if (!name) continue;
            out.append(any ? ",[" : ",\"nonfinite\":[[").append(std::to_string(i));
            out.append(",\"").append(name).append("\"]");
            any = true;
        }
        out += any ? "],\"values\":[" : ",\"values\":[";
        for (std::size_t i = 0; i < n; ++i) {
            if (i) out += ',';
            Number(type, data, i).append_to(out);
        }
        out += "]}\n";
    }

    // What a child inherits in the buffer is its parent's to write.
    void notice_fork() {
        if (::getpid() == pid_) return;
        pid_ = ::getpid();
        buffer_.clear();
        if (name_.find("%p") == std::string::npos) return;
        if (is_open()) ::close(fd_);
        open_file();
    }

    bool open_file() {
        fd_ = ::open(expand(name_).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        return fd_ >= 0 && ::fstat(fd_, &file_) == 0;
    }

    // Programs that close every descriptor they did not open may have reused this number.
    bool is_open() const {
        struct stat s {};
        return fd_ >= 0 && ::fstat(fd_, &s) == 0 && s.st_dev == file_.st_dev &&
               s.st_ino == file_.st_ino;
    }

    // One write(2) of whole lines, so that processes which share the file never mix lines.
    void write_out() {
        bool good = buffer_.empty() || is_open() || open_file();
        for (std::size_t done = 0; good && done < buffer_.size();) {
            const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
            if (n > 0) done += static_cast<std::size_t>(n);
            good = n > 0 || (n < 0 && errno == EINTR);
        }
        if (!good) g_mode.store(kOff, std::memory_order_relaxed);
        buffer_.clear();
    }

    std::mutex mutex_;
    std::string name_, team_, buffer_;  // team_ is JSON already
    std::size_t values_ = 10;
    pid_t pid_ = ::getpid();
    int fd_ = -1;
    struct stat file_ {};
    bool exiting_ = false;
};

inline int start() noexcept {
    const Quiet quiet;
    int mode = kOff, expected = kUnknown;
    try {
        decltype(&orch_trace_log) library = nullptr;
        ORCHTRACE_ADDRESS_(library, orch_trace_log);
        mode = library ? kLibrary : Logger::instance().good() ? kFile : kOff;
    } catch (...) {
    }
    // Another thread may have come first, and its file may have failed since.
    return g_mode.compare_exchange_strong(expected, mode) ? mode : expected;
}

// Out of line, so that a call site is one load and one branch.
[[gnu::noinline, gnu::cold]] inline bool decide(int mode) noexcept {
    if (mode == kUnknown) mode = start();
    return mode == kFile || (mode == kLibrary && orch_log_enabled());
}

inline bool live() noexcept {
    const int mode = g_mode.load(std::memory_order_relaxed);
    return __builtin_expect(mode != kOff, 0) && decide(mode);
}

[[gnu::noinline]] inline void record(const char* checkpoint, const void* data, std::size_t count,
                                     const char* dtype, const char* shape,
                                     std::int64_t token_idx) noexcept {
    const Quiet quiet;
    if (g_mode.load(std::memory_order_relaxed) == kLibrary)
        return orch_log(checkpoint, data, count, dtype, shape, token_idx);
    Logger::instance().record(checkpoint, data, count, dtype, shape, token_idx);
}

[[gnu::noinline]] inline void flush() noexcept {
    const int mode = g_mode.load(std::memory_order_relaxed);
    if (mode == kOff) return;
    const Quiet quiet;
    if (mode != kFile) return orch_log_flush();
    Logger::instance().flush();
}

}  // namespace orchlog
#endif  // ORCH_LOGGING
