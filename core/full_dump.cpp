#include "core/full_dump.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/float_text.hpp"
#include "core/records.hpp"
#include "core/scratch.hpp"
#include "core/slice.hpp"
#include "core/trace.hpp"

namespace orch {
namespace {

FixedString<4095> directory_of(const Trace& trace) noexcept {
    FixedString<4095> result{trace.file().path()};
    result.append(".full");
    return result;
}

/// An engine's name may hold anything, a slash among it.
FullName file_stem(std::string_view checkpoint) noexcept {
    constexpr std::size_t longest = 120;
    FullName name;
    for (const char c : slice(checkpoint, 0, longest)) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                           (c == '.' && !name.empty());
        name.append({plain ? &c : "_", 1});
    }
    if (name.empty()) name.append("_");
    return name;
}

/// Which names are tried, in this order, until one is free: an engine computes its logits in each
/// pass, and a run that appends to a trace finds the files of the run before.
FullName candidate(const CallRecord& call, unsigned attempt) noexcept {
    FullName name = file_stem(call.checkpoint);
    if (attempt > 0) {
        name.append(".");
        name.append_number(call.call, 6);
    }
    if (attempt > 1) {
        name.append(".");
        name.append_number(attempt);
    }
    name.append(".safetensors");
    return name;
}

/// Never over another file. Not every file system can rename so: then by a second name.
bool rename_to_free(const char* from, const char* to) noexcept {
    if (::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return false;
    if (::link(from, to) != 0) return false;
    ::unlink(from);
    return true;
}

void number_text(JsonLine& line, std::string_view key, std::int64_t value) noexcept {
    char text[24];
    line.field(key,
               std::string_view{text, static_cast<std::size_t>(write_i64(text, value) - text)});
}

/// "0,1,2"
void list_text(JsonLine& line, std::string_view key, const Positions& positions,
               std::int64_t rows) noexcept {
    constexpr std::size_t longest_number = 21;
    line.key(key);
    char* out = line.reserve(static_cast<std::size_t>(rows) * longest_number + 2);
    if (out == nullptr) return;
    *out++ = '"';
    for (std::int64_t row = 0; row < rows; ++row) {
        if (row != 0) *out++ = ',';
        out = write_i64(out, positions[row]);
    }
    *out++ = '"';
    line.advance_to(out);
}

/// Every value of the metadata is a string: readers of safetensors insist.
void write_metadata(JsonLine& line, const CallRecord& call, std::int64_t rows) noexcept {
    line.key("__metadata__");
    line.open_object();
    line.field("checkpoint", call.checkpoint);
    if (!call.engine_name.empty()) line.field("name", call.engine_name);
    line.field("op", call.op);
    number_text(line, "call", static_cast<std::int64_t>(call.call));
    if (call.pass >= 0) number_text(line, "pass", call.pass);
    if (call.batch_index >= 0) number_text(line, "batch_index", call.batch_index);
    if (call.device != nullptr && call.device->graph >= 0) {
        number_text(line, "graph", call.device->graph);
        number_text(line, "replay", static_cast<std::int64_t>(call.device->replay));
    }
    line.field("positions", call.positions_known ? "token" : "row");
    if (call.positions_known) list_text(line, "token_positions", call.positions, rows);
    line.close_object();
}

constexpr std::string_view safetensors_name(DType type) noexcept {
    switch (type) {
        case DType::f32:
            return "F32";
        case DType::f64:
            return "F64";
        case DType::f16:
            return "F16";
        case DType::bf16:
            return "BF16";
        case DType::block:
            break;
    }
    return {};
}

/// Elements that do not lie side by side, on their way into a file.
class Gathered {
  public:
    explicit Gathered(FullFile& file) noexcept : file_(file) {}
    ~Gathered() { flush(); }
    Gathered(const Gathered&) = delete;
    Gathered& operator=(const Gathered&) = delete;

    void add(const char* from, std::size_t size) noexcept {
        if (size > sizeof memory_ - used_) flush();
        if (size > sizeof memory_) return file_.append(from, size);
        std::memcpy(memory_ + used_, from, size);
        used_ += size;
    }

  private:
    void flush() noexcept {
        file_.append(memory_, used_);
        used_ = 0;
    }

    FullFile& file_;
    std::size_t used_ = 0;
    char memory_[8192];
};

void append_matrix(FullFile& file, const MatrixView& m) noexcept {
    const auto size = static_cast<std::int64_t>(element_size(m.dtype));
    const auto* base = static_cast<const char*>(m.data);
    const auto row_bytes = static_cast<std::size_t>(m.cols * size);
    if (m.col_stride == 1 && (m.rows == 1 || m.row_stride == m.cols))
        return file.append(base, static_cast<std::size_t>(m.rows) * row_bytes);
    Gathered gathered(file);
    for (std::int64_t r = 0; r < m.rows; ++r) {
        const char* row = base + r * m.row_stride * size;
        if (m.col_stride == 1) {
            gathered.add(row, row_bytes);
            continue;
        }
        for (std::int64_t c = 0; c < m.cols; ++c)
            gathered.add(row + c * m.col_stride * size, static_cast<std::size_t>(size));
    }
}

}  // namespace

FullFile::FullFile(Trace& trace, const CallRecord& call, const FullShape& shape) noexcept
    : trace_(trace), call_(call) {
    bump(trace.ledger().full.seen);
    open(shape);
}

FullFile::~FullFile() {
    if (fd_ >= 0) give_up("a result was not read to its end");
}

void FullFile::open(const FullShape& shape) noexcept {
    if (!trace_.file().is_regular()) return give_up("the trace is no file that has a place beside");
    if (shape.element_size == 0) return give_up("a type that safetensors does not have");
    FullState& all = trace_.full();
    missing_ = shape.bytes();
    if (all.bytes.fetch_add(missing_) + missing_ > trace_.config().full_limit) {
        all.bytes.fetch_sub(missing_);
        return give_up("ORCH_TRACE_FULL_LIMIT is reached");
    }
    path_ = directory_of(trace_);
    if (::mkdir(path_.c_str(), 0755) != 0 && errno != EEXIST)
        return give_up(::strerrordesc_np(errno));
    path_.append("/.");
    path_.append_number(static_cast<unsigned long long>(trace_.pid()));
    path_.append(".");
    path_.append_number(all.begun.fetch_add(1));
    if (!path_.append(".part")) return give_up(::strerrordesc_np(ENAMETOOLONG));
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd_ < 0) return give_up(::strerrordesc_np(errno));
    fd_ = move_up(fd_);
    write_header(shape);
}

