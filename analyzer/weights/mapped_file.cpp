#include "analyzer/weights/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "analyzer/read/read_counts.hpp"

namespace orch {

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
    const auto fail = [this](int error) {
        if (fd_ >= 0) ::close(fd_);
        throw UnreadableFile(fmt::format("{}: {}", path_.string(), ::strerrordesc_np(error)));
    };
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat info = {};
    if (fd_ < 0 || ::fstat(fd_, &info) != 0) fail(errno);
    if (!S_ISREG(info.st_mode)) {
        ::close(fd_);
        throw UnreadableFile(fmt::format("{}: not a regular file", path_.string()));
    }
    size_ = static_cast<std::size_t>(info.st_size);
    if (size_ == 0) return;
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (mapped == MAP_FAILED) fail(errno);
    data_ = static_cast<const std::byte*>(mapped);
    ::madvise(mapped, size_, MADV_SEQUENTIAL);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
    if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

void MappedFile::check_still_there() const {
    struct stat info = {};
    if (::fstat(fd_, &info) == 0 && static_cast<std::size_t>(info.st_size) >= size_) return;
    throw UnreadableFile(fmt::format("{}: it was cut short while it was read", path_.string()));
}

}  // namespace orch
