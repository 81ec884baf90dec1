#include "analyzer/read/unpack.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "analyzer/read/read_counts.hpp"

namespace orch {
namespace {

constexpr std::size_t block_size = std::size_t{1} << 18;

bool is_gzip(std::string_view bytes) {
    return bytes.starts_with("\x1f\x8b");
}

/// A frame, or a frame that is to be skipped: either may come first.
bool is_zstd(std::string_view bytes) {
    if (bytes.size() < 4) return false;
    std::uint32_t magic = 0;
    for (std::size_t i = 4; i-- > 0;)
        magic = magic << 8 | static_cast<unsigned char>(bytes[i]);
    return magic == ZSTD_MAGICNUMBER ||
           (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

FileDescriptor temporary_in(const std::filesystem::path& directory) {
    FileDescriptor file{::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    if (file.is_open()) return file;
    // Not every file system has files without a name.
    std::string name = (directory / "orchtrace.XXXXXX").string();
    file = FileDescriptor{::mkostemp(name.data(), O_CLOEXEC)};
    if (file.is_open()) ::unlink(name.c_str());
    return file;
}

/// Reads blocks, writes blocks; either failing is the end.
class Spool {
  public:
    Spool(int from, const std::filesystem::path& name) : name_(name), from_(from), in_(block_size) {
        std::vector<std::filesystem::path> directories{"/tmp", name.parent_path()};
        if (const char* wanted = ::getenv("TMPDIR"); wanted != nullptr && *wanted != '\0') {
            directories.insert(directories.begin(), wanted);
        }
        if (directories.back().empty()) directories.back() = ".";
        for (const auto& directory : directories) {
            out_ = temporary_in(directory);
            if (out_.is_open()) return;
        }
        fail("no temporary file can be made");
    }

    /// Of at least archive_magic bytes, if there are as many. Empty: the end.
    std::string_view read() {
        std::size_t size = 0;
        while (size < archive_magic) {
            const ssize_t n = ::read(from_, in_.data() + size, in_.size() - size);
            if (n == 0) break;
            if (n > 0) {
                size += static_cast<std::size_t>(n);
            } else if (errno != EINTR) {
                throw UnreadableFile(
                    fmt::format("{}: {}", name_.string(), ::strerrordesc_np(errno)));
            }
        }
        return {in_.data(), size};
    }

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::write(out_.get(), bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail("its content does not fit into a temporary file");
            bytes.remove_prefix(static_cast<std::size_t>(n));
            size_ += static_cast<std::size_t>(n);
        }
    }

    Unpacked finish(std::string damage) { return {std::move(out_), size_, std::move(damage)}; }

  private:
    [[noreturn]] void fail(std::string_view what) const {
        throw UnreadableFile(fmt::format("{}: {}: {}; set TMPDIR to a directory with room for it",
                                         name_.string(), what, ::strerrordesc_np(errno)));
    }

    const std::filesystem::path& name_;
    int from_;
    FileDescriptor out_;
    std::uint64_t size_ = 0;
    std::vector<char> in_;
};

std::string ends_early(std::string_view format) {
    return fmt::format("the {} archive ends early: what would follow is missing", format);
}
std::string is_damaged(std::string_view format, std::string_view why) {
    return fmt::format("the {} archive is damaged ({}): what would follow is missing", format, why);
}

/// Zeros behind an archive are padding of a tape; anything else is told.
std::string trailing(Spool& spool, std::string_view rest) {
    for (; !rest.empty(); rest = spool.read()) {
        if (rest.find_first_not_of('\0') != std::string_view::npos) {
            return "what follows the gzip archive is none, and was not read";
        }
    }
    return {};
}

/// Members stand one behind the other, as `cat a.gz b.gz` makes them.
std::string unpack_gzip(Spool& spool, std::string_view block) {
    z_stream stream = {};
    if (::inflateInit2(&stream, 15 + 16) != Z_OK) throw std::bad_alloc{};
    const std::unique_ptr<z_stream, int (*)(z_streamp)> closer{&stream, ::inflateEnd};
    std::vector<char> out(block_size);
    bool between = false;
    for (; !block.empty(); block = spool.read()) {
        // zlib reads through it; its type is older than const.
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
        stream.avail_in = static_cast<uInt>(block.size());
        do {
            if (between && *stream.next_in != 0x1f) {
                return trailing(spool, block.substr(block.size() - stream.avail_in));
            }
            if (between) ::inflateReset(&stream);
            stream.next_out = reinterpret_cast<Bytef*>(out.data());
            stream.avail_out = static_cast<uInt>(out.size());
            const int status = ::inflate(&stream, Z_NO_FLUSH);
            spool.write({out.data(), out.size() - stream.avail_out});
            between = status == Z_STREAM_END;
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
                return is_damaged("gzip", stream.msg != nullptr ? stream.msg : "bad data");
            }
        } while (stream.avail_in > 0 || (!between && stream.avail_out == 0));
    }
    return between ? std::string{} : ends_early("gzip");
}

std::string unpack_zstd(Spool& spool, std::string_view block) {
    const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream{
        ::ZSTD_createDStream(), ::ZSTD_freeDStream};
    if (stream == nullptr) throw std::bad_alloc{};
    std::vector<char> out(block_size);
    std::size_t wanted = 0;  // 0: between two frames
    for (; !block.empty(); block = spool.read()) {
        ZSTD_inBuffer in{block.data(), block.size(), 0};
        std::size_t written = 0;
        do {
            ZSTD_outBuffer to{out.data(), out.size(), 0};
            wanted = ::ZSTD_decompressStream(stream.get(), &to, &in);
            if (::ZSTD_isError(wanted) != 0) {
                return is_damaged("zstd", ::ZSTD_getErrorName(wanted));
            }
            spool.write({out.data(), to.pos});
            written = to.pos;
        } while (in.pos < in.size || (wanted != 0 && written == out.size()));
    }
    return wanted == 0 ? std::string{} : ends_early("zstd");
}

}  // namespace

bool reading::is_archive(std::string_view first_bytes) {
    return is_gzip(first_bytes) || is_zstd(first_bytes);
}

Unpacked reading::unpack(int from, const std::filesystem::path& name) {
    Spool spool{from, name};
    std::string_view block = spool.read();
    if (is_gzip(block)) return spool.finish(unpack_gzip(spool, block));
    if (is_zstd(block)) return spool.finish(unpack_zstd(spool, block));
    for (; !block.empty(); block = spool.read())
        spool.write(block);
    return spool.finish({});
}

}  // namespace orch
