// Streams and archives, as temporary files without a name: a trace is read from many places, and
// need not fit into memory.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "analyzer/read/file_descriptor.hpp"

namespace orch {
inline namespace reading {

/// By the first bytes of a file: gzip or zstd.
bool is_archive(std::string_view first_bytes);
inline constexpr std::size_t archive_magic = 4;

struct Unpacked {
    FileDescriptor file;
    std::uint64_t size = 0;
    std::string damage;  ///< why it is not all; empty: it is
};

/// Reads `from` to its end. The temporary file is in $TMPDIR, /tmp or beside `name`, whichever can
/// be written. Throws UnreadableFile.
Unpacked unpack(int from, const std::filesystem::path& name);

}  // namespace reading
}  // namespace orch
