#include "analyzer/cli/trace_output.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "analyzer/cli/commands.hpp"
#include "analyzer/util/text.hpp"
#include "core/config.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) {
    return ::strerrordesc_np(error);
}

/// A tracer holds a record lock on its file for as long as it lives.
bool somebody_writes(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const bool held = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    ::close(fd);
    return held;
}

/// errno of making a file there, or 0. Tried, not asked: root may do everything, and yet no file
/// can be made in /proc.
int creation_error(const fs::path& directory) {
    std::string name = (directory / ".orchtrace.XXXXXX").string();
    const int fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) return errno;
    ::close(fd);
    ::unlink(name.c_str());
    return 0;
}

/// Enough to tell a trace from a user's document; not that each line is sound.
bool looks_like_trace(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::string start(std::size_t{64} << 10, '\0');
    in.read(start.data(), static_cast<std::streamsize>(start.size()));
    start.resize(static_cast<std::size_t>(in.gcount()));
    start.resize(std::min(start.find('\n'), start.size()));
    return start.starts_with('{') && start.find("\"checkpoint\"") != std::string::npos;
}

std::string read_from(const fs::path& path, std::uint64_t offset) {
    std::ifstream in(path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(offset));
    return {std::istreambuf_iterator<char>(in), {}};
}

struct Tail {
    std::uint64_t lines = 0;
    std::uint64_t torn = 0;  ///< bytes behind the last newline
};

Tail scan_tail(const fs::path& path, std::uint64_t offset) {
    std::ifstream in(path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(offset));
    std::string block(std::size_t{1} << 20, '\0');
    Tail tail;
    while (in) {
        in.read(block.data(), static_cast<std::streamsize>(block.size()));
        const std::string_view read{block.data(), static_cast<std::size_t>(in.gcount())};
        tail.lines += static_cast<std::uint64_t>(std::count(read.begin(), read.end(), '\n'));
        const std::size_t newline = read.rfind('\n');
        tail.torn =
            newline == std::string_view::npos ? tail.torn + read.size() : read.size() - newline - 1;
    }
    return tail;
}

/// Another logger's last line may lack its newline and be whole.
bool is_torn(const fs::path& path, std::uint64_t size, std::uint64_t tail) {
    return tail > 0 && !nlohmann::json::accept(read_from(path, size - tail));
}

/// So that the next record starts a line, whatever the last writer left.
void end_last_line(const fs::path& path, std::uint64_t size) {
    if (read_from(path, size - 1) == "\n") return;
    std::ofstream(path, std::ios::binary | std::ios::app) << '\n';
}

std::string glob_escaped(std::string_view text) {
    std::string result;
    for (char c : text) {
        if (std::string_view{"*?[]\\"}.find(c) != std::string_view::npos) result += '\\';
        result += c;
    }
    return result;
}

/// Whole tensors of a trace that is emptied: nothing names them any more.
void remove_whole_tensors(const fs::path& folder) {
    std::error_code ignored;  // a name that stays taken costs the next file a number
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        const fs::path extension = entry.path().extension();
        if (extension == ".safetensors" || extension == ".part") fs::remove(entry.path(), ignored);
    }
}

/// "a/b.jsonl" -> "a/b.[0-9]*.jsonl": where a second process found the file taken.
std::string with_pid(const std::string& pattern) {
    const std::size_t slash = pattern.rfind('/');
    std::size_t dot = pattern.rfind('.');
    if (dot == std::string::npos || dot <= slash + 1) dot = pattern.size();
    return pattern.substr(0, dot) + ".[0-9]*" + pattern.substr(dot);
}

}  // namespace

OutputFacts output_facts(const fs::path& image) {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    OutputFacts facts{host, "0", image.filename().string()};
    for (const char* name : {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}) {
        const char* value = std::getenv(name);
        if (value == nullptr || *value == '\0') continue;
        facts.rank = value;
        break;
    }
    return facts;
}

TraceOutput::TraceOutput(std::string_view pattern, OutputFacts facts) : facts_(std::move(facts)) {
    if (pattern.empty()) throw UsageError("-o: the file name is empty");
    if (fs::path{pattern}.is_relative() && has_template(fs::current_path().string())) {
        throw UsageError(fmt::format(
            "{}: a directory whose name has %p, %r, %h or %e in it; run from another directory",
            fs::current_path().string()));
    }
    pattern_ = fs::absolute(pattern).lexically_normal().string();
}

bool TraceOutput::has_template(std::string_view text) const {
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
        if (text[i] == '%' && std::string_view{"prhe"}.find(text[i + 1]) != std::string_view::npos)
            return true;
    }
    return false;
}

