// A file that is complete or absent: written beside its place and renamed at the end.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace orch {

class OutputFile {
  public:
    /// Throws WriteError.
    explicit OutputFile(std::filesystem::path path);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void write(std::string_view bytes);
    std::uint64_t written() const { return written_; }
    /// Gives the file its name.
    void commit();

  private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
    std::ofstream out_;
    std::uint64_t written_ = 0;
};

}  // namespace orch
