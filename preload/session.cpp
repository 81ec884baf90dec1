#include "preload/session.hpp"

#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#include "core/hash.hpp"
#include "core/records.hpp"
#include "core/slice.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/resolver.hpp"

namespace orch::session {
namespace {

enum State : int { unread, off, on };  // or minus the pid of the process that is reading it

constinit std::atomic<int> state{unread};
alignas(Config) constinit unsigned char config_memory[sizeof(Config)] = {};

struct Running {
    Trace* trace;
    WeightTable weights;
    std::atomic<std::uint32_t> blind_spots[64];  ///< hashes of what was said already
    std::atomic<std::int64_t> passes;
};
constinit std::atomic<Running*> running{nullptr};
constinit std::atomic<bool> starting{false};
constinit std::atomic<int> cannot_start{0};  ///< pid of the process that tried in vain
constinit std::atomic<int> reader{0};        ///< pid of the process that read the environment
/// A word that the kernel zeroes in a forked child, however it was forked: a load tells whether the
/// trace is this process's own.
constinit std::atomic<std::uint32_t*> alive{nullptr};
thread_local constinit std::int64_t pass_of_thread = -1;

Config& mutable_config() noexcept {
    return *std::launder(reinterpret_cast<Config*>(config_memory));
}

FixedString<255> executable_name() noexcept {
    char path[4096];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string_view name = file_name({path, size > 0 ? static_cast<std::size_t>(size) : 0});
    return FixedString<255>{name.empty() ? std::string_view{"unknown"} : name};
}

const char* safe_getenv(const char* name) {
    return ::getenv(name);
}

int read_environment() noexcept {
    const int reading = -::getpid();
    int expected = unread;
    // Another pid: a fork met the parent while it was reading.
    while (!state.compare_exchange_weak(expected, reading, std::memory_order_acq_rel)) {
        if (expected > 0) return expected;
        if (expected == reading) expected = unread;
    }
    auto* config = new (config_memory) Config(read_config(safe_getenv));
    reader.store(-reading, std::memory_order_relaxed);
    if (config->team.empty()) config->team = executable_name();
    const int result = config->enabled() ? on : off;
    state.store(result, std::memory_order_release);
    return result;
}

int current_state() noexcept {
    const int seen = state.load(std::memory_order_acquire);
    return seen == off || seen == on ? seen : read_environment();
}

std::string_view rank_of_process() noexcept {
    for (const char* name : {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}) {
        if (const char* value = ::getenv(name); value != nullptr && *value != '\0') return value;
    }
    return "0";
}

void write_arguments(JsonLine& line) noexcept {
    line.key("argv");
    line.open_array();
    static constinit char text[8192] = {};  // starting is guarded: one thread at a time
    std::size_t size = 0;
    if (FILE* file = ::fopen("/proc/self/cmdline", "re"); file != nullptr) {
        size = ::fread(text, 1, sizeof text, file);
        ::fclose(file);
    }
    for (std::size_t at = 0; at < size;) {
        const std::size_t length = ::strnlen(text + at, size - at);
        line.string({text + at, length});
        at += length + 1;
    }
    line.close_array();
}

/// Libraries that decide what the numbers are.
bool is_interesting(std::string_view path) noexcept {
    const std::string_view name = file_name(path);
    for (std::string_view part :
         {"blas", "lapack", "mkl", "dnnl", "ggml", "llama", "torch", "libcuda", "cudnn", "nccl",
          "onnx", "gomp", "iomp", "orchtrace"}) {
        if (name.find(part) != std::string_view::npos) return true;
    }
    return false;
}

int write_library(dl_phdr_info* info, std::size_t, void* data) noexcept {
    if (is_interesting(info->dlpi_name)) static_cast<JsonLine*>(data)->string(info->dlpi_name);
    return 0;
}

void write_config(JsonLine& line, const Config& config) noexcept {
    line.key("config");
    line.open_object();
    line.field("checkpoints", config.checkpoints.text());
    line.field("values", config.values);
    FixedString<15> rows;
    if (config.rows == all_rows) {
        rows.append("all");
    } else {
        rows.append_number(static_cast<unsigned long long>(config.rows));
    }
    line.field("rows", std::string_view{rows});
    constexpr const char* weight_modes[] = {"proof", "sketch", "names", "off"};
    line.field("weights", weight_modes[static_cast<int>(config.weights)]);
    line.field("capture", config.capture == CaptureMode::mark ? "mark" : "callback");
    constexpr const char* graph_modes[] = {"digest", "report", "off"};
    line.field("graphs", graph_modes[static_cast<int>(config.graphs)]);
    line.field("memory", config.memory_bytes);
    line.field("full", config.full.text());
    line.field("full_limit", config.full_limit);
    line.field("full_ring", config.full_ring);
    FixedString<31> probes;
    if (config.probe_blas) probes.append("blas,");
    if (config.probe_onednn) probes.append("onednn,");
    if (config.probe_ggml) probes.append("ggml,");
    if (config.probe_cublas) probes.append("cublas,");
    if (config.probe_cuda) probes.append("cuda,");
    probes.truncate(probes.size() - (probes.empty() ? 0 : 1));
    line.field("probes", std::string_view{probes});
    line.field("exclude", config.exclude.text());
    line.close_object();
}

/// The same in no two runs, so that a reader can tell which segments belong together.
std::uint64_t run_id() noexcept {
    std::uint64_t id = 0;
    if (::getrandom(&id, sizeof id, GRND_NONBLOCK) == sizeof id) return id;
    timespec now = {};
    ::clock_gettime(CLOCK_REALTIME, &now);
    const auto time = static_cast<std::uint64_t>(now.tv_sec) * 1000000000U +
                      static_cast<std::uint64_t>(now.tv_nsec);
    return mix64(mix64(time) + static_cast<std::uint64_t>(::getpid()));
}

void write_header(Trace& trace, const PathFacts& facts) noexcept {
    trace.line(256 * 1024, [&](JsonLine& line) {
        write_bare_envelope(line, "orchtrace.header", "header");
        line.field("schema", format_version);
        line.field("version", ORCH_VERSION);
        line.key("run");
        line.hex64(run_id());
        line.field("pid", static_cast<std::int64_t>(facts.pid));
        line.field("ppid", static_cast<std::int64_t>(::getppid()));
        line.field("host", facts.host);
        line.field("executable", facts.executable);
        write_arguments(line);
        line.field("isa", digest_isa());
        line.field("backend", "preload");
        write_config(line, trace.config());
        line.key("libraries");
        line.open_array();
        ::dl_iterate_phdr(write_library, &line);
        line.close_array();
        line.key("problems");
        line.open_array();
        for (std::size_t i = 0; i < trace.config().problems; ++i) {
            line.string(trace.config().problem[i]);
        }
        line.close_array();
        line.empty_array("values");
    });
}

bool mark_alive() noexcept {
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || ::madvise(page, 4096, MADV_WIPEONFORK) != 0) return false;
    auto* word = static_cast<std::uint32_t*>(page);
    *word = 1;
    alive.store(word, std::memory_order_release);
    return true;
}

bool is_own_process() noexcept {
    const std::uint32_t* word = alive.load(std::memory_order_acquire);
    return word != nullptr && __atomic_load_n(word, __ATOMIC_RELAXED) == 1;
}

Running* start() noexcept {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    const FixedString<255> executable = executable_name();
    const PathFacts facts{::getpid(), rank_of_process(), host, executable};
    void* memory = ::mmap(nullptr, sizeof(Running), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || !mark_alive()) return nullptr;
    auto* fresh = static_cast<Running*>(memory);  // zeros are its initial state
    fresh->trace = Trace::start(config(), facts);
    if (fresh->trace == nullptr) return nullptr;
    write_header(*fresh->trace, facts);
    return fresh;
}

/// One thread starts; the others wait, or their first records would be lost.
Running* start_once() noexcept {
    const int self = ::getpid();
    bool free = false;
    while (!starting.compare_exchange_weak(free, true, std::memory_order_acquire))
        free = false;
    Running* now = running.load(std::memory_order_acquire);
    if (now != nullptr && !is_own_process()) {
        // A forked child. The parent's trace, its drain thread and its lines stay the parent's.
        now->trace->abandon();
        now = nullptr;
    }
    if (now == nullptr && cannot_start.load(std::memory_order_relaxed) != self) {
        const Guard guard;
        const int saved = errno;
        now = start();
        errno = saved;
        cannot_start.store(now == nullptr ? self : 0, std::memory_order_relaxed);
        running.store(now, std::memory_order_release);
    }
    starting.store(false, std::memory_order_release);
    return now;
}

/// A fork waits until nobody is starting: in that moment the loader's list may be locked.
void before_fork() noexcept {
    bool free = false;
    while (!starting.compare_exchange_weak(free, true, std::memory_order_acquire))
        free = false;
}

void after_fork() noexcept {
    starting.store(false, std::memory_order_release);
}

__attribute__((constructor)) void watch_forks() noexcept {
    ::pthread_atfork(before_fork, after_fork, after_fork);
}

Running* current() noexcept {
    Running* now = running.load(std::memory_order_acquire);
    if (now != nullptr && is_own_process()) [[likely]]
        return now;
    if (!enabled()) return nullptr;
    return start_once();
}

void say(std::string_view text) noexcept {
    FixedString<4600> line{"orchtrace: "};
    line.append(text);
    line.append("\n");
    (void)!::write(STDERR_FILENO, line.c_str(), line.size());
}

/// What the user must know and the trace cannot tell, once, when the engine is done.
void report_problems(const Trace& trace, Ledger& ledger, bool in_time) noexcept {
    for (std::size_t i = 0; i < trace.config().problems; ++i)
        say(trace.config().problem[i]);
    if (!in_time) {
        FixedString<4500> text{"cannot write all of "};
        text.append(trace.file().path());
        text.append(": it takes no more; the last lines are lost, the engine was not disturbed");
        say(text);
        return;
    }
    const std::uint64_t lost = ledger.lost_lines.load();
    if (!trace.file().is_open() || lost != 0) {
        FixedString<4500> text{trace.file().is_open() ? "cannot write all of " : "cannot open "};
        text.append(trace.file().path());
        text.append(": ");
        text.append(::strerrordesc_np(trace.file().error()));
        text.append("; ");
        text.append_number(lost);
        text.append(" lines are lost, the engine was not disturbed");
        say(text);
    }
}

/// A trace was asked for and there is none.
void report_no_trace() noexcept {
    int self = ::getpid();
    constexpr std::string_view file_refused = "ORCH_LOG_FILE=";
    if (state.load(std::memory_order_acquire) == off && reader.exchange(0) == self &&
        std::string_view{config().problem[0]}.starts_with(file_refused)) {
        say(config().problem[0]);
    }
    if (cannot_start.compare_exchange_strong(self, 0)) {
        FixedString<4500> text{"cannot write "};
        text.append(config().log_file);
        text.append(
            ": no memory or no thread to be had; there is no trace, the engine was not disturbed");
        say(text);
    }
}

}  // namespace

