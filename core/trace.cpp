#include "core/trace.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <new>

#include "core/futex.hpp"
#include "core/quiet_thread.hpp"
#include "core/records.hpp"
#include "core/unnoticed.hpp"

namespace orch {
namespace {

constexpr int flush_ms = 100;
constexpr int ledger_seconds = 5;
/// Only an engine that is being torn down waits this long, and only if the disk hangs.
constexpr int patience_ms = 5000;

/// The buffer lent to this thread, and by which Trace: a forked child's first record finds the
/// parent's here and must not use it.
struct Lent {
    Trace* trace;
    ThreadBuffer* buffer;
};
thread_local constinit Lent lent{nullptr, nullptr};
/// Of the drain thread alone: the ledger written last was a final one.
thread_local constinit bool final_ledger_written = false;
thread_local constinit bool is_drain_thread = false;

/// main() left by pthread_exit and every other thread has ended since: but for the drain thread,
/// the process would be over. Costs no descriptor, whose number the engine might miss.
bool engine_has_ended() noexcept {
    char path[8];
    struct stat tasks = {};
    return ::readlink("/proc/self/exe", path, sizeof path) < 0 && errno == ENOENT &&
           ::stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 2 + 2;
}

void release_buffer(void* buffer) noexcept {
    lent = {nullptr, nullptr};  // another key's destructor may still compute on this thread
    static_cast<ThreadBuffer*>(buffer)->taken.store(false, std::memory_order_release);
}

std::int64_t now_ms() noexcept {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

void write_two(char* out, int value) {
    out[0] = static_cast<char>('0' + value / 10);
    out[1] = static_cast<char>('0' + value % 10);
}

/// "2026-01-31T12:00:00", 19 characters.
void write_second(char* out, std::int64_t second) noexcept {
    // Not gmtime_r: its first call reads the time zone, with a lock, malloc and files.
    const std::chrono::sys_seconds time{std::chrono::seconds{second}};
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    const int year = static_cast<int>(date.year());
    write_two(out, year / 100);
    write_two(out + 2, year % 100);
    out[4] = '-';
    write_two(out + 5, static_cast<int>(static_cast<unsigned>(date.month())));
    out[7] = '-';
    write_two(out + 8, static_cast<int>(static_cast<unsigned>(date.day())));
    out[10] = 'T';
    write_two(out + 11, static_cast<int>(clock.hours().count()));
    out[13] = ':';
    write_two(out + 14, static_cast<int>(clock.minutes().count()));
    out[16] = ':';
    write_two(out + 17, static_cast<int>(clock.seconds().count()));
}

}  // namespace

Trace* Trace::start(const Config& config, const PathFacts& facts) noexcept {
    const KeepErrno keep;
    void* memory = map_pages(sizeof(Trace));
    void* staging = map_pages(TraceFile::staging_size);
    if (memory == nullptr || staging == nullptr) return nullptr;
    auto* trace = new (memory) Trace(config, facts.pid);
    trace->file_.use_staging(static_cast<char*>(staging));
    trace->file_.open(expand_path(config.log_file, facts), facts.pid);

    char team[1600];
    JsonLine line{team};
    line.field("team", std::string_view{config.team});
    trace->team_json_.append({team, line.size()});

    if (::pthread_key_create(&trace->key_, release_buffer) != 0) return nullptr;
    return start_quiet_thread(drain_main, trace) ? trace : nullptr;
}

ThreadBuffer* Trace::thread_buffer() noexcept {
    if (lent.trace == this) [[likely]]
        return lent.buffer;
    ThreadBuffer* buffer = adopt_or_create_buffer();
    if (buffer == nullptr) return nullptr;
    lent = {this, buffer};
    ::pthread_setspecific(key_, buffer);
    return buffer;
}

ThreadBuffer* Trace::adopt_or_create_buffer() noexcept {
    const KeepErrno keep;
    for (ThreadBuffer* b = buffers_.load(std::memory_order_acquire); b != nullptr; b = b->next) {
        bool free = false;
        if (b->taken.compare_exchange_strong(free, true, std::memory_order_acquire)) return b;
    }
    constexpr std::size_t header = (sizeof(ThreadBuffer) + 4095) & ~std::size_t{4095};
    char* memory = static_cast<char*>(map_pages(header + Ring::capacity));
    if (memory == nullptr) return nullptr;
    auto* buffer = new (memory) ThreadBuffer(memory + header);
    buffer->next = buffers_.load(std::memory_order_relaxed);
    while (!buffers_.compare_exchange_weak(buffer->next, buffer, std::memory_order_release,
                                           std::memory_order_relaxed)) {
    }
    return buffer;
}

std::span<char> Trace::reserve(std::size_t max_bytes, ThreadBuffer*& buffer) noexcept {
    // Without memory for a buffer the line overflows at once and is counted as dropped.
    static constinit ThreadBuffer no_buffer{nullptr};
    buffer = thread_buffer();
    if (buffer == nullptr || max_bytes > TraceFile::max_line) {
        buffer = &no_buffer;
        return {};
    }
    std::span<char> space = buffer->ring.reserve(max_bytes);
    if (space.empty()) {
        flush();
        space = buffer->ring.reserve(max_bytes);
    }
    return space;
}

bool Trace::commit(ThreadBuffer& buffer, const JsonLine& line,
                   std::atomic<std::uint64_t>* counter) noexcept {
    if (line.overflowed()) return false;
    buffer.ring.commit(line.size());
    bump(ledger_.lines);
    if (counter != nullptr) bump(*counter);
    const std::size_t used = buffer.ring.used();
    if (finishing_.load(std::memory_order_relaxed)) [[unlikely]] {
        flush();
    } else if (used > TraceFile::batch_size && used - line.size() <= TraceFile::batch_size) {
        wake_drain();  // once, by the line that fills the batch
    }
    return true;
}

void Trace::begin_line(JsonLine& line, ThreadBuffer& buffer) noexcept {
    timespec now = {};
    ::clock_gettime(CLOCK_REALTIME, &now);
    line.open_object();
    char* out = line.reserve(team_json_.size() + 40);
    if (out == nullptr) return;
    if (buffer.second != now.tv_sec) {
        write_second(buffer.second_text, now.tv_sec);
        buffer.second = now.tv_sec;
    }
    constexpr std::string_view prefix = "\"ts\":\"";
    std::memcpy(out, prefix.data(), prefix.size());
    out += prefix.size();
    std::memcpy(out, buffer.second_text, 19);
    out += 19;
    const int ms = static_cast<int>(now.tv_nsec / 1000000);
    *out++ = '.';
    *out++ = static_cast<char>('0' + ms / 100);
    write_two(out, ms % 100);
    out += 2;
    constexpr std::string_view zulu = "Z\",";
    std::memcpy(out, zulu.data(), zulu.size());
    out += zulu.size();
    std::memcpy(out, team_json_.c_str(), team_json_.size());
    line.advance_to(out + team_json_.size());
}

void Trace::wake_drain() noexcept {
    const KeepErrno keep;
    wake_.fetch_add(1, std::memory_order_release);
    futex_wake_all(wake_);
}

bool Trace::flush() noexcept {
    const KeepErrno keep;
    if (is_drain_thread) {  // in exit(), see drain_loop
        drain_rings();
        add_ledger(finishing_.load(std::memory_order_acquire));
        file_.flush(true);
        return true;
    }
    const std::uint32_t mine = asked_.fetch_add(1, std::memory_order_acq_rel) + 1;
    wake_drain();
    // By the clock: an engine's interval timer cuts every wait short.
    for (const std::int64_t end = now_ms() + patience_ms; now_ms() < end;) {
        const std::uint32_t done = answered_.load(std::memory_order_acquire);
        if (static_cast<std::int32_t>(done - mine) >= 0) return true;
        futex_wait(answered_, done, flush_ms);
    }
    return false;
}

bool Trace::finish() noexcept {
    finishing_.store(true, std::memory_order_release);
    return flush();
}

std::int64_t Trace::append_sidecar(const void* data, std::size_t size) noexcept {
    const KeepErrno keep;
    bool busy = false;
    while (!sidecar_busy_.compare_exchange_weak(busy, true, std::memory_order_acquire)) {
        busy = false;
        ::sched_yield();
    }
    const std::int64_t offset = file_.append_sidecar(data, size);
    sidecar_busy_.store(false, std::memory_order_release);
    return offset;
}

void* Trace::drain_main(void* self) noexcept {
    ::pthread_setname_np(::pthread_self(), "orchtrace");
    static_cast<Trace*>(self)->drain_loop();
    return nullptr;
}

void Trace::drain_loop() noexcept {
    is_drain_thread = true;
    for (;;) {
        const std::uint32_t seen = wake_.load(std::memory_order_acquire);
        const std::uint32_t asked = asked_.load(std::memory_order_acquire);
        const bool final = finishing_.load(std::memory_order_acquire);
        drain_rings();
        add_ledger(final);
        file_.flush(final);
        ledger_.lost_lines.fetch_add(file_.take_lost_lines(), std::memory_order_relaxed);
        if (answered_.exchange(asked, std::memory_order_acq_rel) != asked)
            futex_wake_all(answered_);
        futex_wait(wake_, seen, flush_ms);
        // To return is to be the last thread that does: libc calls exit(0) then, as without us.
        if (wake_.load(std::memory_order_acquire) == seen && engine_has_ended()) return;
    }
}

void Trace::drain_rings() noexcept {
    const auto drain = [this](Ring& ring) {
        for (std::string_view lines = ring.peek(); !lines.empty(); lines = ring.peek()) {
            file_.add(lines);
            ring.consume(lines.size());
        }
    };
    ThreadBuffer* const newest = buffers_.load(std::memory_order_acquire);
    if (newest == nullptr) return;
    // The oldest first: it has the header.
    ThreadBuffer* oldest = newest;
    while (oldest->next != nullptr)
        oldest = oldest->next;
    drain(oldest->ring);
    for (ThreadBuffer* b = newest; b != oldest; b = b->next)
        drain(b->ring);
}

/// Every few seconds and at the end, if anything was written since the last one.
void Trace::add_ledger(bool final) noexcept {
    const std::uint64_t lines = ledger_.lines.load(std::memory_order_relaxed);
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (last_ledger_second_ == 0) last_ledger_second_ = now.tv_sec;
    if (lines == lines_at_last_ledger_ && (!final || final_ledger_written)) return;
    if (!final && now.tv_sec - last_ledger_second_ < ledger_seconds) return;
    final_ledger_written = final;
    char space[4096];
    JsonLine line{space};
    begin_line(line, drain_clock_);
    write_ledger_members(line, ledger_, file_, final);
    line.close_object();
    line.newline();
    file_.add({space, line.size()});
    lines_at_last_ledger_ = lines;
    last_ledger_second_ = now.tv_sec;
}

}  // namespace orch
