// A string that lives where it is declared: the injected library keeps its state without malloc.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace orch {

template <std::size_t Capacity>
class FixedString {
  public:
    constexpr FixedString() = default;
    explicit FixedString(std::string_view text) noexcept { append(text); }

    /// False if the end was cut off.
    bool append(std::string_view text) noexcept {
        const std::size_t count = std::min(text.size(), Capacity - size_);
        if (count != 0) std::memcpy(data_ + size_, text.data(), count);
        size_ += count;
        data_[size_] = '\0';
        return count == text.size();
    }

    bool append_number(unsigned long long value, int min_digits = 1) noexcept {
        char digits[20];
        int count = 0;
        while (value != 0 || count < min_digits) {
            digits[19 - count++] = static_cast<char>('0' + value % 10);
            value /= 10;
        }
        return append({digits + 20 - count, static_cast<std::size_t>(count)});
    }

    void clear() noexcept { truncate(0); }
    void truncate(std::size_t size) noexcept {
        size_ = std::min(size, size_);
        data_[size_] = '\0';
    }

    const char* c_str() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    operator std::string_view() const noexcept { return {data_, size_}; }

  private:
    char data_[Capacity + 1] = {};
    std::size_t size_ = 0;
};

}  // namespace orch
