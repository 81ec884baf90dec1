#include "analyzer/read/content.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "analyzer/read/read_counts.hpp"
#include "analyzer/read/unpack.hpp"

namespace orch {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
    throw UnreadableFile(fmt::format("{}: {}", path.string(), ::strerrordesc_np(error)));
}

FileDescriptor open_to_read(const std::filesystem::path& path) {
    // Not opened by its name: a socket could not be.
    const bool is_stdin = path == "-" || path == "/dev/stdin";
    FileDescriptor file{is_stdin ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    if (!file.is_open()) fail(path, errno);
    return file;
}

bool starts_as_archive(int fd) {
    char first[archive_magic];
    const ssize_t n = ::pread(fd, first, sizeof first, 0);
    return n > 0 && is_archive({first, static_cast<std::size_t>(n)});
}

}  // namespace

Content::Content(const std::filesystem::path& path) : fd_(open_to_read(path)) {
    if (::fstat(fd_.get(), &status_) != 0) fail(path, errno);
    if (S_ISDIR(status_.st_mode)) fail(path, EISDIR);
    auto size = static_cast<std::size_t>(status_.st_size);
    // Files in /proc say that they are empty.
    is_the_file_ = S_ISREG(status_.st_mode) && size != 0 && !starts_as_archive(fd_.get());
    if (!is_the_file_) {
        Unpacked unpacked = unpack(fd_.get(), path);
        fd_ = std::move(unpacked.file);
        size = unpacked.size;
        damage_ = std::move(unpacked.damage);
    }
    try {
        mapping_ = Mapping{fd_.get(), size};
    } catch (const std::system_error& error) {
        fail(path, error.code().value());
    }
}

void Content::forget(std::size_t begin, std::size_t end) const {
    constexpr std::size_t small_file = std::size_t{128} << 20;
    if (bytes().size() > small_file) mapping_.forget(begin, end);
}

bool Content::is_cut() const {
    struct stat now = {};
    const bool known = ::fstat(fd_.get(), &now) == 0;
    return mapping_.is_cut() ||
           (known && static_cast<std::size_t>(now.st_size) < mapping_.bytes().size());
}

}  // namespace orch
