// Most lines of a log are the line before with another time, checkpoint, token and other values.
// Comparing what stays the same is several times as fast as reading it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "analyzer/read/byte_scan.hpp"
#include "analyzer/read/line.hpp"

namespace orch {
inline namespace reading {

/// {"ts":"2026-01-31T12:00:00Z","team":"a","checkpoint":"logits","token_idx":4,"dtype":… [1,2]}
/// |prefix|-------- ts -------|---------- fixed ------|-- name --|--- mid ----|4|-- tail -|
class LinePattern {
  public:
    /// From a line that scan_line() took and called usual. Keeps pointers into it.
    void learn(std::string_view line, const LineFacts& facts) {
        const char* const ts = facts.ts.data();
        const char* const name = facts.checkpoint.data();
        const char* const name_end = name + facts.checkpoint.size();
        prefix_size_ = static_cast<std::size_t>(ts - line.data());
        ts_size_ = facts.ts.size();
        fixed_ = {ts + ts_size_, static_cast<std::size_t>(name - ts) - ts_size_};
        mid_ = {name_end, static_cast<std::size_t>(facts.token - name_end)};
        const char* const numbers = line.data() + facts.entry.values + 1;
        tail_ = {facts.behind_token, static_cast<std::size_t>(numbers - facts.behind_token)};
        is_known_ = prefix_size_ <= 8 && ts_size_ < 32;
        prefix_mask_ = prefix_size_ == 8 ? ~std::uint64_t{0}
                                         : (std::uint64_t{1} << (8 * prefix_size_ % 64)) - 1;
        prefix_ = word_of(line.data()) & prefix_mask_;
    }
    void forget() { is_known_ = false; }

    /// As scan_line(): what differs from the line before is found in `name`, `token` and `values`.
    const char* match(const char* line, std::string_view& name, std::int64_t& token,
                      std::uint32_t& values) const {
        if (!is_known_ || (word_of(line) & prefix_mask_) != prefix_) return nullptr;
        const char* at = line + prefix_size_;
        if (plain_of_32(at) != ts_size_) return nullptr;
        // The comparisons below let the processor go on with places that it knows, instead of
        // waiting for one string's end to learn where the next one starts.
        at += ts_size_;
        if (!same(at, fixed_)) return nullptr;
        at += fixed_.size();
        const char* const name_end = end_of_run<PlainText>(at);
        name = {at, static_cast<std::size_t>(name_end - at)};
        if (!same(name_end, mid_)) return nullptr;
        at = read_integer(name_end + mid_.size(), token);
        if (at == nullptr || !same(at, tail_)) return nullptr;
        at += tail_.size() - 1;
        values = static_cast<std::uint32_t>(at - line);
        at = skip_number_list(at);
        return at != nullptr && *at == '}' ? at + 1 : nullptr;
    }

  private:
    static std::uint64_t word_of(const char* at) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        return word;
    }

    static bool same(const char* at, std::string_view text) {
        const char* const other = text.data();
        const std::size_t size = text.size();
        if (size < 8) return std::memcmp(at, other, size) == 0;
        std::uint64_t difference = word_of(at + size - 8) ^ word_of(other + size - 8);
        for (std::size_t i = 0; i + 8 < size; i += 8)
            difference |= word_of(at + i) ^ word_of(other + i);
        return difference == 0;
    }

    bool is_known_ = false;
    std::uint64_t prefix_ = 0;
    std::uint64_t prefix_mask_ = 0;
    std::size_t prefix_size_ = 0;
    std::size_t ts_size_ = 0;
    std::string_view fixed_;
    std::string_view mid_;
    std::string_view tail_;
};

}  // namespace reading
}  // namespace orch
