// Small helpers for text that people read in a terminal.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orch {

inline constexpr std::size_t text_width = 100;

/// 2315 -> "2,315"
std::string grouped(std::uint64_t number);
/// "1 record", "2,315 records"; `many` where an s does not do.
std::string counted(std::uint64_t number, std::string_view one, std::string_view many = {});
/// 3400000 -> "3.4 MB"
std::string size_text(std::uint64_t bytes);
/// Control characters (an engine may name a tensor as it likes) must not reach a terminal.
std::string printable(std::string_view text);
/// Columns that `text` takes: one per code point.
std::size_t columns(std::string_view text);
/// At most `width` columns, with "..." in the middle where something was left out.
std::string clipped(std::string_view text, std::size_t width);
/// Wrapped at spaces to text_width; the first line starts with `head`, the others are indented by
/// as many columns. A word that is too long is clipped.
std::string wrapped(std::string_view head, std::string_view text);
std::string joined(const std::vector<std::string>& parts, std::string_view separator);
/// Ready to be pasted into a shell.
std::string shell_quoted(std::string_view word);
/// The nearest of `known` if a slip of the hand explains the difference; else empty.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

/// Colours, or nothing where the stream is no terminal.
struct Paint {
    bool on = false;
    std::string bold(std::string_view text) const { return with("1", text); }
    std::string red(std::string_view text) const { return with("1;31", text); }
    std::string green(std::string_view text) const { return with("32", text); }
    std::string yellow(std::string_view text) const { return with("33", text); }

  private:
    std::string with(std::string_view code, std::string_view text) const;
};

}  // namespace orch
