// The quick way: lines as orchtrace and most loggers write them. Whatever else comes, an escape, a
// byte of UTF-8, a key that stands twice, an odd number, is left to the JSON parser.
//
// Checked: that the line is one object; its own members with their keys, colons, values and commas;
// that strings end; that brackets inside match; that lists of numbers hold characters of numbers.
// Not checked: the grammar of numbers, and where commas stand inside of nested values: who parses
// those finds out (records.hpp).
#include <bit>
#include <cstring>

#include "analyzer/read/byte_scan.hpp"
#include "analyzer/read/line.hpp"
#include "analyzer/read/text_hash.hpp"

namespace orch {
namespace {

/// Keys that mean something to the index, as bits of a set.
enum Key : std::uint32_t {
    k_team = 1U << 0,
    k_checkpoint = 1U << 1,
    k_token_idx = 1U << 2,
    k_dtype = 1U << 3,
    k_shape = 1U << 4,
    k_values = 1U << 5,
    k_kind = 1U << 6,
    k_call = 1U << 7,
    k_pass = 1U << 8,
    k_positions = 1U << 9,
    k_first_position = 1U << 10,
    k_weight = 1U << 11,
    k_x = 1U << 12,
    k_y = 1U << 13,
    k_nonfinite = 1U << 14,
};

/// What the index keeps of a digest.
struct DigestFacts {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    bool has_rows = false;
    bool has_cols = false;
    bool has_nan = false;
};

// Where the scanner is. Each step takes a place and returns the one behind what it read; null says
// that the line is not for this scanner. Places are passed on in registers: a member would be
// stored and loaded at each step.
using At = const char*;

template <std::size_t N>
inline bool stands(At at, const char (&literal)[N]) {
    return std::memcmp(at, literal, N - 1) == 0;
}

template <std::size_t N>
inline At behind(At at, const char (&literal)[N]) {
    return stands(at, literal) ? at + N - 1 : nullptr;
}

inline At skip_space(At at) {
    return at + (*at == ' ' ? 1 : 0);
}

inline At read_text(At at, std::string_view& text) {
    if (*at != '"') return nullptr;
    const At end = end_of_run<PlainText>(at + 1);
    text = {at + 1, static_cast<std::size_t>(end - at - 1)};
    return *end == '"' ? end + 1 : nullptr;
}

At skip_number(At at) {
    const At begin = at;
    while ((*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == '.' || *at == 'e' ||
           *at == 'E')
        ++at;
    return at != begin ? at : nullptr;
}

/// `at` is behind the quote that opens a string of the digest's own level. False: not for us.
bool note_member(At at, DigestFacts& digest) {
    const bool is_nan = stands(at, "nan\"");
    const bool is_rows = stands(at, "rows\"");
    if (!is_nan && !is_rows && !stands(at, "cols\"")) return true;
    at += is_nan ? 4 : 5;
    if (*at != ':') return *at == ',' || *at == '}';  // a value, not a key
    if (is_nan) {
        digest.has_nan = true;
        return true;
    }
    bool& seen = is_rows ? digest.has_rows : digest.has_cols;
    if (seen) return false;
    seen = true;
    return read_integer(skip_space(at + 1), is_rows ? digest.rows : digest.cols) != nullptr;
}

/// Brackets that are open: a bit for each level, 1 for a brace, 0 for a bracket.
struct Nesting {
    std::uint64_t open = 0;
    int depth = 0;

    bool step(char c) {
        const bool is_brace = c == '{' || c == '}';
        if (c == '{' || c == '[') {
            open = (open << 1) | (is_brace ? 1U : 0U);
            return ++depth < 64;
        }
        const bool matches = (open & 1U) == (is_brace ? 1U : 0U);
        open >>= 1;
        --depth;
        return matches;
    }
};

/// Takes the letters of "null"s out of `bits`. False: there are others. `rest` are the letters that
/// stand in the next block.
bool only_nulls(At block, std::uint64_t bits, std::uint64_t& rest) {
    rest = 0;
    while (bits != 0) {
        const int i = std::countr_zero(bits);
        if (!stands(block + i, "null")) return false;
        bits &= ~(std::uint64_t{15} << i);
        if (i > 60) rest = (std::uint64_t{1} << (i - 60)) - 1;
    }
    return true;
}

/// An object or a list with all that is in it, 64 bytes at a time.
At skip_nested(At at, DigestFacts* digest) {
    Nesting nesting;
    std::uint64_t in_string = 0;  // all ones while a string goes on from block to block
    std::uint64_t of_null = 0;    // letters of a null that began in the block before
    for (;; at += 64) {
        const BlockBits block{at};
        const std::uint64_t strings = parity_so_far(block.quotes) ^ in_string;
        in_string = std::uint64_t{0} - (strings >> 63);
        const std::uint64_t brackets = (block.opening | block.closing) & ~strings;
        std::uint64_t looked_at = brackets;
        if (digest != nullptr) looked_at |= block.quotes & strings;
        std::uint64_t here = ~std::uint64_t{0};  // the bytes before the end
        for (; looked_at != 0; looked_at &= looked_at - 1) {
            const int i = std::countr_zero(looked_at);
            if (at[i] == '"') {
                if (nesting.depth == 1 && !note_member(at + i + 1, *digest)) return nullptr;
                continue;
            }
            if (!nesting.step(at[i])) return nullptr;
            if (nesting.depth > 0) continue;
            here = (std::uint64_t{1} << i) - 1;
            break;
        }
        if ((block.odd & here) != 0) return nullptr;
        const std::uint64_t known = strings | block.quotes | brackets | block.numbers | of_null;
        if (!only_nulls(at, ~known & here, of_null)) return nullptr;
        if (nesting.depth == 0) return at + std::popcount(here) + 1;
    }
}

At skip_value(At at) {
    switch (*at) {
        case '"': {
            std::string_view ignored;
            return read_text(at, ignored);
        }
        case '{':
        case '[':
            return skip_nested(at, nullptr);
        case 't':
            return behind(at, "true");
        case 'f':
            return behind(at, "false");
        case 'n':
            return behind(at, "null");
        default:
            return skip_number(at);
    }
}

At read_digest(At at, DigestFacts& digest, std::uint64_t& key) {
    if (*at != '{') return nullptr;
    const At end = skip_nested(at, &digest);
    if (end != nullptr) key = text_hash({at, static_cast<std::size_t>(end - at)});
    return end;
}

/// The members of a line in any order.
class Members {
  public:
    Members(At line, LineFacts& facts, std::uint32_t seen)
        : line_(line), facts_(facts), entry_(facts.entry), seen_(seen) {}

    /// From a key to behind the line's last brace.
    At read(At at) {
        for (;;) {
            std::string_view key;
            at = read_text(at, key);
            if (at == nullptr || *at != ':') return nullptr;
            at = member(skip_space(at + 1), key);
            if (at == nullptr) return nullptr;
            if (*at == '}') return (seen_ & k_checkpoint) != 0 ? at + 1 : nullptr;
            if (*at != ',') return nullptr;
            at = skip_space(at + 1);
        }
    }

  private:
    At member(At at, std::string_view key) {
        switch (key.size()) {
            case 1:
                if (key == "x") return once(k_x) ? input(at) : nullptr;
                if (key == "y") return once(k_y) ? result(at) : nullptr;
                break;
            case 4:
                if (key == "kind") return once(k_kind) ? kind(at) : nullptr;
                if (key == "call") return integer(at, k_call, entry_.call);
                if (key == "pass") return once(k_pass) ? pass(at) : nullptr;
                if (key == "team") return text(at, k_team, facts_.team);
                break;
            case 5:
                if (key == "dtype") return text(at, k_dtype, facts_.dtype);
                if (key == "shape") return text(at, k_shape, facts_.shape);
                break;
            case 6:
                if (key == "values") return once(k_values) ? values(at) : nullptr;
                if (key == "weight") return text(at, k_weight, facts_.weight);
                break;
            case 9:
                if (key == "positions") return once(k_positions) ? positions(at) : nullptr;
                if (key == "token_idx") return integer(at, k_token_idx, entry_.token_idx);
                if (key == "nonfinite") return once(k_nonfinite) ? nonfinite(at) : nullptr;
                break;
            case 10:
                if (key == "checkpoint") return text(at, k_checkpoint, facts_.checkpoint);
                break;
            case 14:
                if (key == "first_position")
                    return integer(at, k_first_position, entry_.first_position);
                break;
            default:
                break;
        }
        return skip_value(at);
    }

    bool once(Key key) {
        const bool first = (seen_ & key) == 0;
        seen_ |= key;
        return first;
    }
    At text(At at, Key key, std::string_view& value) {
        return once(key) ? read_text(at, value) : nullptr;
    }
    At integer(At at, Key key, std::int64_t& value) {
        return once(key) ? read_integer(at, value) : nullptr;
    }
    At kind(At at) {
        std::string_view name;
        at = read_text(at, name);
        entry_.kind = kind_of(name);
        return at;
    }
    At pass(At at) {
        std::int64_t number = 0;
        at = read_integer(at, number);
        entry_.pass = pass_of(number);
        return at;
    }
    At positions(At at) {
        std::string_view what;
        at = read_text(at, what);
        entry_.token_positions = what == "token";
        return at;
    }
    At nonfinite(At at) {
        entry_.nonfinite = true;
        return skip_value(at);
    }
    At input(At at) {
        DigestFacts digest;
        at = read_digest(at, digest, entry_.x_key);
        entry_.x_cols = extent_of(digest.cols);
        return at;
    }
    At result(At at) {
        DigestFacts digest;
        at = read_digest(at, digest, entry_.y_key);
        entry_.rows = extent_of(digest.rows);
        entry_.y_cols = extent_of(digest.cols);
        entry_.nonfinite = entry_.nonfinite || digest.has_nan;
        return at;
    }
    At values(At at) {
        entry_.values = static_cast<std::uint32_t>(at - line_);
        return skip_number_list(at);
    }

    const At line_;
    LineFacts& facts_;
    Entry& entry_;
    std::uint32_t seen_;
};

At text_and_comma(At at, std::string_view& text) {
    at = read_text(skip_space(at), text);
    return at != nullptr && *at == ',' ? skip_space(at + 1) : nullptr;
}

/// All but the values, and the comma before them.
At usual_head(At at, LineFacts& facts) {
    if (!stands(at, "\"ts\":")) return nullptr;
    at = text_and_comma(at + 5, facts.ts);
    if (at == nullptr || !stands(at, "\"team\":")) return nullptr;
    at = text_and_comma(at + 7, facts.team);
    if (at == nullptr || !stands(at, "\"checkpoint\":")) return nullptr;
    at = text_and_comma(at + 13, facts.checkpoint);
    if (at == nullptr || !stands(at, "\"token_idx\":")) return nullptr;
    facts.token = skip_space(at + 12);
    at = read_integer(facts.token, facts.entry.token_idx);
    if (at == nullptr || *at != ',') return nullptr;
    facts.behind_token = at;
    at = skip_space(at + 1);
    if (!stands(at, "\"dtype\":")) return nullptr;
    at = text_and_comma(at + 8, facts.dtype);
    if (at == nullptr || !stands(at, "\"shape\":")) return nullptr;
    return text_and_comma(at + 8, facts.shape);
}

}  // namespace

const char* reading::scan_line(const char* line, LineFacts& facts) {
    if (*line != '{') return nullptr;
    // The first keys in the order in which they usually stand.
    constexpr std::uint32_t head_keys = k_team | k_checkpoint | k_token_idx | k_dtype | k_shape;
    facts.entry.kind = RecordKind::log;
    At at = usual_head(line + 1, facts);
    if (at == nullptr) {
        facts = {};
        facts.entry.kind = RecordKind::log;
        return Members{line, facts, 0}.read(line + 1);
    }
    if (!stands(at, "\"values\":")) return Members{line, facts, head_keys}.read(at);
    at = skip_space(at + 9);
    facts.entry.values = static_cast<std::uint32_t>(at - line);
    at = skip_number_list(at);
    if (at == nullptr) return nullptr;
    if (*at == '}') {
        facts.is_usual = true;
        return at + 1;
    }
    if (*at != ',') return nullptr;
    return Members{line, facts, head_keys | k_values}.read(skip_space(at + 1));
}

}  // namespace orch
