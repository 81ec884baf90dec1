#include "analyzer/read/trace_reader.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

/// orchtrace writes at most 1 MiB a line; other loggers dump whole logits. Past this it is no
/// trace, and the parser's memory (some five times the line) is not worth spending.
constexpr std::size_t max_line = std::size_t{64} << 20;

[[noreturn]] void fail(const std::filesystem::path& path) {
    throw UnreadableFile(fmt::format("{}: {}", path.string(), ::strerrordesc_np(errno)));
}

/// The bytes of a file: mapped, or read where it cannot be mapped (a pipe).
class Content {
  public:
    explicit Content(const std::filesystem::path& path) {
        fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat info = {};
        if (fd_ < 0 || ::fstat(fd_, &info) != 0) give_up(path);
        if (S_ISDIR(info.st_mode)) {
            errno = EISDIR;
            give_up(path);
        }
        if (!S_ISREG(info.st_mode) || info.st_size == 0) {
            read_all(path);  // files in /proc say that they are empty
            return;
        }
        size_ = static_cast<std::size_t>(info.st_size);
        mapped_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd_, 0);
        if (mapped_ == MAP_FAILED) {
            mapped_ = nullptr;
            give_up(path);
        }
        ::madvise(mapped_, size_, MADV_SEQUENTIAL);
    }
    ~Content() { release(); }
    Content(const Content&) = delete;
    Content& operator=(const Content&) = delete;

    std::string_view bytes() const {
        return mapped_ != nullptr ? std::string_view{static_cast<const char*>(mapped_), size_}
                                  : std::string_view{buffer_};
    }

    /// Bytes that may still be touched: a file that is cut while it is read (a tracer on a full
    /// disk, a new run) would otherwise end us with SIGBUS.
    std::size_t still_there() const {
        struct stat info = {};
        if (mapped_ == nullptr || ::fstat(fd_, &info) != 0) return bytes().size();
        return std::min(size_, static_cast<std::size_t>(info.st_size));
    }

  private:
    void release() noexcept {
        if (mapped_ != nullptr) ::munmap(mapped_, size_);
        if (fd_ >= 0) ::close(fd_);
    }

    [[noreturn]] void give_up(const std::filesystem::path& path) {
        const int error = errno;
        release();
        errno = error;
        fail(path);
    }

    void read_all(const std::filesystem::path& path) {
        constexpr std::size_t step = std::size_t{1} << 20;
        for (;;) {
            const std::size_t before = buffer_.size();
            buffer_.resize(before + step);
            const ssize_t n = ::read(fd_, buffer_.data() + before, step);
            buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
            if (n == 0) return;
            if (n < 0 && errno != EINTR) give_up(path);
        }
    }

    int fd_ = -1;
    void* mapped_ = nullptr;
    std::size_t size_ = 0;
    std::string buffer_;
};

