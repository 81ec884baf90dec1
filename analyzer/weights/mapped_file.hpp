// A file's bytes, mapped to be read once from front to back.
#pragma once
#include <filesystem>

#include "analyzer/weights/byte_reader.hpp"

namespace orch {

class MappedFile {
  public:
    /// Throws UnreadableFile.
    explicit MappedFile(std::filesystem::path path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    MappedFile& operator=(MappedFile&&) = delete;

    const std::filesystem::path& path() const { return path_; }
    ByteSpan bytes() const { return {data_, size_}; }
    /// Throws UnreadableFile if the file has become shorter: reading on would end in SIGBUS.
    void check_still_there() const;

  private:
    std::filesystem::path path_;
    int fd_ = -1;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace orch
