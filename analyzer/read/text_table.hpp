// Texts that many lines share, each kept once and known by a number. 0 is the empty text.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "analyzer/read/trace.hpp"

namespace orch {
inline namespace reading {

class TextTable {
  public:
    TextTable() { clear(); }

    StringId id_of(std::string_view text);
    std::optional<StringId> find(std::string_view text) const;
    /// Valid until the next id_of() or clear().
    std::string_view operator[](StringId id) const {
        return {chars_.data() + ends_[id], ends_[id + 1] - ends_[id]};
    }
    std::size_t size() const { return ends_.size() - 1; }
    void clear();

    /// All texts one behind the other, and where each ends, with a 0 in front: a table as it is
    /// kept in a file.
    std::span<const char> chars() const { return chars_; }
    std::span<const std::uint64_t> ends() const { return ends_; }
    /// False: these make no table.
    bool assign(std::span<const char> chars, std::span<const std::uint64_t> ends);

  private:
    struct Slot {
        std::uint32_t hash = 0;  ///< the upper half
        StringId id = 0;         ///< 0: free. The empty text has no slot.
    };
    /// The slot of the text, or the free one where it belongs.
    std::size_t slot_of(std::string_view text, std::uint64_t hash) const;
    void rehash(std::size_t slots);

    std::vector<char> chars_;
    std::vector<std::uint64_t> ends_;
    std::vector<Slot> slots_;  ///< a power of two, at most half full
};

}  // namespace reading
}  // namespace orch
