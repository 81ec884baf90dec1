#include "analyzer/export/output_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "analyzer/export/writers.hpp"

namespace orch {

namespace {
[[noreturn]] void fail(const std::filesystem::path& path) {
    throw WriteError(fmt::format("{}: cannot be written: {}", path.string(),
                                 errno == 0 ? "unknown error" : ::strerrordesc_np(errno)));
}
}  // namespace

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
    // What is renamed takes the place of whatever has the name: a device must keep its own.
    std::error_code ignored;
    const std::filesystem::file_status status = std::filesystem::status(path_, ignored);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
        throw WriteError(fmt::format("{}: not a regular file", path_.string()));
    if (std::filesystem::is_symlink(path_, ignored)) {
        const std::filesystem::path target = std::filesystem::canonical(path_, ignored);
        if (!target.empty()) path_ = target;
    }
    temporary_ = path_;
    temporary_ += fmt::format(".{}.part", ::getpid());
    errno = 0;
    out_.open(temporary_, std::ios::binary | std::ios::trunc);
    if (!out_) fail(path_);
}

OutputFile::~OutputFile() {
    if (temporary_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove(temporary_, ignored);
}

void OutputFile::write(std::string_view bytes) {
    errno = 0;
    out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!out_) fail(path_);
    written_ += bytes.size();
}

void OutputFile::commit() {
    errno = 0;
    out_.close();
    if (!out_) fail(path_);
    std::error_code error;
    std::filesystem::rename(temporary_, path_, error);
    if (error) {
        errno = error.value();
        fail(path_);
    }
    temporary_.clear();
}

}  // namespace orch