bool is_blank(std::string_view line) {
    return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// Python's json writes these words, and so does printf.
bool has_bare_nonfinite(std::string_view line) {
    for (std::string_view word : {"nan", "NaN", "inf", "Inf"}) {
        for (std::size_t at = line.find(word); at != std::string_view::npos;
             at = line.find(word, at + 1)) {
            if (at > 0 && std::string_view{",[: -"}.find(line[at - 1]) != std::string_view::npos) {
                return true;
            }
        }
    }
    return false;
}

std::string why_invalid(std::string_view line, simdjson::error_code error) {
    if (line.find('\0') != std::string_view::npos) return "not valid JSON (it holds NUL bytes)";
    switch (error) {
        case simdjson::UTF8_ERROR:
            return "not valid JSON (not UTF-8)";
        case simdjson::UNCLOSED_STRING:
            return "not valid JSON (unexpected end inside a string)";
        case simdjson::UNESCAPED_CHARS:
            return "not valid JSON (control character in a string)";
        case simdjson::STRING_ERROR:
            return "not valid JSON (bad escape in a string)";
        case simdjson::DEPTH_ERROR:
            return "not valid JSON (nested too deeply)";
        case simdjson::MEMALLOC:
            return "too long to be held in memory";
        default:
            break;
    }
    if (has_bare_nonfinite(line))
        return "not valid JSON (nan and inf are no JSON numbers; use null)";
    if (error == simdjson::NUMBER_ERROR) return "not valid JSON (bad number)";
    const std::size_t last = line.find_last_not_of(" \t\r\n");
    if (line[last] != '}' && line[line.find_first_not_of(" \t\r\n")] == '{') {
        return "not valid JSON (unexpected end)";
    }
    return "not valid JSON (wrong structure)";
}

/// Turns lines into records; keeps the parser's memory from line to line.
class LineParser {
  public:
    explicit LineParser(std::string_view file) : file_(file) {}

    /// Empty: `object` is a record.
    std::string parse(std::string_view line, simdjson::dom::object& object) {
        if (line.size() > max_line) return "longer than 64 MiB";
        simdjson::dom::element root;
        if (const auto error = parse_padded(line).get(root)) return why_invalid(line, error);
        if (root.get(object) != simdjson::SUCCESS) return "not a JSON object";
        std::string_view checkpoint;
        if (object.at_key("checkpoint").get(checkpoint) != simdjson::SUCCESS) {
            return "not a record (no \"checkpoint\")";
        }
        return {};
    }

  private:
    /// The parser reads up to SIMDJSON_PADDING bytes past the line: harmless inside the file, a
    /// crash behind its last page.
    simdjson::simdjson_result<simdjson::dom::element> parse_padded(std::string_view line) {
        const auto end = static_cast<std::size_t>(line.data() + line.size() - file_.data());
        if (file_.size() - end >= simdjson::SIMDJSON_PADDING) {
            return parser_.parse(line.data(), line.size(), false);
        }
        padded_.assign(line);
        padded_.append(simdjson::SIMDJSON_PADDING, ' ');
        return parser_.parse(padded_.data(), line.size(), false);
    }

    std::string_view file_;
    std::string padded_;
    simdjson::dom::parser parser_;
};

}  // namespace

std::string_view Record::string(std::string_view key) const {
    std::string_view value;
    return json_.at_key(key).get(value) == simdjson::SUCCESS ? value : std::string_view{};
}

std::optional<std::int64_t> Record::integer(std::string_view key) const {
    std::int64_t value = 0;
    if (json_.at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
}

bool Record::has(std::string_view key) const {
    return json_.at_key(key).error() == simdjson::SUCCESS;
}

std::vector<double> Record::values() const {
    std::vector<double> result;
    simdjson::dom::array array;
    if (json_.at_key("values").get(array) != simdjson::SUCCESS) return result;
    for (simdjson::dom::element element : array) {
        double value = NAN;
        result.push_back(element.get(value) == simdjson::SUCCESS ? value : NAN);
    }
    return result;
}

ReadCounts for_each_record(const std::filesystem::path& path, const OnRecord& on_record,
                           const OnBadLine& on_bad_line) {
    const Content content{path};
    const std::string_view file = content.bytes();
    LineParser parser{file};
    ReadCounts counts;
    counts.bytes = file.size();
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    std::size_t at = file.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
    constexpr std::size_t check_every = std::size_t{1} << 20;
    std::size_t checked = 0;
    while (at < file.size()) {
        if (at >= checked) {
            if (content.still_there() < file.size()) {
                throw UnreadableFile(
                    fmt::format("{}: it was cut short while it was read", path.string()));
            }
            checked = at + check_every;
        }
        const std::size_t newline = file.find('\n', at);
        const bool last = newline == std::string_view::npos;
        const std::string_view line = file.substr(at, last ? file.size() - at : newline - at);
        at = last ? file.size() : newline + 1;
        ++counts.lines;
        if (is_blank(line)) {
            ++counts.blank_lines;
            continue;
        }
        simdjson::dom::object object;
        const std::string why = parser.parse(line, object);
        if (why.empty()) {
            ++counts.records;
            on_record(Record{counts.lines, line, object});
            continue;
        }
        ++counts.bad_lines;
        counts.truncated = last && line.starts_with('{');
        on_bad_line(
            {counts.lines, counts.truncated ? "cut off before its end" : why, counts.truncated});
    }
    return counts;
}

}  // namespace orch
