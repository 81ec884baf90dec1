// Runs a fuzz target without libFuzzer: on the files of its corpus, and on a fixed number of
// mutations of them, the same on every machine.
//
//     fuzz_replay_TARGET [--mutations N] [--seed N] FILE|DIRECTORY...
//
// An input that crashes or hangs is left in ./crash-TARGET.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/target.hpp"

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

namespace fs = std::filesystem;
using Bytes = std::string;

constexpr unsigned hang_seconds = 60;
constexpr std::size_t longest = 64U << 10;

// ---- the input that is under way, for whom it crashes ---------------------------------------

Bytes current;
std::string crash_file;

/// Async-signal-safe.
void keep_current() {
    const int fd = ::open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    (void)!::write(fd, current.data(), current.size());
    ::close(fd);
    for (const char* text : {"fuzz: the input is in ", crash_file.c_str(), "\n"})
        (void)!::write(STDERR_FILENO, text, std::strlen(text));
}

void on_signal(int signal) {
    keep_current();
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

void watch_for_crashes() {
    static char stack[65536];  // the other one may be what overflowed
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof stack;
    ::sigaltstack(&alternative, nullptr);
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK;
    std::vector<int> signals{SIGABRT, SIGALRM};
    if (__sanitizer_set_death_callback != nullptr) {
        __sanitizer_set_death_callback(keep_current);  // it reports the others by itself
    } else {
        signals.insert(signals.end(), {SIGSEGV, SIGBUS, SIGFPE, SIGILL});
    }
    for (const int signal : signals)
        ::sigaction(signal, &action, nullptr);
}

void run(Bytes input) {
    current = std::move(input);
    ::alarm(hang_seconds);
    // A copy of exactly this size: a sanitizer sees a read past its end.
    const std::vector<std::uint8_t> exact(current.begin(), current.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
    ::alarm(0);
}

// ---- mutations ------------------------------------------------------------------------------

class Mutator {
  public:
    Mutator(std::vector<Bytes> corpus, std::uint64_t seed)
        : corpus_(std::move(corpus)), random_(seed) {}

    Bytes next() {
        Bytes bytes = any_seed();
        for (std::size_t edits = 1 + below(4); edits > 0; --edits)
            edit(bytes);
        bytes.resize(std::min(bytes.size(), longest));
        return bytes;
    }

  private:
    // Not a distribution of <random>: those differ from library to library.
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }
    const Bytes& any_seed() { return corpus_[below(corpus_.size())]; }

    void edit(Bytes& bytes) {
        const std::size_t at = below(bytes.size() + 1);
        const std::size_t count = std::min(bytes.size() - at, 1 + below(1U << below(8)));
        switch (below(8)) {
            case 0:
                if (at < bytes.size()) bytes[at] ^= static_cast<char>(1U << below(8));
                break;
            case 1:
                if (at < bytes.size())
                    bytes[at] = interesting_bytes[below(sizeof interesting_bytes - 1)];
                break;
            case 2:
                bytes.erase(at, count);
                break;
            case 3:
                bytes.insert(below(bytes.size() + 1), bytes.substr(at, count));
                break;
            case 4:
                bytes.resize(at);
                break;
            case 5: {
                const Bytes& other = any_seed();
                bytes.replace(at, count, other.substr(below(other.size()), 1 + below(200)));
                break;
            }
            case 6:
                bytes.insert(at, words[below(std::size(words))]);
                break;
            default:
                overwrite_integer(bytes, at);
        }
    }

    /// A size or an offset of a binary format.
    void overwrite_integer(Bytes& bytes, std::size_t at) {
        const std::uint64_t value = (std::uint64_t{1} << below(64)) - below(3);
        const std::size_t width = std::min(bytes.size() - at, std::size_t{1} << below(4));
        std::memcpy(bytes.data() + at, &value, width);
    }

    static constexpr char interesting_bytes[] = "\0\n\"\\{}[],:-+.eE0\x7f\x80\xc3\xed\xff ";
    static constexpr const char* words[] = {"null",
                                            "true",
                                            "-0",
                                            "1e999",
                                            "-1",
                                            "18446744073709551616",
                                            "9223372036854775807",
                                            "NaN",
                                            "\\u0000",
                                            "\\ud800",
                                            "[[[[[[[[[[[[[[[[",
                                            "{\"\":{\"\":{\"\":",
                                            "\xef\xbb\xbf",
                                            "\r\n"};

    std::vector<Bytes> corpus_;
    std::mt19937_64 random_;
};

// ---- the command line -----------------------------------------------------------------------

Bytes read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> files_of(const fs::path& path) {
    if (!fs::is_directory(path)) return {path};
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

int main(int count, char** arguments) {
    std::size_t mutations = 0;
    std::uint64_t seed = 1;
    std::vector<Bytes> corpus;
    for (int i = 1; i < count; ++i) {
        const std::string argument = arguments[i];
        if (argument == "--mutations" && i + 1 < count) {
            mutations = std::stoull(arguments[++i]);
        } else if (argument == "--seed" && i + 1 < count) {
            seed = std::stoull(arguments[++i]);
        } else {
            for (const fs::path& file : files_of(argument))
                corpus.push_back(read_file(file));
        }
    }
    if (corpus.empty()) {
        std::fprintf(stderr,
                     "fuzz: no input; usage: [--mutations N] [--seed N] FILE|DIRECTORY...\n");
        return 2;
    }
    const std::string program = fs::path{arguments[0]}.filename().string();
    crash_file = "crash-" + program.substr(program.rfind("replay_") + std::strlen("replay_"));
    watch_for_crashes();
    for (const Bytes& input : corpus)
        run(input);
    run({});
    const std::size_t files = corpus.size();
    Mutator mutator{std::move(corpus), seed};
    for (std::size_t i = 0; i < mutations; ++i)
        run(mutator.next());
    std::printf("%zu files and %zu mutations of them\n", files, mutations);
    return 0;
}
