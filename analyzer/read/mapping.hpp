// A file in memory, read only. A file that is cut while it is mapped does not end the program with
// SIGBUS: the pages that are gone read as zeros, and is_cut() says so.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace orch {
inline namespace reading {

class Mapping {
  public:
    Mapping() = default;
    /// The first `size` bytes of the file. Behind them there are 64 bytes that can be read, and a
    /// NUL at most a page away. Throws std::system_error.
    Mapping(int fd, std::size_t size);
    ~Mapping();
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;

    std::string_view bytes() const { return {begin_, size_}; }
    bool is_cut() const;
    /// These bytes are not needed soon: they stop counting as memory of this process.
    void forget(std::size_t begin, std::size_t end) const;

  private:
    struct Guarded;

    char* begin_ = nullptr;
    std::size_t size_ = 0;
    std::size_t reserved_ = 0;
    Guarded* guarded_ = nullptr;
};

}  // namespace reading
}  // namespace orch
