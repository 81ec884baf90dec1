#include "core/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/slice.hpp"
#include "core/unnoticed.hpp"

namespace orch {
namespace {

/// A record lock, not flock: a forked child does not inherit it.
bool another_process_writes(int fd) noexcept {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return ::fcntl(fd, F_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES);
}

FixedString<4095> with_pid(std::string_view path, long pid) noexcept {
    const std::size_t slash = path.rfind('/');
    const std::size_t name = slash == std::string_view::npos ? 0 : slash + 1;
    std::size_t dot = path.rfind('.');
    if (dot == std::string_view::npos || dot <= name) dot = path.size();
    FixedString<4095> result{slice(path, 0, dot)};
    result.append(".");
    result.append_number(static_cast<unsigned long long>(pid));
    result.append(slice(path, dot));
    return result;
}

/// So that it can be opened again after the engine has changed its directory.
FixedString<4095> absolute(std::string_view path) noexcept {
    FixedString<4095> result;
    char directory[4096];
    if (!path.starts_with('/') && ::getcwd(directory, sizeof directory) != nullptr) {
        result.append(directory);
        result.append("/");
    }
    result.append(path);
    return result;
}

/// A crash tore the last line of an earlier run. Asked before the lock is taken: closing any
/// descriptor of a file drops all locks that the process has on it.
bool ends_torn(const char* path) noexcept {
    struct stat info = {};
    if (::stat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) return false;
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return false;
    char last = '\n';
    (void)!::pread(fd, &last, 1, info.st_size - 1);
    ::close(fd);
    return last != '\n';
}

FixedString<4095> sidecar_path(const FixedString<4095>& path) noexcept {
    FixedString<4095> result{path};
    return result.append(".values") ? result : FixedString<4095>{};
}

/// `fd` still is the file of this name, and not one that the engine opened after closing ours.
bool is_open_as(int fd, const FixedString<4095>& path) noexcept {
    struct stat own = {};
    struct stat named = {};
    return ::fstat(fd, &own) == 0 && ::stat(path.c_str(), &named) == 0 &&
           own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

/// In place of the sidecar's descriptor: it failed, and the vectors to come stay out of the trace.
constexpr int given_up = -2;

std::uint64_t count_lines(std::string_view text) noexcept {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

int TraceFile::open_descriptor(const char* path) noexcept {
    // A FIFO that nobody reads is an error (ENXIO) and must not hold the engine up.
    const int fd =
        ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (fd < 0) return -1;
    ::fcntl(fd, F_SETFL, O_APPEND);
    return move_up(fd);
}

void TraceFile::open(std::string_view path, long pid) noexcept {
    path_ = absolute(path);
    bool torn = ends_torn(path_.c_str());
    fd_ = open_descriptor(path_.c_str());
    if (fd_ >= 0 && another_process_writes(fd_)) {
        ::close(fd_);
        path_ = with_pid(absolute(path), pid);
        torn = ends_torn(path_.c_str());
        fd_ = open_descriptor(path_.c_str());
    }
    struct stat info = {};
    if (fd_ < 0 || ::fstat(fd_, &info) != 0) {
        error_ = errno;
        return;
    }
    regular_ = S_ISREG(info.st_mode);
    device_ = info.st_dev;
    inode_ = info.st_ino;
    offset_ = regular_ ? static_cast<std::uint64_t>(info.st_size) : 0;
    if (torn && ::write(fd_, "\n", 1) == 1) ++offset_;
}

void TraceFile::abandon() noexcept {
    // The engine may have closed them; then the numbers are files of its own.
    struct stat info = {};
    if (fd_ >= 0 && ::fstat(fd_, &info) == 0 && info.st_dev == device_ && info.st_ino == inode_)
        ::close(fd_);
    if (sidecar_fd_ >= 0 && is_open_as(sidecar_fd_, sidecar_path(path_))) ::close(sidecar_fd_);
    fd_ = sidecar_fd_ = -1;
}

bool TraceFile::reopen_if_closed() noexcept {
    if (fd_ < 0) return false;
    struct stat info = {};
    if (::fstat(fd_, &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) return true;
    // The engine closed our descriptor; the number may already be a file of its own.
    fd_ = open_descriptor(path_.c_str());
    if (fd_ < 0 || ::fstat(fd_, &info) != 0) {
        error_ = errno;
        return false;
    }
    device_ = info.st_dev;
    inode_ = info.st_ino;
    offset_ = regular_ ? static_cast<std::uint64_t>(info.st_size) : 0;
    another_process_writes(fd_);  // the lock went with the old descriptor: take it again
    return true;
}

void TraceFile::add(std::string_view lines) noexcept {
    while (!lines.empty()) {
        const std::size_t end = lines.find('\n') + 1;
        add_line(slice(lines, 0, end));
        lines.remove_prefix(end);
    }
}

void TraceFile::add_line(std::string_view line) noexcept {
    const std::size_t used_of_page = staged_end() % page;
    const std::size_t rest = used_of_page == 0 ? page : page - used_of_page;
    const std::size_t padding =
        regular_ && staged_ > 0 && line.size() > rest && rest < page ? rest : 0;
    if (staged_ > 0 && staged_ + padding + line.size() > batch_size) {
        flush(false);
        return add_line(line);
    }
    if (padding != 0) {
        // The spaces go before the newline of the line before.
        std::fill_n(staging_ + staged_ - 1, padding, ' ');
        staged_ += padding;
        staging_[staged_ - 1] = '\n';
    }
    std::copy_n(line.data(), line.size(), staging_ + staged_);
    staged_ += line.size();
}

void TraceFile::flush(bool final) noexcept {
    if (staged_ == 0) return;
    const std::size_t used_of_page = staged_end() % page;
    if (regular_ && !final && used_of_page != 0) {
        std::fill_n(staging_ + staged_ - 1, page - used_of_page, ' ');
        staged_ += page - used_of_page;
        staging_[staged_ - 1] = '\n';
    }
    write_staged();
}

void TraceFile::write_staged() noexcept {
    std::size_t written = 0;
    if (reopen_if_closed()) {
        while (written < staged_) {
            const ssize_t n = ::write(fd_, staging_ + written, staged_ - written);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) {
                if (error_ == 0) error_ = n < 0 ? errno : ENOSPC;
                break;
            }
            written += static_cast<std::size_t>(n);
        }
    }
    if (written < staged_) {
        lost_lines_ += count_lines({staging_ + written, staged_ - written});
        undo_partial_line(written);
    } else {
        offset_ += written;
        bytes_ += written;
    }
    staged_ = 0;
}

/// A full disk cuts a line: take its first part back, so that the next write starts a line.
void TraceFile::undo_partial_line(std::size_t written) noexcept {
    const std::string_view text{staging_, written};
    const std::size_t whole = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
    struct stat info = {};
    if (regular_ && fd_ >= 0 && ::fstat(fd_, &info) == 0 &&
        static_cast<std::uint64_t>(info.st_size) == offset_ + written &&
        ::ftruncate(fd_, static_cast<off_t>(offset_ + whole)) == 0) {
        written = whole;
    }
    offset_ += written;
    bytes_ += written;
}

std::uint64_t TraceFile::take_lost_lines() noexcept {
    const std::uint64_t lost = lost_lines_;
    lost_lines_ = 0;
    return lost;
}

std::string_view TraceFile::sidecar_name() const noexcept {
    return file_name(path_);
}

std::int64_t TraceFile::append_sidecar(const void* data, std::size_t size) noexcept {
    if (!regular_ || sidecar_fd_ == given_up) return -1;
    const FixedString<4095> path = sidecar_path(path_);
    if (sidecar_fd_ < 0 || !is_open_as(sidecar_fd_, path)) {
        sidecar_fd_ = path.empty() ? -1 : open_descriptor(path.c_str());
        struct stat info = {};
        if (sidecar_fd_ < 0 || ::fstat(sidecar_fd_, &info) != 0) return -1;
        sidecar_offset_ = static_cast<std::uint64_t>(info.st_size);
    }
    const QuietSignals quiet;
    const auto start = static_cast<std::int64_t>(sidecar_offset_);
    const char* from = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t n = ::write(sidecar_fd_, from, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            ::close(sidecar_fd_);
            sidecar_fd_ = given_up;
            return -1;
        }
        from += n;
        size -= static_cast<std::size_t>(n);
        sidecar_offset_ += static_cast<std::uint64_t>(n);
    }
    return start;
}

}  // namespace orch
