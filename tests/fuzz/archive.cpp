// Any bytes as a gzip or zstd archive of a trace, and any trace as the content of one. The first
// byte says which.
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>

#include "analyzer/read/trace.hpp"
#include "analyzer/read/unpack.hpp"
#include "tests/fuzz/file_in_memory.hpp"

namespace {

using orch::Trace;
using orch::fuzz::FileInMemory;
using orch::fuzz::require;

constexpr std::size_t largest_archive = 2048;  // a few bytes of one can mean a lot of disk
constexpr orch::ReadOptions options{.threads = 1, .sidecar_index = false};

std::string as_gzip(std::string_view text) {
    std::string packed(::compressBound(text.size()) + 32, '\0');
    z_stream stream = {};
    require(::deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
            "zlib packs");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    require(::deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib packs all");
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
}

std::string as_zstd(std::string_view text) {
    std::string packed(::ZSTD_compressBound(text.size()), '\0');
    const std::size_t size =
        ::ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1);
    require(::ZSTD_isError(size) == 0, "zstd packs");
    packed.resize(size);
    return packed;
}

void require_same(const Trace& plain, const Trace& packed) {
    const orch::ReadCounts& a = plain.counts();
    const orch::ReadCounts& b = packed.counts();
    require(a.bytes == b.bytes && a.lines == b.lines && a.records == b.records,
            "the same trace, packed");
    require(std::equal(plain.entries().begin(), plain.entries().end(), packed.entries().begin(),
                       [&](const orch::Entry& x, const orch::Entry& y) {
                           return plain.text(x) == packed.text(y);
                       }),
            "the same lines, packed");
}

/// A damaged archive is a trace that lacks its end, not an error.
void open(std::string_view bytes) {
    const FileInMemory file{bytes};
    const Trace trace{file.path(), options};
    for (const orch::Entry& entry : trace.entries())
        require(!trace.text(entry).empty(), "an entry has a text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // What is unpacked goes to a file: one in memory, if there is such a directory.
    static const int in_memory = ::setenv("TMPDIR", "/dev/shm", 0);
    require(in_memory == 0, "the environment can be set");
    if (size == 0) return 0;
    const std::string_view rest = orch::fuzz::as_text(data, size).substr(1);
    const std::string_view some = rest.substr(0, largest_archive);
    switch (data[0] % 4) {
        case 0:
            open("\x1f\x8b" + std::string{some});
            break;
        case 1:
            open("\x28\xb5\x2f\xfd" + std::string{some});
            break;
        default: {
            if (orch::is_archive(rest)) break;
            const std::string packed = data[0] % 4 == 2 ? as_gzip(rest) : as_zstd(rest);
            const FileInMemory plain_file{rest};
            const FileInMemory packed_file{packed};
            require_same(Trace{plain_file.path(), options}, Trace{packed_file.path(), options});
            // Cut off anywhere, or with a damaged byte.
            const std::size_t at = (data[0] / 4U) * packed.size() / 64U;
            std::string damaged = packed.substr(0, largest_archive);
            if (at < damaged.size()) damaged[at] ^= 0x10;
            open(damaged);
            open(packed.substr(0, at));
        }
    }
    return 0;
}
