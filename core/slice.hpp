// string_view::substr without its exception: the injected library is linked without libstdc++.
#pragma once
#include <algorithm>
#include <string_view>

namespace orch {

/// The part of `text` from `first` on, of at most `count` characters; empty beyond the end.
constexpr std::string_view slice(std::string_view text, std::size_t first,
                                 std::size_t count = std::string_view::npos) noexcept {
    first = std::min(first, text.size());
    return {text.data() + first, std::min(count, text.size() - first)};
}

/// Takes what stands before the next comma off `text`, and the comma.
constexpr std::string_view take_word(std::string_view& text) noexcept {
    const std::size_t comma = text.find(',');
    const std::string_view word = slice(text, 0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : slice(text, comma + 1);
    return word;
}

/// What follows the last slash.
constexpr std::string_view file_name(std::string_view path) noexcept {
    const std::size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : slice(path, slash + 1);
}

}  // namespace orch
