#include "analyzer/util/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace orch {
namespace {

bool starts_code_point(char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

/// Offset of the code point number `count`.
std::size_t offset_of(std::string_view text, std::size_t count) {
    std::size_t at = 0;
    for (; at < text.size(); ++at) {
        if (starts_code_point(text[at]) && count-- == 0) break;
    }
    return at;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

}  // namespace

std::string grouped(std::uint64_t number) {
    const std::string digits = std::to_string(number);
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i != 0 && (digits.size() - i) % 3 == 0) text += ',';
        text += digits[i];
    }
    return text;
}

std::string counted(std::uint64_t number, std::string_view one, std::string_view many) {
    if (number == 1) return fmt::format("1 {}", one);
    return many.empty() ? fmt::format("{} {}s", grouped(number), one)
                        : fmt::format("{} {}", grouped(number), many);
}

std::string size_text(std::uint64_t bytes) {
    if (bytes < 1000) return fmt::format("{} B", bytes);
    double size = static_cast<double>(bytes);
    const char* unit = "";
    for (const char* next : {"kB", "MB", "GB", "TB"}) {
        unit = next;
        size /= 1000;
        if (size < 999.95) break;
    }
    return fmt::format("{:.1f} {}", size, unit);
}

std::string printable(std::string_view text) {
    std::string result{text};
    for (char& c : result) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    }
    return result;
}

std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string clipped(std::string_view text, std::size_t width) {
    const std::size_t size = columns(text);
    if (size <= width) return std::string{text};
    if (width < 5) return std::string{text.substr(0, offset_of(text, width))};
    const std::size_t tail = (width - 3) / 2;
    return fmt::format("{}...{}", text.substr(0, offset_of(text, width - 3 - tail)),
                       text.substr(offset_of(text, size - tail)));
}

std::string wrapped(std::string_view head, std::string_view text) {
    const std::size_t indent = columns(head);
    std::string result{head};
    std::size_t column = indent;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const std::string word = clipped(text.substr(0, end), text_width - indent);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (word.empty()) continue;
        if (column > indent) {
            if (column + 1 + columns(word) > text_width) {
                result += '\n' + std::string(indent, ' ');
                column = indent;
            } else {
                result += ' ';
                ++column;
            }
        }
        result += word;
        column += columns(word);
    }
    return result + '\n';
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

std::string shell_quoted(std::string_view word) {
    constexpr std::string_view safe =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
    if (!word.empty() && word.find_first_not_of(safe) == std::string_view::npos) {
        return std::string{word};
    }
    std::string result{"'"};
    for (char c : word)
        result += c == '\'' ? std::string{R"('\'')"} : std::string{c};
    return result + "'";
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
    std::string best;
    std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const std::string& candidate : known) {
        const std::size_t distance = edit_distance(word, candidate);
        // Half a word of slips is no slip.
        if (distance >= best_distance || distance * 2 > std::max(candidate.size(), word.size())) {
            continue;
        }
        best = candidate;
        best_distance = distance;
    }
    return best;
}

std::string Paint::with(std::string_view code, std::string_view text) const {
    return on ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string{text};
}

}  // namespace orch
