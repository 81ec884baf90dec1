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

/// What follows the last slash.
constexpr std::string_view file_name(std::string_view path) noexcept {
    const std::size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : slice(path, slash + 1);
}

}  // namespace orch