/// Eight bytes of length, then JSON, padded so that the elements begin at a multiple of eight.
void FullFile::write_header(const FullShape& shape) noexcept {
    constexpr std::size_t length_size = 8;
    constexpr std::size_t room_of_position = 22;
    const std::size_t strings =
        6 * (call_.checkpoint.size() + call_.engine_name.size() + call_.op.size());
    const std::size_t list =
        call_.positions_known ? static_cast<std::size_t>(shape.rows) * room_of_position : 0;
    const std::size_t size = 4096 + strings + list;
    auto* memory = static_cast<char*>(map_pages(size));
    if (memory == nullptr) return give_up(::strerrordesc_np(ENOMEM));
    JsonLine line{{memory + length_size, size - 2 * length_size}};
    line.open_object();
    write_metadata(line, call_, shape.rows);
    line.key("y");
    line.open_object();
    line.field("dtype", shape.dtype);
    line.key("shape");
    line.open_array();
    line.number(shape.rows);
    line.number(shape.cols);
    line.close_array();
    line.key("data_offsets");
    line.open_array();
    line.number(0);
    line.number(shape.bytes());
    line.close_array();
    line.close_object();
    line.close_object();
    const std::size_t padded = (line.size() + 7) / 8 * 8;
    std::fill_n(memory + length_size + line.size(), padded - line.size(), ' ');
    for (std::size_t i = 0; i < length_size; ++i)
        memory[i] = static_cast<char>((padded >> (8 * i)) & 0xffU);
    if (line.overflowed()) {
        give_up("names that are too long");
    } else {
        write(memory, length_size + padded);
    }
    ::munmap(memory, size);
}

void FullFile::append(const void* data, std::size_t size) noexcept {
    if (fd_ < 0) return;
    size = std::min<std::uint64_t>(size, missing_);
    missing_ -= size;
    write(static_cast<const char*>(data), size);
}

void FullFile::write(const char* from, std::size_t size) noexcept {
    while (size > 0) {
        const ssize_t n = ::write(fd_, from, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return give_up(::strerrordesc_np(n < 0 ? errno : ENOSPC));
        from += n;
        size -= static_cast<std::size_t>(n);
    }
}

FullName FullFile::finish() noexcept {
    if (fd_ < 0) return {};
    if (missing_ != 0) {
        give_up("a result was not read to its end");
        return {};
    }
    // Some file systems find out only here that there is no room.
    if (::close(std::exchange(fd_, -1)) != 0) {
        give_up(::strerrordesc_np(errno));
        return {};
    }
    constexpr unsigned most_attempts = 1000;
    for (unsigned attempt = 0; attempt < most_attempts; ++attempt) {
        const FullName name = candidate(call_, attempt);
        FixedString<4095> path = directory_of(trace_);
        path.append("/");
        if (path.append(name) && rename_to_free(path_.c_str(), path.c_str())) {
            bump(trace_.ledger().full.recorded);
            return name;
        }
        if (errno != EEXIST) break;
    }
    give_up(::strerrordesc_np(errno));
    return {};
}

void FullFile::give_up(const char* why) noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    if (!path_.empty()) ::unlink(path_.c_str());
    bump(trace_.ledger().full.dropped);
    if (trace_.full().told.exchange(true)) return;
    FixedString<255> text{why};
    text.append("; the ledger has the number of whole results that are missing");
    write_blind_spot(trace_, "ORCH_TRACE_FULL", text);
}

FullName write_full(Trace& trace, const CallRecord& call) noexcept {
    const MatrixView& m = call.result.matrix;
    FullFile file(trace, call, {safetensors_name(m.dtype), element_size(m.dtype), m.rows, m.cols});
    append_matrix(file, m);
    return file.finish();
}

}  // namespace orch
