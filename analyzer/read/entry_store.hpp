// The entries of a trace, one behind the other. They never move, so that threads can fill in theirs
// while the store grows, and growing copies nothing.
#pragma once
#include <cstddef>
#include <span>

#include "analyzer/read/trace.hpp"

namespace orch {
inline namespace reading {

class EntryStore {
  public:
    EntryStore() = default;
    /// Room for `most` entries: address space alone, memory as they come. Throws std::bad_alloc.
    explicit EntryStore(std::size_t most);
    ~EntryStore();
    EntryStore(EntryStore&& other) noexcept;
    EntryStore& operator=(EntryStore&& other) noexcept;

    /// `count` more, to be filled in.
    std::span<Entry> extend(std::size_t count);
    std::span<const Entry> entries() const { return {begin_, size_}; }

  private:
    Entry* begin_ = nullptr;
    std::size_t size_ = 0;
    std::size_t usable_ = 0;    ///< bytes
    std::size_t reserved_ = 0;  ///< bytes
};

}  // namespace reading
}  // namespace orch
