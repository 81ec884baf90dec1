// The trace on disk: append-only, whole lines, whatever happens to the process.
//
// A write(2) that is cut short by SIGKILL or a full disk stops at a page boundary of the file: the
// kernel looks for a fatal signal between pages. So no line that fits into a page is allowed to
// cross one: the line before it is padded with spaces, which every JSON reader skips. A longer line
// starts on a page boundary; only such a line can be torn, and only as the file's last.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/fixed_string.hpp"

namespace orch {

class TraceFile {
  public:
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t batch_size = 256 * 1024;
    static constexpr std::size_t max_line = 1U << 20;
    static constexpr std::size_t staging_size = batch_size + max_line + page;

    constexpr TraceFile() = default;

    /// Opens `path` to append. Where another live process already writes it, the pid is put before
    /// the extension instead. On failure error() says why and every line is dropped.
    void open(std::string_view path, long pid) noexcept;
    /// In a forked child: gives the parent's descriptor back without touching the parent's file.
    void abandon() noexcept;

    bool is_open() const noexcept { return fd_ >= 0; }
    /// Not a pipe or a device: there is a place beside it.
    bool is_regular() const noexcept { return regular_; }
    int error() const noexcept { return error_; }  ///< errno of the first failure, or 0
    const char* path() const noexcept { return path_.c_str(); }
    std::uint64_t bytes() const noexcept { return bytes_; }

    /// `memory` holds staging_size bytes.
    void use_staging(char* memory) noexcept { staging_ = memory; }
    /// Stages whole lines of at most max_line bytes; a full batch is written.
    void add(std::string_view lines) noexcept;
    /// Writes what is staged. Unless `final`, the last line is padded to the end of its page, so
    /// that the next batch starts on one.
    void flush(bool final) noexcept;
    /// Lines lost to write errors since the last call.
    std::uint64_t take_lost_lines() noexcept;

    /// Appends raw values to the sidecar file; returns their offset or -1.
    std::int64_t append_sidecar(const void* data, std::size_t size) noexcept;
    std::string_view sidecar_name() const noexcept;

  private:
    void add_line(std::string_view line) noexcept;
    void write_staged() noexcept;
    void undo_partial_line(std::size_t written) noexcept;
    bool reopen_if_closed() noexcept;
    int open_descriptor(const char* path) noexcept;
    std::uint64_t staged_end() const noexcept { return offset_ + staged_; }

    int fd_ = -1;
    int sidecar_fd_ = -1;
    int error_ = 0;
    bool regular_ = false;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
    std::uint64_t offset_ = 0;  ///< where the staged bytes will land
    std::uint64_t sidecar_offset_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t lost_lines_ = 0;
    char* staging_ = nullptr;
    std::size_t staged_ = 0;
    FixedString<4095> path_;
};

}  // namespace orch
