// The text of a trace, wherever it comes from: a file as it is, or, unpacked into a temporary file,
// a gzip or zstd archive (told by its first bytes, not by its name), a pipe, standard input.
#pragma once
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "analyzer/read/file_descriptor.hpp"
#include "analyzer/read/mapping.hpp"

namespace orch {
inline namespace reading {

class Content {
  public:
    /// "-" is standard input. Throws UnreadableFile.
    explicit Content(const std::filesystem::path& path);

    std::string_view bytes() const { return mapping_.bytes(); }
    /// Why not all could be unpacked; empty: all was, or there was nothing to unpack.
    const std::string& damage() const { return damage_; }
    /// The bytes are those of the named file, which `status` describes.
    bool is_the_file() const { return is_the_file_; }
    const struct stat& status() const { return status_; }
    /// The file became shorter than it was: some of the bytes are no longer what they were.
    bool is_cut() const;
    /// These bytes are not needed soon. Those of a small file stay where they are.
    void forget(std::size_t begin, std::size_t end) const;

  private:
    FileDescriptor fd_;
    struct stat status_ = {};
    bool is_the_file_ = false;
    std::string damage_;
    Mapping mapping_;
};

}  // namespace reading
}  // namespace orch