bool enabled() noexcept {
    return current_state() == on;
}

const Config& config() noexcept {
    return mutable_config();
}

bool probe_active(ProbeId probe) noexcept {
    if (!enabled()) return false;
    const Config& c = config();
    const Selector& s = c.checkpoints;
    const bool gemm = s.group(CheckpointGroup::gemm) || s.has_globs();
    const bool any = gemm || s.group(CheckpointGroup::layers) || s.group(CheckpointGroup::logits);
    switch (probe) {
        case ProbeId::blas:
            return c.probe_blas && gemm;
        case ProbeId::onednn:
            return c.probe_onednn && gemm;
        case ProbeId::ggml:
        case ProbeId::llama:
            return c.probe_ggml;
        case ProbeId::cublas:
            return c.probe_cublas && any;
        case ProbeId::cuda:
            return (c.probe_cublas || c.probe_cuda) && any;
        case ProbeId::count:
            break;
    }
    return false;
}

Trace* trace() noexcept {
    Running* now = current();
    return now != nullptr ? now->trace : nullptr;
}

Trace* running_trace() noexcept {
    Running* now = running.load(std::memory_order_acquire);
    return now != nullptr && is_own_process() ? now->trace : nullptr;
}

WeightTable& weights() noexcept {
    return running.load(std::memory_order_acquire)->weights;
}

void blind_spot(std::string_view what, std::string_view why) noexcept {
    Running* now = current();
    if (now == nullptr) return;
    std::uint32_t hash = 2166136261U;
    for (char c : what)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    hash |= 1U;
    for (auto& said : now->blind_spots) {
        std::uint32_t known = 0;
        if (said.compare_exchange_strong(known, hash)) break;
        if (known == hash) return;
    }
    write_blind_spot(*now->trace, what, why);
}

std::int64_t current_pass() noexcept {
    return pass_of_thread;
}

std::int64_t begin_pass() noexcept {
    Running* now = current();
    pass_of_thread = now != nullptr ? now->passes.fetch_add(1, std::memory_order_relaxed) : -1;
    return pass_of_thread;
}

void end_pass() noexcept {
    pass_of_thread = -1;
}

void finish() noexcept {
    Trace* now = running_trace();
    if (now == nullptr) return report_no_trace();
    const Guard guard;
    cuda::finish(*now);
    const bool in_time = now->finish();
    static constinit std::atomic<bool> reported{false};
    if (!reported.exchange(true)) report_problems(*now, now->ledger(), in_time);
}

}  // namespace orch::session
