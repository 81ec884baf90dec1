// Builds one JSON object on one line in memory that the caller provides. Never writes past the end:
// what does not fit sets `overflowed`, and the caller drops and counts the whole line.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "core/float_text.hpp"

namespace orch {

class JsonLine {
  public:
    explicit JsonLine(std::span<char> space) noexcept
        : begin_(space.data()), at_(space.data()), end_(space.data() + space.size()) {}

    bool overflowed() const noexcept { return overflowed_; }
    std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - begin_); }

    void open_object() noexcept { open('{'); }
    void close_object() noexcept { close('}'); }
    void open_array() noexcept { open('['); }
    void close_array() noexcept { close(']'); }
    void empty_array(std::string_view name) noexcept {
        key(name);
        open_array();
        close_array();
    }

    /// Keys are ours: they need no escaping.
    void key(std::string_view name) noexcept {
        if (!room(name.size() + 4)) return;
        comma();
        *at_++ = '"';
        raw(name);
        *at_++ = '"';
        *at_++ = ':';
        first_ = true;
    }

    void string(std::string_view text) noexcept;

    void number(std::int64_t value) noexcept {
        if (!room(24)) return;
        comma();
        at_ = write_i64(at_, value);
    }
    void number(std::uint64_t value) noexcept {
        if (!room(24)) return;
        comma();
        at_ = write_u64(at_, value);
    }
    void number(int value) noexcept { number(static_cast<std::int64_t>(value)); }
    /// JSON has no NaN and no infinity: they become null.
    void number(double value) noexcept {
        if (!room(max_f64_text + 8)) return;
        comma();
        if (std::isfinite(value)) {
            at_ = write_f64(at_, value);
        } else {
            raw("null");
        }
    }
    void number(float value) noexcept {
        if (!room(max_f32_text + 8)) return;
        comma();
        if (std::isfinite(value)) {
            at_ = write_f32(at_, value);
        } else {
            raw("null");
        }
    }
    void boolean(bool value) noexcept {
        if (!room(8)) return;
        comma();
        raw(value ? "true" : "false");
    }
    /// 64-bit patterns as text: a JSON number keeps only 53 bits in most readers.
    void hex64(std::uint64_t value) noexcept;

    template <class Value>
    void field(std::string_view name, Value value) noexcept {
        key(name);
        number(value);
    }
    void field(std::string_view name, std::string_view text) noexcept {
        key(name);
        string(text);
    }
    void field(std::string_view name, const char* text) noexcept {
        field(name, std::string_view{text});
    }
    void field(std::string_view name, bool value) noexcept {
        key(name);
        boolean(value);
    }

    /// Room for at least `bytes`, to be filled by a bulk writer; null when there is none.
    char* reserve(std::size_t bytes) noexcept { return room(bytes) ? at_ : nullptr; }
    void advance_to(char* end) noexcept {
        at_ = end;
        first_ = false;
    }
    void newline() noexcept {
        if (room(1)) *at_++ = '\n';
    }

  private:
    bool room(std::size_t bytes) noexcept {
        if (static_cast<std::size_t>(end_ - at_) >= bytes) return true;
        overflowed_ = true;
        at_ = begin_;  // nothing of this line will be used
        end_ = begin_;
        return false;
    }
    void raw(std::string_view text) noexcept {
        std::memcpy(at_, text.data(), text.size());
        at_ += text.size();
    }
    void comma() noexcept {
        if (!first_) *at_++ = ',';
        first_ = false;
    }
    void open(char bracket) noexcept {
        if (!room(2)) return;
        comma();
        *at_++ = bracket;
        first_ = true;
    }
    void close(char bracket) noexcept {
        if (!room(1)) return;
        *at_++ = bracket;
        first_ = false;
    }

    char* begin_;
    char* at_;
    char* end_;
    bool first_ = true;
    bool overflowed_ = false;
};

}  // namespace orch
