#include "analyzer/report/page.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace orch {
namespace {

std::string head(std::string_view label) {
    return fmt::format("  {:<11} ", printable(label));
}

/// Where the first word of a command ends; a quoted one may hold spaces.
std::size_t word_end(std::string_view command) {
    bool quoted = false;
    std::size_t end = 0;
    for (; end < command.size() && (quoted || command[end] != ' '); ++end) {
        if (command[end] == '\'') quoted = !quoted;
        if (command[end] == '\\' && !quoted) ++end;
    }
    return std::min(end, command.size());
}

}  // namespace

void Page::title(std::string_view word, std::string_view painted, std::string_view text) {
    const std::string plain = wrapped({}, fmt::format("{}: {}", word, printable(text)));
    out_ += std::string{painted} + plain.substr(word.size());
}

void Page::fact(std::string_view label, std::string_view text) {
    if (!text.empty()) out_ += wrapped(head(label), printable(text));
}

void Page::facts(std::string_view label, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
        fact(label, text);
        if (!text.empty()) label = {};
    }
}

void Page::command(std::string_view label, std::string_view command) {
    constexpr std::string_view fold = " \\";
    std::string line = head(label);
    std::size_t column = columns(line);
    const std::size_t indent = column;
    for (std::string_view rest = command; !rest.empty();) {
        const std::size_t end = word_end(rest);
        const std::string word = printable(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const std::size_t wanted = columns(word) + (rest.empty() ? 0 : fold.size());
        if (column > indent && column + 1 + wanted > text_width) {
            line += fmt::format("{}\n{}", fold, std::string(indent + 4, ' '));
            column = indent + 4;
        } else if (column > indent) {
            line += ' ';
            ++column;
        }
        line += word;
        column += columns(word);
    }
    out_ += line + '\n';
}

}  // namespace orch
