// A cursor over bytes that nobody vouches for: what is not there throws, and nothing is read before
// it was checked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>

namespace orch {

using ByteSpan = std::span<const std::byte>;

/// A checkpoint's file is not what its format says. The message lacks the path: who opened the file
/// adds it.
struct MalformedFile : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Sizes come from files: a product that overflows must not look small.
inline std::optional<std::uint64_t> checked_product(std::uint64_t a, std::uint64_t b) {
    std::uint64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
    return result;
}

class ByteReader {
  public:
    explicit ByteReader(ByteSpan bytes) : bytes_(bytes) {}

    std::uint64_t position() const { return at_; }
    std::uint64_t left() const { return bytes_.size() - at_; }

    /// The next bytes of `count` elements of `size` bytes.
    ByteSpan take(std::uint64_t count, std::uint64_t size = 1) {
        const auto bytes = checked_product(count, size);
        if (!bytes || *bytes > left()) throw MalformedFile("it ends in the middle of its header");
        const ByteSpan result = bytes_.subspan(at_, *bytes);
        at_ += *bytes;
        return result;
    }

    /// Little-endian, as both formats are, and as the machines are that this is built for.
    template <class Number>
    Number number() {
        Number value;
        std::memcpy(&value, take(1, sizeof value).data(), sizeof value);
        return value;
    }

    std::string_view text(std::uint64_t length) {
        const ByteSpan bytes = take(length);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

  private:
    ByteSpan bytes_;
    std::uint64_t at_ = 0;
};

}  // namespace orch
