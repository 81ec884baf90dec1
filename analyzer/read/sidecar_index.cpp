#include "analyzer/read/sidecar_index.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <type_traits>

#include "analyzer/read/entry_codec.hpp"
#include "analyzer/read/file_descriptor.hpp"
#include "analyzer/read/text_hash.hpp"
#include "analyzer/util/parallel.hpp"

namespace orch {
namespace {

/// Changes with all that is below, with entry_codec, with what the index pass finds, and with
/// text_hash.
constexpr std::uint64_t layout_version = 3;
constexpr std::array<char, 8> magic = {'o', 'r', 'c', 'h', 'i', 'd', 'x', '\n'};
constexpr std::size_t hashed_end = std::size_t{64} << 10;  ///< of the trace, at either end
constexpr std::size_t checked_block = std::size_t{1} << 20;
/// Entries are coded in blocks, each for itself, so that threads share the work.
constexpr std::size_t block_entries = std::size_t{1} << 14;

static_assert(std::is_trivially_copyable_v<RunRange> && sizeof(RunRange) == 16);

/// Says which trace it is.
struct Identity {
    std::uint64_t size = 0;
    std::int64_t seconds = 0;  ///< of its last change
    std::int64_t nanoseconds = 0;
    std::uint64_t head = 0;
    std::uint64_t tail = 0;
    bool operator==(const Identity&) const = default;
};

struct SavedBadLine {
    std::uint64_t line = 0;
    std::uint64_t truncated = 0;
    std::array<char, 112> why{};
};

/// The file starts with this; behind it stand, without gaps, the runs, the ends of the texts, the
/// sizes of the blocks of entries, the texts, and the blocks.
struct Head {
    std::array<char, 8> kind = magic;
    std::uint64_t version = layout_version;
    std::uint64_t checksum = 0;  ///< of all that follows
    Identity identity;
    std::uint64_t lines = 0;
    std::uint64_t records = 0;
    std::uint64_t bad_lines = 0;
    std::uint64_t blank_lines = 0;
    std::uint64_t truncated = 0;
    std::uint64_t shown_bad_lines = 0;
    std::array<SavedBadLine, max_bad_lines_shown> shown{};
    std::uint64_t entries = 0;
    // How many of each part there are.
    std::uint64_t runs = 0;
    std::uint64_t ends = 0;
    std::uint64_t block_sizes = 0;
    std::uint64_t chars = 0;
    std::uint64_t block_bytes = 0;
};
static_assert(std::is_trivially_copyable_v<Head> && sizeof(Head) % 8 == 0);

constexpr std::size_t unchecked = offsetof(Head, identity);

Identity identity_of(const Content& content) {
    const std::string_view text = content.bytes();
    const struct stat& status = content.status();
    return {text.size(), status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
            text_hash(text.substr(0, hashed_end)),
            text_hash(text.substr(text.size() - std::min(hashed_end, text.size())))};
}

std::uint64_t combined(std::uint64_t sum, std::uint64_t hash) {
    return folded_product(sum ^ 0x9e3779b97f4a7c15ULL, hash | 1U) + hash;
}

/// The parts behind the head, in their order.
struct Parts {
    std::span<const RunRange> runs;
    std::span<const std::uint64_t> ends;
    std::span<const std::uint64_t> block_sizes;
    std::span<const char> chars;
    std::span<const char> blocks;
};

template <class T>
std::string_view bytes_of(std::span<const T> values) {
    return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

std::array<std::string_view, 5> bytes_of(const Parts& parts) {
    return {bytes_of(parts.runs), bytes_of(parts.ends), bytes_of(parts.block_sizes),
            bytes_of(parts.chars), bytes_of(parts.blocks)};
}

/// Of the head behind its checksum and of all parts, in blocks, so that threads share the work.
std::uint64_t checksum_of(const Head& head, const Parts& parts, unsigned threads) {
    const auto* bytes = reinterpret_cast<const char*>(&head);
    std::uint64_t sum = text_hash({bytes + unchecked, sizeof head - unchecked});
    for (const std::string_view part : bytes_of(parts)) {
        std::vector<std::uint64_t> blocks((part.size() + checked_block - 1) / checked_block);
        for_each_chunk(part.size(), checked_block, threads,
                       [&](std::size_t block, std::size_t begin, std::size_t end) {
                           blocks[block] = text_hash(part.substr(begin, end - begin));
                       });
        for (const std::uint64_t block : blocks)
            sum = combined(sum, block);
    }
    return sum;
}

/// Takes `count` values from the front of `bytes`, which are aligned for them.
template <class T>
std::optional<std::span<const T>> take(std::string_view& bytes, std::uint64_t count) {
    if (count > bytes.size() / sizeof(T)) return std::nullopt;
    const std::span<const T> values{reinterpret_cast<const T*>(bytes.data()), count};
    bytes.remove_prefix(values.size_bytes());
    return values;
}

/// What follows the head, if it is as long as the head says.
std::optional<Parts> parts_of(const Head& head, std::string_view rest) {
    const auto runs = take<RunRange>(rest, head.runs);
    const auto ends = take<std::uint64_t>(rest, head.ends);
    const auto block_sizes = take<std::uint64_t>(rest, head.block_sizes);
    const auto chars = take<char>(rest, head.chars);
    const auto blocks = take<char>(rest, head.block_bytes);
    if (!runs || !ends || !block_sizes || !chars || !blocks || !rest.empty()) return std::nullopt;
    return Parts{*runs, *ends, *block_sizes, *chars, *blocks};
}

/// Nothing in it leads out of the trace or the tables.
bool is_sound(const Entry& entry, std::uint64_t trace_size, std::size_t texts) {
    const auto id_fits = [texts](StringId id) { return id < texts; };
    return entry.offset <= trace_size && entry.length <= trace_size - entry.offset &&
           (entry.values == 0 || entry.values < entry.length) && id_fits(entry.team) &&
           id_fits(entry.checkpoint) && id_fits(entry.weight) && id_fits(entry.dtype) &&
           id_fits(entry.shape);
}

/// False: the blocks are not of this many sound entries.
bool decode_blocks(const Head& head, const Parts& parts, unsigned threads, TraceIndex& index) {
    // A block has at least a byte for each entry: so no number in the head asks for much memory.
    const std::uint64_t count = head.entries;
    if (count > parts.blocks.size() ||
        parts.block_sizes.size() != (count + block_entries - 1) / block_entries) {
        return false;
    }
    std::vector<std::string_view> blocks;
    std::string_view rest = bytes_of(parts.blocks);
    for (const std::uint64_t size : parts.block_sizes) {
        if (size > rest.size()) return false;
        blocks.push_back(rest.substr(0, size));
        rest.remove_prefix(size);
    }
    if (!rest.empty()) return false;
    index.entries = EntryStore{count};
    const std::span<Entry> entries = index.entries.extend(count);
    std::atomic<bool> sound{true};
    for_each_chunk(
        count, block_entries, threads, [&](std::size_t block, std::size_t begin, std::size_t end) {
            const auto part = entries.subspan(begin, end - begin);
            const bool all = decode(blocks[block], part) &&
                             std::all_of(part.begin(), part.end(), [&](const Entry& entry) {
                                 return is_sound(entry, head.identity.size, index.texts.size());
                             });
            if (!all) sound = false;
        });
    return sound;
}

struct CodedEntries {
    std::vector<std::uint64_t> block_sizes;
    std::string blocks;
};

CodedEntries encode_blocks(std::span<const Entry> entries, unsigned threads) {
    std::vector<std::string> blocks((entries.size() + block_entries - 1) / block_entries);
    for_each_chunk(entries.size(), block_entries, threads,
                   [&](std::size_t block, std::size_t begin, std::size_t end) {
                       encode(entries.subspan(begin, end - begin), blocks[block]);
                   });
    CodedEntries coded;
    std::size_t total = 0;
    for (const std::string& block : blocks)
        total += block.size();
    coded.blocks.reserve(total);  // or its growth would hold two copies for a while
    for (std::string& block : blocks) {
        coded.block_sizes.push_back(block.size());
        coded.blocks += block;
        block = {};
    }
    return coded;
}

/// One behind the other, none empty, all entries in them.
bool are_sound(std::span<const RunRange> runs, std::size_t entries) {
    std::size_t end = 0;
    for (const RunRange& run : runs) {
        if (run.begin != end || run.end <= run.begin) return false;
        end = run.end;
    }
    return end == entries;
}

std::optional<Mapping> mapped(const std::filesystem::path& path) {
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status = {};
    if (!file.is_open() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
        static_cast<std::size_t>(status.st_size) < sizeof(Head)) {
        return std::nullopt;
    }
    try {
        return Mapping{file.get(), static_cast<std::size_t>(status.st_size)};
    } catch (const std::system_error&) {
        return std::nullopt;
    }
}

void read_counts(const Head& head, TraceIndex& index) {
    index.counts = {head.identity.size, head.lines,       head.records,
                    head.bad_lines,     head.blank_lines, head.truncated != 0};
    const std::size_t shown = std::min<std::size_t>(head.shown_bad_lines, head.shown.size());
    for (const SavedBadLine& bad : std::span{head.shown}.first(shown)) {
        const std::string_view why{bad.why.data(), bad.why.size()};
        index.bad_lines.push_back(
            {bad.line, std::string{why.substr(0, why.find('\0'))}, bad.truncated != 0});
    }
}

Head head_of(const Content& content, const TraceIndex& index) {
    Head head;
    head.identity = identity_of(content);
    head.lines = index.counts.lines;
    head.records = index.counts.records;
    head.bad_lines = index.counts.bad_lines;
    head.blank_lines = index.counts.blank_lines;
    head.truncated = index.counts.truncated ? 1 : 0;
    head.shown_bad_lines = index.bad_lines.size();
    for (std::size_t i = 0; i < index.bad_lines.size(); ++i) {
        const BadLine& bad = index.bad_lines[i];
        SavedBadLine& saved = head.shown[i];
        saved.line = bad.line;
        saved.truncated = bad.truncated ? 1 : 0;
        bad.why.copy(saved.why.data(), saved.why.size());
    }
    head.entries = index.entries.entries().size();
    return head;
}

/// A file under a name of its own until it is whole.
class NewFile {
  public:
    explicit NewFile(std::filesystem::path path)
        : path_(std::move(path)), name_(path_.string() + ".XXXXXX") {
        file_ = FileDescriptor{::mkostemp(name_.data(), O_CLOEXEC)};
        ok_ = file_.is_open() && ::fchmod(file_.get(), 0644) == 0;
    }
    ~NewFile() {
        if (file_.is_open() && !is_kept_) ::unlink(name_.c_str());
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    bool has_room_for(std::uint64_t bytes) const {
        struct statvfs disk = {};
        return ok_ && ::fstatvfs(file_.get(), &disk) == 0 &&
               disk.f_bavail * disk.f_frsize / 4 > bytes;
    }
    void write(std::string_view bytes) {
        while (ok_ && !bytes.empty()) {
            const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            ok_ = n > 0;
            if (ok_) bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    void keep() { is_kept_ = ok_ && ::rename(name_.c_str(), path_.c_str()) == 0; }

  private:
    std::filesystem::path path_;
    std::string name_;
    FileDescriptor file_;
    bool ok_ = false;
    bool is_kept_ = false;
};

}  // namespace

std::filesystem::path reading::sidecar_path(const std::filesystem::path& trace) {
    return trace.string() + ".orchidx";
}

std::optional<TraceIndex> reading::load_sidecar(const std::filesystem::path& trace,
                                                const Content& content, unsigned threads) {
    std::optional<Mapping> file = mapped(sidecar_path(trace));
    if (!file) return std::nullopt;
    Head head;
    std::memcpy(&head, file->bytes().data(), sizeof head);
    if (head.kind != magic || head.version != layout_version || head.records != head.entries ||
        head.identity != identity_of(content)) {
        return std::nullopt;
    }
    const std::optional<Parts> parts = parts_of(head, file->bytes().substr(sizeof head));
    if (!parts || head.checksum != checksum_of(head, *parts, threads)) return std::nullopt;
    TraceIndex index;
    const bool sound = index.texts.assign(parts->chars, parts->ends) &&
                       are_sound(parts->runs, head.entries) &&
                       decode_blocks(head, *parts, threads, index);
    if (!sound) return std::nullopt;
    read_counts(head, index);
    index.runs.assign(parts->runs.begin(), parts->runs.end());
    return index;
}

void reading::save_sidecar(const std::filesystem::path& trace, const Content& content,
                           const TraceIndex& index, unsigned threads) {
    const CodedEntries coded = encode_blocks(index.entries.entries(), threads);
    const Parts parts{index.runs, index.texts.ends(), coded.block_sizes, index.texts.chars(),
                      coded.blocks};
    Head head = head_of(content, index);
    head.runs = parts.runs.size();
    head.ends = parts.ends.size();
    head.block_sizes = parts.block_sizes.size();
    head.chars = parts.chars.size();
    head.block_bytes = parts.blocks.size();
    head.checksum = checksum_of(head, parts, threads);
    std::uint64_t size = sizeof head;
    for (const std::string_view part : bytes_of(parts))
        size += part.size();
    NewFile file{sidecar_path(trace)};
    if (!file.has_room_for(size)) return;
    file.write({reinterpret_cast<const char*>(&head), sizeof head});
    for (const std::string_view part : bytes_of(parts))
        file.write(part);
    file.keep();
}

}  // namespace orch
