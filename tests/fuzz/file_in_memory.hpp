// Bytes as a file, for readers that take a path: no disk is touched, so thousands fit in a second.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "tests/fuzz/target.hpp"

namespace orch::fuzz {

class FileInMemory {
  public:
    explicit FileInMemory(std::string_view content)
        : fd_(::memfd_create("input", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_)) {
        require(fd_ >= 0, "memfd_create works");
        while (!content.empty()) {
            const ssize_t n = ::write(fd_, content.data(), content.size());
            require(n > 0, "a file in memory takes all bytes");
            content.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    ~FileInMemory() { ::close(fd_); }
    FileInMemory(const FileInMemory&) = delete;
    FileInMemory& operator=(const FileInMemory&) = delete;

    const std::filesystem::path& path() const { return path_; }

  private:
    int fd_;
    std::filesystem::path path_;
};

}  // namespace orch::fuzz
