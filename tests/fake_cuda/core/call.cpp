#include "core/call.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace fake {
namespace {

struct Fault {
    std::string name;
    std::uint64_t at;
    bool onwards;
    int code;  ///< 0: what the function would rather say
};

std::vector<Fault> parse_faults(const char* text) {
    std::vector<Fault> faults;
    std::string_view rest = text == nullptr ? "" : text;
    while (!rest.empty()) {
        const std::string item(rest.substr(0, rest.find(',')));
        rest.remove_prefix(std::min(rest.size(), item.size() + 1));
        const std::size_t colon = item.find(':');
        if (colon == std::string::npos) {
            std::fprintf(stderr, "fake_cuda: FAKE_CUDA_FAIL wants NAME:N, not \"%s\"\n",
                         item.c_str());
            std::_Exit(2);
        }
        char* end = nullptr;
        Fault fault{item.substr(0, colon), std::strtoull(item.c_str() + colon + 1, &end, 10), false,
                    0};
        if (*end == '+') {
            fault.onwards = true;
            ++end;
        }
        if (*end == '=') fault.code = static_cast<int>(std::strtol(end + 1, nullptr, 10));
        faults.push_back(fault);
    }
    return faults;
}

struct State {
    int journal = -1;
    bool executions = false;
    std::uint64_t lost_at = 0;
    std::atomic<bool> lost{false};
    std::vector<Fault> faults;
    std::mutex mutex;
    std::map<std::string, std::uint64_t, std::less<>> counts;
    std::atomic<std::uint64_t> numbers{0};
    std::atomic<std::uint64_t> threads{0};

    State() {
        if (const char* path = std::getenv("FAKE_CUDA_JOURNAL")) {
            journal = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
            if (journal < 0)
                std::fprintf(stderr, "fake_cuda: cannot open %s: %s\n", path, std::strerror(errno));
        }
        executions = journal >= 0 && std::getenv("FAKE_CUDA_JOURNAL_EXEC") != nullptr;
        if (const char* at = std::getenv("FAKE_CUDA_LOSE_CONTEXT_AT"))
            lost_at = std::strtoull(at, nullptr, 10);
        faults = parse_faults(std::getenv("FAKE_CUDA_FAIL"));
    }
};

/// Never destroyed: calls come from the destructors of other libraries.
State& state() {
    static State* const one = new State;
    return *one;
}

thread_local Call* current_call = nullptr;
thread_local std::uint64_t thread_number = 0;

void write_line(std::string line) {
    line += '\n';
    // O_APPEND and one write: lines of several threads and processes do not mix.
    while (::write(state().journal, line.data(), line.size()) < 0 && errno == EINTR) {
    }
}

int default_error(std::string_view name, bool blas) {
    const bool allocates = name.find("Alloc") != name.npos || name.find("Malloc") != name.npos;
    if (blas) return name.find("Create") != name.npos ? blas_alloc_failed : blas_execution_failed;
    return allocates ? out_of_memory : unknown_error;
}

}  // namespace

void Fields::raw(std::string_view key, std::string_view json) {
    if (!text_.empty()) text_ += ',';
    text_ += '"';
    text_ += key;
    text_ += "\":";
    text_ += json;
}

void Fields::add(std::string_view key, double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value);
    raw(key, std::strpbrk(text, "in") != nullptr ? "null" : text);
}

void Fields::add(std::string_view key, const char* text) {
    if (text == nullptr) return raw(key, "null");
    std::string json = "\"";
    for (; *text != '\0'; ++text) {
        if (*text == '"' || *text == '\\') json += '\\';
        json += static_cast<unsigned char>(*text) < 0x20 ? ' ' : *text;
    }
    raw(key, json + '"');
}

void Fields::add(std::string_view key, Dim3 v) {
    raw(key,
        '[' + std::to_string(v.x) + ',' + std::to_string(v.y) + ',' + std::to_string(v.z) + ']');
}

void Fields::add(std::string_view key, const RuntimePitched& v) {
    add(key, v.data);
    add(std::string(key) + "_pitch", static_cast<std::uint64_t>(v.pitch));
}

void Fields::add(std::string_view key, const RuntimeExtent& v) {
    raw(key, '[' + std::to_string(v.width) + ',' + std::to_string(v.height) + ',' +
                 std::to_string(v.depth) + ']');
}

void lose_context() {
    state().lost = true;
}

bool context_is_lost() {
    return state().lost;
}

std::uint64_t this_thread() {
    if (thread_number == 0) thread_number = state().threads.fetch_add(1) + 1;
    return thread_number;
}

int& last_error() {
    thread_local int error = 0;
    return error;
}

Call::Call(const char* name, const char* library, CallFlags flags)
    : name_(name), library_(library), flags_(flags) {
    const std::size_t digits = library_.find_last_not_of("0123456789") + 1;
    major_ = digits < library_.size() ? std::atoi(library + digits) : 0;
    parent_ = current_call;
    current_call = this;
    if (flags.quiet) return;
    number_ = state().numbers.fetch_add(1) + 1;
    journalled_ = state().journal >= 0;
    if (journalled_ || !state().faults.empty()) {
        const std::lock_guard lock(state().mutex);
        nth_ = ++state().counts[name];
    }
}

Call::~Call() {
    current_call = parent_;
    if (!journalled_) return;
    Fields line;
    line.add("call", name_);
    line.add("number", number_);
    line.add("nth", nth_);
    line.raw("lib", '"' + std::string(library_) + '"');
    line.add("pid", static_cast<int>(::getpid()));
    line.add("thread", this_thread());
    if (parent_ != nullptr) line.add("parent", parent_->number());
    if (ended_) line.add("result", result_);
    line.raw("args", '{' + arguments_.text() + '}');
    std::string text = '{' + line.text();
    if (!notes_.text().empty()) text += ',' + notes_.text();
    write_line(text + '}');
}

Call* Call::current() {
    return current_call;
}

int Call::refuse() {
    if (state().lost || (state().lost_at != 0 && number_ >= state().lost_at)) {
        return blas() ? static_cast<int>(blas_execution_failed) : static_cast<int>(illegal_address);
    }
    for (const Fault& fault : state().faults) {
        if (fault.name != name_ || (fault.onwards ? nth_ < fault.at : nth_ != fault.at)) continue;
        return fault.code != 0 ? fault.code : default_error(name_, blas());
    }
    return 0;
}

int Call::end(int result) {
    ended_ = true;
    result_ = result;
    if (result != ok && library_.starts_with("cudart")) last_error() = result;
    return result;
}

void journal_execution(NodeKind kind, const std::string& label, std::uint64_t stream,
                       std::uint64_t call, std::uint64_t graph_exec, std::uint64_t replay) {
    if (!state().executions) return;
    Fields line;
    line.add("exec", name_of(kind));
    line.add("label", label);
    line.add("stream", stream);
    line.add("of", call);
    if (graph_exec != 0) {
        line.add("graph_exec", graph_exec);
        line.add("replay", replay);
    }
    write_line('{' + line.text() + '}');
}

}  // namespace fake
