// One process's trace: every thread formats whole lines into a ring of its own; one drain thread
// moves them to the file, at 256 KiB or after 100 ms.
//
//   producer thread: record() -> its Ring --+
//   producer thread: record() -> its Ring --+--> drain thread -> TraceFile
//
// Producers take no lock and make no system call, but for waking the drain thread once per 256 KiB,
// and for waiting for it when a ring is full (nothing is dropped for being fast). Only the drain
// thread touches the file, with all signals blocked: a SIGPIPE or SIGXFSZ of ours must not reach
// the engine. A Trace is never freed: other threads may be in it until the process ends.
#pragma once
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/config.hpp"
#include "core/full_dump.hpp"
#include "core/json_line.hpp"
#include "core/ledger.hpp"
#include "core/ring.hpp"
#include "core/scratch.hpp"
#include "core/trace_file.hpp"

namespace orch {

/// What a thread writes through. Owned by the Trace, lent to one thread at a time.
struct ThreadBuffer {
    constexpr explicit ThreadBuffer(char* memory) : ring(memory) {}

    Ring ring;
    std::atomic<bool> taken{true};
    ThreadBuffer* next = nullptr;
    // The text of the current second, so that a timestamp costs three digits.
    std::int64_t second = -1;
    char second_text[20] = {};
    // Probes (core/proof.hpp) of the weight of the last call, where they are not kept elsewhere.
    Scratch probe_workspace;
    Scratch probes;
    std::uint32_t probes_of = 0;  ///< number of that weight; 0: none
    bool probes_usable = false;
};

class Trace {
  public:
    /// Opens the file and starts the drain thread. Null if memory or the thread is not to be had.
    static Trace* start(const Config& config, const PathFacts& facts) noexcept;

    /// Formats one line: `fill(JsonLine&)` adds the members after "ts" and "team". False, and
    /// counted as dropped, if it did not fit into max_bytes (at most TraceFile::max_line).
    template <class Fill>
    bool record(RecordClass record_class, std::size_t max_bytes, Fill&& fill) noexcept {
        ClassCounts& counts = ledger_[record_class];
        const bool written = line(max_bytes, fill, &counts.recorded);
        if (!written) bump(counts.dropped);
        return written;
    }
    /// A line that no class counts: header, ledger, blind spot, row. `counter` is bumped before a
    /// late line is flushed, so that the ledger behind it knows of it.
    template <class Fill>
    bool line(std::size_t max_bytes, Fill&& fill,
              std::atomic<std::uint64_t>* counter = nullptr) noexcept {
        ThreadBuffer* buffer = nullptr;
        JsonLine out{reserve(max_bytes, buffer)};
        begin_line(out, *buffer);
        fill(out);
        out.close_object();
        out.newline();
        return commit(*buffer, out, counter);
    }

    /// Returns when all lines of before are in the file (or lost and counted).
    /// False if the drain thread did not get there in time: the disk hangs.
    bool flush() noexcept;
    /// The same, with the final ledger. A line that comes later (another library's destructor may
    /// still compute) is flushed at once, with a new final ledger behind it.
    bool finish() noexcept;
    /// In a forked child: lets go of the parent's file.
    void abandon() noexcept { file_.abandon(); }

    const Config& config() const noexcept { return config_; }
    Ledger& ledger() noexcept { return ledger_; }
    const TraceFile& file() const noexcept { return file_; }
    FullState& full() noexcept { return full_; }
    long pid() const noexcept { return pid_; }
    /// Numbers calls over all threads, so that a reader can restore their order.
    std::uint64_t next_call() noexcept { return next_calls(1); }
    /// The first of so many numbers in a row.
    std::uint64_t next_calls(std::uint64_t count) noexcept {
        return calls_.fetch_add(count, std::memory_order_relaxed);
    }

    std::int64_t append_sidecar(const void* data, std::size_t size) noexcept;

    /// What this thread keeps between its calls; null without memory.
    ThreadBuffer* this_thread() noexcept { return thread_buffer(); }

  private:
    Trace(const Config& config, long pid) : config_(config), pid_(pid) {}

    std::span<char> reserve(std::size_t max_bytes, ThreadBuffer*& buffer) noexcept;
    bool commit(ThreadBuffer& buffer, const JsonLine& line,
                std::atomic<std::uint64_t>* counter) noexcept;
    void begin_line(JsonLine& line, ThreadBuffer& buffer) noexcept;
    ThreadBuffer* thread_buffer() noexcept;
    ThreadBuffer* adopt_or_create_buffer() noexcept;

    static void* drain_main(void* self) noexcept;
    void drain_loop() noexcept;
    void drain_rings() noexcept;
    void add_ledger(bool final) noexcept;
    void wake_drain() noexcept;

    Config config_;
    long pid_;
    TraceFile file_;
    Ledger ledger_;
    FullState full_;
    std::atomic<ThreadBuffer*> buffers_{nullptr};
    std::atomic<std::uint64_t> calls_{0};
    pthread_key_t key_{};
    FixedString<1600> team_json_;  ///< "team":"..." with its escapes

    std::atomic<std::uint32_t> wake_{0};      ///< bumped to wake the drain thread
    std::atomic<std::uint32_t> asked_{0};     ///< flushes asked for
    std::atomic<std::uint32_t> answered_{0};  ///< flushes done
    std::atomic<bool> finishing_{false};
    std::atomic<bool> sidecar_busy_{false};
    // The drain thread's own.
    std::uint64_t lines_at_last_ledger_ = 0;
    std::int64_t last_ledger_second_ = 0;
    ThreadBuffer drain_clock_{nullptr};  ///< its timestamp cache; the ring is not used
};

}  // namespace orch
