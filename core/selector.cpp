#include "core/selector.hpp"

#include <cstring>

#include "core/slice.hpp"

namespace orch {

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;
    std::size_t retry = 0;
    while (t < text.size()) {
        if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) &&
            pattern[p] != '*') {
            ++p;
            ++t;
        } else if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            retry = t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

bool GlobList::parse(std::string_view text) noexcept {
    if (text.size() > max_text || text.starts_with(',') || text.ends_with(',') ||
        text.find(",,") != std::string_view::npos) {
        return false;
    }
    text_ = FixedString<max_text>{text};
    return true;
}

bool GlobList::matches(std::string_view name) const noexcept {
    std::string_view rest = text_;
    while (!rest.empty()) {
        if (glob_matches(take_word(rest), name)) return true;
    }
    return false;
}

Selector Selector::none() noexcept {
    Selector nothing;
    nothing.logits_ = nothing.layers_ = nothing.gemm_ = false;
    nothing.text_size_ = 0;
    return nothing;
}

bool Selector::parse(std::string_view text) noexcept {
    if (text.empty() || text.size() > max_text) return false;
    Selector parsed = none();
    std::memcpy(parsed.text_, text.data(), text.size());
    parsed.text_size_ = text.size();
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t comma = text.find(',', begin);
        const std::size_t end = comma == std::string_view::npos ? text.size() : comma;
        const std::string_view word = slice(text, begin, end - begin);
        if (word.empty()) return false;
        if (word == "logits") {
            parsed.logits_ = true;
        } else if (word == "layers") {
            parsed.layers_ = true;
        } else if (word == "gemm") {
            parsed.gemm_ = true;
        } else if (word == "all") {
            parsed.all_ = true;
        } else {
            if (parsed.glob_count_ == max_globs) return false;
            parsed.glob_begin_[parsed.glob_count_] = begin;
            parsed.glob_size_[parsed.glob_count_++] = word.size();
        }
        begin = end + 1;
    }
    *this = parsed;
    return true;
}

bool Selector::group(CheckpointGroup group) const noexcept {
    switch (group) {
        case CheckpointGroup::logits:
            return all_ || logits_;
        case CheckpointGroup::layers:
            return all_ || layers_;
        case CheckpointGroup::gemm:
            return all_ || gemm_;
        case CheckpointGroup::inner:
            return all_;
    }
    return false;
}

bool Selector::selects(CheckpointGroup wanted, std::string_view checkpoint,
                       std::string_view engine_name) const noexcept {
    if (group(wanted)) return true;
    for (std::size_t i = 0; i < glob_count_; ++i) {
        const std::string_view glob{text_ + glob_begin_[i], glob_size_[i]};
        if (glob_matches(glob, checkpoint)) return true;
        if (!engine_name.empty() && glob_matches(glob, engine_name)) return true;
    }
    return false;
}

}  // namespace orch