void TraceOutput::check_directory() const {
    const fs::path directory = fs::path{pattern_}.parent_path();
    if (has_template(directory.string())) return;
    struct stat info = {};
    int error = ::stat(directory.c_str(), &info) != 0 ? errno : 0;
    if (error == 0 && !S_ISDIR(info.st_mode)) error = ENOTDIR;
    if (error == 0) error = creation_error(directory);
    if (error == 0) return;
    throw UsageError(fmt::format("{}: cannot write a trace there: {}; choose another file with -o",
                                 directory.string(), reason(error)));
}

void TraceOutput::prepare_file(const fs::path& path, bool append) {
    struct stat info = {};
    if (::stat(path.c_str(), &info) != 0) return check_directory();
    const std::string name = path.string();
    if (S_ISDIR(info.st_mode)) {
        throw UsageError(fmt::format("{}: is a directory; name a file in it with -o", name));
    }
    if (::access(path.c_str(), W_OK) != 0) {
        throw UsageError(fmt::format("{}: cannot be written: {}; choose another file with -o", name,
                                     reason(errno)));
    }
    is_stream_ = !S_ISREG(info.st_mode);
    if (is_stream_ || info.st_size == 0) return;
    if (!looks_like_trace(path)) {
        throw UsageError(fmt::format(
            "{}: exists and does not look like a trace; it is left as it is: choose another file",
            name));
    }
    if (somebody_writes(path)) {
        throw UsageError(
            fmt::format("{}: another process is tracing into it; choose another file", name));
    }
    if (append) return end_last_line(path, static_cast<std::uint64_t>(info.st_size));
    for (const std::string& old : {name, name + ".values"}) {
        struct stat found = {};
        if (::stat(old.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) continue;
        if (::truncate(old.c_str(), 0) != 0) {
            throw UsageError(fmt::format("{}: cannot be emptied: {}", old, reason(errno)));
        }
    }
    remove_whole_tensors(name + ".full");
}

void TraceOutput::prepare(bool append) {
    // A new process has a new pid: nothing of that name is there to be kept or emptied.
    if (pattern_.find("%p") != std::string::npos) {
        check_directory();
    } else {
        const PathFacts facts{0, facts_.rank, facts_.host, facts_.executable};
        prepare_file(std::string{std::string_view{expand_path(pattern_, facts)}}, append);
    }
    for (const fs::path& path : candidates()) {
        struct stat info = {};
        if (::stat(path.c_str(), &info) != 0) continue;
        before_[path] = {info.st_ino, static_cast<std::uint64_t>(info.st_size)};
    }
}

std::string TraceOutput::glob_pattern() const {
    std::string result;
    for (std::size_t i = 0; i < pattern_.size(); ++i) {
        const std::string_view two = std::string_view{pattern_}.substr(i, 2);
        if (two == "%p") {
            result += "[0-9]*";
        } else if (two == "%e") {
            result += "*";
        } else if (two == "%r") {
            result += glob_escaped(facts_.rank);
        } else if (two == "%h") {
            result += glob_escaped(facts_.host);
        } else {
            result += glob_escaped(two.substr(0, 1));
            continue;
        }
        ++i;
    }
    return result;
}

std::vector<fs::path> TraceOutput::candidates() const {
    const std::string pattern = glob_pattern();
    std::vector<fs::path> result;
    for (const std::string& each : {pattern, with_pid(pattern)}) {
        glob_t found = {};
        if (::glob(each.c_str(), 0, nullptr, &found) == 0) {
            for (std::size_t i = 0; i < found.gl_pathc; ++i) {
                const fs::path path = found.gl_pathv[i];
                const bool known = std::find(result.begin(), result.end(), path) != result.end();
                const bool beside = path.extension() == ".values" || path.extension() == ".full";
                if (!known && !beside) result.push_back(path);
            }
        }
        ::globfree(&found);
    }
    return result;
}

std::vector<WrittenTrace> TraceOutput::written(bool trim) const {
    std::vector<WrittenTrace> result;
    for (const fs::path& path : candidates()) {
        struct stat info = {};
        if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
        const auto size = static_cast<std::uint64_t>(info.st_size);
        const auto old = before_.find(path);
        const bool is_new = old == before_.end() || old->second.inode != info.st_ino;
        const std::uint64_t start = is_new ? 0 : std::min(old->second.size, size);
        // A file that still grows belongs to another run, or to a child that outlived this one.
        if (size <= start || somebody_writes(path)) continue;
        const Tail tail = scan_tail(path, start);
        WrittenTrace trace{path, size - start, tail.lines, 0};
        if (trim && is_torn(path, size, tail.torn) &&
            ::truncate(path.c_str(), static_cast<off_t>(size - tail.torn)) == 0) {
            trace.bytes -= tail.torn;
            trace.trimmed = tail.torn;
        }
        result.push_back(trace);
    }
    return result;
}

}  // namespace orch
